"""Files by path or URI, through pyarrow.fs: local ones, s3://, gs:// and what else pyarrow knows."""

from __future__ import annotations

import os
import posixpath
import sys
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

OBJECT_STORES = ("s3", "gcs", "abfs")  # whose files appear when they are whole, and which have no folders
TEMPORARY = ".part-"


def pyarrow_fs() -> Any:
    """The module; raises ImportError with the line of pip where it is missing."""
    try:
        import pyarrow.fs
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "pyarrow":
            raise
        raise ImportError("pyarrow is missing: pip install 'voxshift[ray]', or pyarrow alone") from error
    return pyarrow.fs


class FileState(NamedTuple):
    """What a file system tells without opening a file."""

    size: int
    changed_ns: Optional[int]  # since 1970, where it is known


def one_line(error: BaseException) -> str:
    """What went wrong, as one line."""
    return " ".join(str(error).split()) or type(error).__name__


def described(name: str, error: BaseException) -> str:
    """"NAME: what went wrong", as one line."""
    text = one_line(error)
    if isinstance(error, OSError) and error.errno and "AWS" not in text:
        text = os.strerror(error.errno)
    return text if text.startswith(name + ":") else f"{name}: {text}"


class Storage:
    """Reads and writes files that paths and URIs name. It pickles without its connections.

    filesystem: a pyarrow.fs.FileSystem whose paths all names are; None: that of each name's URI, and of a name without a
    scheme the local one.
    """

    def __init__(self, filesystem: Optional[FileSystem] = None) -> None:
        self.filesystem = filesystem
        self._known: dict[str, tuple[Any, str]] = {}
        self._folders: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        return {"filesystem": self.filesystem}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["filesystem"])  # type: ignore[misc]

    def resolve(self, name: str) -> tuple[Any, str]:
        """The file system and the path there. Raises ValueError for a scheme that pyarrow does not know, and OSError."""
        if self.filesystem is not None:
            return self.filesystem, name
        if "://" not in name:
            return self._root("file:///")[0], os.path.abspath(name)
        scheme, _, rest = name.partition("://")
        if scheme == "file":
            filesystem, path = pyarrow_fs().FileSystem.from_uri(name)
            return filesystem, path
        rest, question, options = rest.partition("?")
        host, _, path = rest.partition("/")
        filesystem, root = self._root(f"{scheme}://{host}{question and '/?'}{options}")
        return filesystem, posixpath.join(root, path) if path else root

    def _root(self, uri: str) -> tuple[Any, str]:
        if uri not in self._known:
            self._known[uri] = pyarrow_fs().FileSystem.from_uri(uri)
        return self._known[uri]

    def state(self, name: str) -> Optional[FileState]:
        """None where there is no such file. Raises OSError."""
        fs = pyarrow_fs()
        filesystem, path = self.resolve(name)
        info = filesystem.get_file_info(path)
        return FileState(info.size, info.mtime_ns) if info.type == fs.FileType.File else None

    def is_local(self, name: str) -> bool:
        return self.resolve(name)[0].type_name == "local"

    def read(self, name: str) -> bytes:
        """Raises OSError."""
        filesystem, path = self.resolve(name)
        with filesystem.open_input_stream(path) as stream:
            return stream.readall()

    def read_ahead(self, name: str) -> str:
        """The local path of a local file, which the system begins to read."""
        path = self.resolve(name)[1]
        if hasattr(os, "posix_fadvise"):
            with open(path, "rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        return path

    def remove(self, name: str) -> None:
        """Removes a file, where there is one. Raises OSError."""
        filesystem, path = self.resolve(name)
        with suppress(FileNotFoundError):
            filesystem.delete_file(path)

    def write(self, name: str, data: bytes) -> None:
        """The file is complete or absent, and what was there before stays till then.

        It grows under a temporary name and is moved; object stores have it when it is whole. Folders are made where they
        are missing. Raises OSError.
        """
        filesystem, path = self.resolve(name)
        if filesystem.type_name in OBJECT_STORES:
            with filesystem.open_output_stream(path) as stream:
                stream.write(data)
            return
        folder, file = posixpath.split(path) if sys.platform != "win32" else os.path.split(path)
        if folder and folder not in self._folders:
            filesystem.create_dir(folder, recursive=True)
            self._folders.add(folder)
        temporary = posixpath.join(folder, f".{file}{TEMPORARY}{uuid.uuid4().hex}")
        try:
            with filesystem.open_output_stream(temporary) as stream:
                stream.write(data)
            filesystem.move(temporary, path)
        except BaseException:
            with suppress(Exception):
                filesystem.delete_file(temporary)
            raise

    def remove_unfinished(self, folder: str, names: set[str]) -> None:
        """Removes what workers that were killed left of these files, given without folders, below a folder. Raises OSError."""
        filesystem, path = self.resolve(folder)
        if filesystem.type_name in OBJECT_STORES:
            return
        for info in filesystem.get_file_info(pyarrow_fs().FileSelector(path, allow_not_found=True, recursive=True)):
            name, _, unique = info.base_name.rpartition(TEMPORARY)
            if len(unique) == 32 and name.startswith(".") and name[1:] in names:
                filesystem.delete_file(info.path)


def below(folder: str, name: str) -> str:
    """The path or URI of `name` below a folder, the options of a URI (?..) after it."""
    head, question, options = folder.partition("?") if "://" in folder else (folder, "", "")
    return f"{head}{'' if not head or head.endswith('/') else '/'}{name}{question}{options}"


def last_part(name: str) -> str:
    """The file's name without folders and without the options of a URI."""
    head = name.partition("?")[0] if "://" in name else name
    return head.replace("\\", "/").rpartition("/")[2] if sys.platform == "win32" else head.rpartition("/")[2]
