"""The model file that a name, path or URI stands for, its hash, and the model in it."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple, Optional

import voxshift as vs
from voxshift.batch.storage import Storage, last_part

DEFAULT = "minkunet-lidar"


class ModelFile(NamedTuple):
    """A model and what its labels are known by."""

    model: vs.Model
    name: str  # of its file, without folders
    sha256: str  # of its file, hexadecimal


def model_place(model: str, dtype: str) -> str:
    """The path or URI: a trained model's name, as "minkunet-lidar", stands for the file that the package has of it."""
    if "://" in model or os.sep in model or os.path.exists(model) or model.endswith(".safetensors"):
        return model
    folder = Path(vs.__file__).parent / "models"
    names = [f"{model}-i8", model] if dtype == "i8" else [model]
    for name in names:
        if (folder / f"{name}.safetensors").exists():
            return str(folder / f"{name}.safetensors")
    raise vs.IoError(f"{model}: no such file, nor a trained model: expected one of {', '.join(trained(folder))}")


def trained(folder: Path) -> list[str]:
    """The names of the trained models that the package brings."""
    return sorted(path.stem for path in folder.glob("*.safetensors")) or ["none, for the package has no models"]


def hash_of(data: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def load_model(
    storage: Storage, model: str, device: str, dtype: str, threads: Optional[int], profile: Optional[str]
) -> ModelFile:
    """Reads the model for `device` and `threads`. Raises OSError "FILE: ..", ValueError and RuntimeError as Model.load."""
    place = model_place(model, dtype)
    # A model beside the package is local, whatever the scans' file system.
    data = Path(place).read_bytes() if "://" not in place and os.path.exists(place) else storage.read(place)
    with tempfile.TemporaryDirectory(prefix="voxshift") as folder:
        path = Path(place)
        if not path.is_file():
            path = Path(folder) / last_part(place)
            path.write_bytes(data)
        loaded = vs.Model.load(path, device=device, threads=threads, profile=profile, dtype=dtype)
        if loaded.profile is None or "frames" in loaded.profile:
            raise vs.IoError(f"{place}: expected a model that labels points, found {loaded.arch}")
        return ModelFile(loaded, last_part(place), hash_of(data))
