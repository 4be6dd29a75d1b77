"""Libraries that are imported where they are used."""

from __future__ import annotations

import importlib
from types import ModuleType


def needed(module: str, what: str) -> ModuleType:
    """The module; raises ImportError with the line of pip where it is missing. what: as ".las files"."""
    library = module.split(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != library:
            raise
        raise ImportError(
            f"voxshift.io needs {library} for {what}: pip install 'voxshift[io]', or {library} alone"
        ) from error
