"""torchsparse.backend: what model code uses of its compiled module."""

from typing import Optional, Sequence

import torch

import voxshift as vs
from voxshift.torch.torchsparse.nn.functional.query import sphashquery
from voxshift.torch.torchsparse.nn.utils.kernel import window


class GPUHashTable:
    """Rows by key or by voxel, on the CPU. Look-ups give 1 more than the row, 0 for none."""

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
        self._cells = vs.Coordinates(coords[:, [3, 0, 1, 2]].contiguous().int().numpy())
        self._order = torch.empty(self._cells.size, dtype=torch.int)
        self._order[torch.from_numpy(self._cells.inverse).long()] = torch.arange(len(coords), dtype=torch.int)

    def lookup_coords(
        self, coords: torch.Tensor, kernel_sizes: Sequence[int], strides: Sequence[int], kernel_volume: int
    ) -> torch.Tensor:
        """int32 [N, K] for voxels int32 [N, 4]: what lies at coords * strides + each offset of the window."""
        size = [int(n) for n in kernel_sizes]
        offsets = torch.tensor(window(size, [-((n - 1) // 2) for n in size]), dtype=torch.int)
        places = torch.zeros((len(coords), len(offsets), 4), dtype=torch.int)
        places[..., 0] = coords[:, 3:].int()
        places[..., 1:] = (coords[:, None, :3] * torch.as_tensor(strides)).int() + offsets
        rows = torch.from_numpy(self._cells.find(places.view(-1, 4).numpy())).long()
        found = torch.where(rows >= 0, self._order[rows.clamp(min=0)] + 1 if len(self._order) else rows.int() * 0, 0)
        return found.view(len(coords), len(offsets)).int()
