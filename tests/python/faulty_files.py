"""A file system for tests: the local one with faults. Worker processes import it by its name."""

import errno
import os
import signal
from pathlib import Path

import pyarrow as pa
from pyarrow import fs


class _Limited:
    """A file that takes so many bytes, and then finds the disk full."""

    closed = False

    def __init__(self, path, room):
        self.file, self.room = open(path, "wb"), room  # noqa: SIM115

    def write(self, data):
        taken = bytes(data)[: self.room]
        self.file.write(taken)
        self.room -= len(taken)
        if len(taken) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)

    def flush(self):
        self.file.flush()

    def close(self):
        self.file.close()
        self.closed = True


class Faulty(fs.FileSystemHandler):
    """full: parts of names, of which a file takes room bytes and no more. denied: parts of names that may not be touched.
    deadly: parts of names whose reader's process is killed; with a file `once`, the first one only."""

    def __init__(self, full=(), room=0, denied=(), deadly=(), once=None):
        self.local = fs.LocalFileSystem()
        self.full, self.room, self.denied, self.deadly, self.once = full, room, denied, deadly, once

    def __eq__(self, other):
        return isinstance(other, Faulty) and vars(self) == vars(other)

    def check(self, path):
        if any(part in path for part in self.denied):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    def get_type_name(self):
        return "faulty"

    def normalize_path(self, path):
        return path

    def get_file_info(self, paths):
        for path in paths:
            self.check(path)
        return self.local.get_file_info(paths)

    def get_file_info_selector(self, selector):
        self.check(selector.base_dir)
        return self.local.get_file_info(selector)

    def create_dir(self, path, recursive):
        self.check(path)
        self.local.create_dir(path, recursive=recursive)

    def delete_file(self, path):
        self.check(path)
        self.local.delete_file(path)

    def move(self, source, target):
        self.check(target)
        self.local.move(source, target)

    def open_input_stream(self, path):
        self.check(path)
        if any(part in path for part in self.deadly):
            try:
                if self.once is not None:
                    os.close(os.open(self.once, os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return self.local.open_input_stream(path)

    def open_input_file(self, path):
        return self.open_input_stream(path)

    def open_output_stream(self, path, metadata):
        self.check(path)
        if any(part in Path(path).name for part in self.full):
            return pa.PythonFile(_Limited(path, self.room), mode="w")
        return self.local.open_output_stream(path)

    def open_append_stream(self, path, metadata):
        raise NotImplementedError

    def copy_file(self, source, target):
        raise NotImplementedError

    def delete_dir(self, path):
        raise NotImplementedError

    def delete_dir_contents(self, path, missing_dir_ok=False):
        raise NotImplementedError

    def delete_root_dir_contents(self):
        raise NotImplementedError


def faulty(**faults):
    """The pyarrow file system with these faults."""
    return fs.PyFileSystem(Faulty(**faults))
