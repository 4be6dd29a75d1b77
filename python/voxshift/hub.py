"""Models in repositories of the Hugging Face Hub, by huggingface_hub: pip install 'voxshift[hub]'.

voxshift.Model.load takes such addresses itself. What was brought once lies in the hub's cache (HF_HOME), where
it is found without a network, too; HF_HUB_OFFLINE=1 asks nothing but the cache.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Optional
from urllib.parse import unquote

from voxshift._voxshift import InvalidArgument, IoError, __version__

__all__ = ["Address", "fetch", "parse"]

_ADDRESS = re.compile(r"hf://(?:models/)?([\w.-]+/[\w.-]+)(?:@([^/@]+))?(?:/(.+))?")
_USUAL = "model.safetensors"


class Address(NamedTuple):
    """A model in the hub."""

    repo: str
    """ORG/NAME."""
    revision: Optional[str]
    """A branch, a tag or a commit; None: the repository's main branch."""
    file: Optional[str]
    """The file in the repository; None: model.safetensors, or the only .safetensors file."""


def parse(address: str) -> Address:
    """The parts of "hf://ORG/NAME[@REVISION][/FILE.safetensors]", as fsspec writes them.

    A revision with a slash is written with %2F. Raises ValueError for another text.
    """
    found = _ADDRESS.fullmatch(address)
    repo, revision, file = found.groups() if found else (None, None, None)
    if repo is None or (file is not None and (not file.endswith(".safetensors") or ".." in file.split("/"))):
        raise InvalidArgument(f'[hub] expected "hf://ORG/NAME[@REVISION][/FILE.safetensors]", found "{address}"')
    return Address(repo, unquote(revision) if revision else None, file)


def _library() -> ModuleType:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        if error.name != "huggingface_hub":
            raise
        raise ImportError(
            "models of the hub (hf://..) need huggingface_hub: pip install 'voxshift[hub]', or huggingface_hub alone"
        ) from error
    return huggingface_hub


def _only(names: list[str], address: str, where: str) -> str:
    """The one .safetensors file among a repository's."""
    found = sorted(name for name in names if name.endswith(".safetensors"))
    if len(found) == 1:
        return found[0]
    listed = ": " + ", ".join(found[:8]) + (", .." if len(found) > 8 else "") if found else ""
    raise IoError(
        f"{address}: expected {_USUAL} or a single .safetensors file {where}, found {len(found) or 'none'}{listed}"
        + (f"; name one: {address}/{found[0]}" if found else "")
    )


def _cached(hub: ModuleType, wanted: Address) -> dict[str, Path]:
    """Files of the revision that the cache has, by their names in the repository."""
    try:
        repos = hub.scan_cache_dir().repos
    except hub.CacheNotFound:
        return {}
    for repo in repos:
        if repo.repo_type != "model" or repo.repo_id != wanted.repo:
            continue
        for revision in repo.revisions:
            if (wanted.revision or "main") in {revision.commit_hash, *revision.refs}:
                files = [file.file_path for file in revision.files]
                return {path.relative_to(revision.snapshot_path).as_posix(): path for path in files}
    return {}


def _download(hub: ModuleType, wanted: Address, file: str) -> Path:
    return Path(
        hub.hf_hub_download(wanted.repo, file, revision=wanted.revision, library_name="voxshift", library_version=__version__)
    )


def _found(hub: ModuleType, wanted: Address, address: str) -> Path:
    from huggingface_hub.utils import EntryNotFoundError, LocalEntryNotFoundError

    if wanted.file is not None:
        return _download(hub, wanted, wanted.file)
    try:
        return _download(hub, wanted, _USUAL)
    except LocalEntryNotFoundError:  # no network: a file of another name may be there
        there = _cached(hub, wanted)
        if not there:
            raise
        return there[_only(list(there), address, "in the cache")]
    except EntryNotFoundError:
        names = hub.HfApi(library_name="voxshift", library_version=__version__).list_repo_files(
            wanted.repo, revision=wanted.revision
        )
        return _download(hub, wanted, _only(names, address, "in the repository"))


def fetch(address: str) -> Path:
    """The local file of a model in the hub, brought into the hub's cache where it is not there yet.

    address: "hf://ORG/NAME", of which model.safetensors is taken, or the only .safetensors file it has;
    "hf://ORG/NAME/FILE.safetensors"; each with "@REVISION" behind the name: a branch, tag or commit. Without a network, and
    with HF_HUB_OFFLINE=1, what the cache has is all that there is. Files of private repositories need the token that
    `hf auth login` or HF_TOKEN gives.

    Raises ImportError without huggingface_hub, ValueError for another address, and OSError "ADDRESS: .." where no such
    repository, revision or file is there, where there are several files, and where the hub cannot be reached and the
    cache has no such file.
    """
    wanted = parse(address)
    hub = _library()
    from huggingface_hub import constants, utils

    try:
        return _found(hub, wanted, address)
    except IoError:
        raise
    except utils.LocalEntryNotFoundError as error:
        why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        raise IoError(f"{address}: is not in the cache {constants.HF_HUB_CACHE}, and {why}") from error
    except utils.EntryNotFoundError as error:
        raise IoError(f"{address}: the repository has no file {wanted.file}") from error
    except utils.RevisionNotFoundError as error:
        raise IoError(f"{address}: the repository has no revision {wanted.revision}") from error
    except utils.RepositoryNotFoundError as error:  # the same answer for one that may not be read
        raise IoError(f"{address}: no such repository, or one that needs a token: hf auth login") from error
    except Exception as error:  # a refusal of the hub, a broken connection, a full disk
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise IoError(f"{address}: {lines[0]}") from error
