"""Maps between tensors."""

from typing import Tuple

import torch

from voxshift.torch.minkowski.sparse_tensor import SparseTensor
from voxshift.torch.minkowski.tensor import check_managers


def get_coords_map(x: SparseTensor, y: SparseTensor) -> Tuple[torch.Tensor, torch.Tensor]:
    """(rows of x, rows of the coarser y that they round down to). Raises ValueError for tensors of different managers."""
    check_managers(x, y)
    return x.coordinate_manager.stride_map(x.coordinate_map_key, y.coordinate_map_key)
