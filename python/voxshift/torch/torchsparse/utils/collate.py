"""Batches of sparse tensors."""

from typing import Any, List

import numpy as np
import torch

import voxshift as vs
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.tensor import SparseTensor


def _column_of_batch(index: int, coords: torch.Tensor) -> torch.Tensor:
    batch = torch.full((len(coords), 1), index, dtype=torch.int, device=coords.device)
    return torch.cat((batch, coords) if rules().batch == 0 else (coords, batch), dim=1)


def sparse_collate(inputs: List[SparseTensor]) -> SparseTensor:
    """One tensor of many, whose coords [N, 3] get a column for the batch. Raises ValueError for different strides."""
    coords, feats = [], []
    for index, x in enumerate(inputs):
        if x.stride != inputs[0].stride:
            raise vs.InvalidArgument(f"[sparse_collate] expects equal strides, found {x.stride} and {inputs[0].stride}")
        coords.append(_column_of_batch(index, torch.as_tensor(x.coords)))
        feats.append(torch.as_tensor(x.feats))
    return SparseTensor(torch.cat(feats), torch.cat(coords), inputs[0].stride)


def sparse_collate_fn(inputs: List[Any]) -> Any:
    """A DataLoader's collate_fn: dicts of sparse tensors, arrays and anything else, by key."""
    if not isinstance(inputs[0], dict):
        return inputs
    output = {}
    for name, first in inputs[0].items():
        values = [item[name] for item in inputs]
        if isinstance(first, dict):
            output[name] = sparse_collate_fn(values)
        elif isinstance(first, (np.ndarray, torch.Tensor)):
            output[name] = torch.stack([torch.as_tensor(value) for value in values])
        elif isinstance(first, SparseTensor):
            output[name] = sparse_collate(values)
        else:
            output[name] = values
    return output
