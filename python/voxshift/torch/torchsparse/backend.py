"""torchsparse.backend: what model code uses of its compiled module."""

from typing import Optional, Sequence

import torch

import voxshift as vs
from voxshift.torch.memory import counted, numbers, tensor_of
from voxshift.torch.torchsparse.nn.functional.query import sphashquery
from voxshift.torch.torchsparse.nn.utils.kernel import window


class GPUHashTable:
    """Rows by key or by voxel. Look-ups give 1 more than the row, 0 for none."""

    def __init__(self, keys: Optional[torch.Tensor] = None, values: Optional[torch.Tensor] = None):
        """keys and values are the memory of torchsparse's table, which is not used."""
        self._values: Optional[torch.Tensor] = None
        self._cells: Optional[vs.Coordinates] = None

    def insert_vals(self, references: torch.Tensor) -> None:
        self._values = references

    def lookup_vals(self, queries: torch.Tensor) -> torch.Tensor:
        return sphashquery(queries, self._values) + 1

    def insert_coords(self, coords: torch.Tensor) -> None:
        """Voxels int32 [M, 4]: x, y, z, batch."""
        places = coords[:, [3, 0, 1, 2]].int()
        self._cells = vs.Coordinates(numbers("GPUHashTable", "coords", places, places.device))
        self._order = torch.empty(self._cells.size, dtype=torch.int, device=places.device)
        self._order[tensor_of(self._cells.inverse).long()] = counted(len(coords), places.device)

    def lookup_coords(
        self, coords: torch.Tensor, kernel_sizes: Sequence[int], strides: Sequence[int], kernel_volume: int
    ) -> torch.Tensor:
        """int32 [N, K] for voxels int32 [N, 4]: what lies at coords * strides + each offset of the window."""
        size = [int(n) for n in kernel_sizes]
        device = coords.device
        offsets = torch.tensor(window(size, [-((n - 1) // 2) for n in size]), dtype=torch.int, device=device)
        places = torch.zeros((len(coords), len(offsets), 4), dtype=torch.int, device=device)
        places[..., 0] = coords[:, 3:].int()
        places[..., 1:] = (coords[:, None, :3] * torch.as_tensor(strides).to(device)).int() + offsets
        found = self._cells.find(numbers("GPUHashTable", "coords", places.view(-1, 4), device))
        rows = tensor_of(found).long()
        found = self._order[rows.clamp(min=0)] + 1 if len(self._order) else rows.int()
        found = found.masked_fill(rows < 0, 0)
        return found.view(len(coords), len(offsets)).int()
