"""Tensors of a voxshift model file, for libraries that are compared on its weights."""

import json

import numpy as np


def read_tensors(path):
    """name -> float32 array of a .safetensors file."""
    with open(path, "rb") as file:
        size = int(np.frombuffer(file.read(8), "<u8")[0])
        header = json.loads(file.read(size))
        data = file.read()
    return {name: np.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}
