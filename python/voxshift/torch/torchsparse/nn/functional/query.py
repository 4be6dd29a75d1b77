"""Look-ups by hash."""

import torch


def sphashquery(queries: torch.Tensor, references: torch.Tensor) -> torch.Tensor:
    """int64, shaped as queries: the first reference that equals each, -1 for none."""
    keys, index = torch.sort(references.flatten(), stable=True)
    if not len(keys):
        return torch.full_like(queries, -1)
    wanted = queries.contiguous()
    place = torch.searchsorted(keys, wanted).clamp_(max=len(keys) - 1)
    return index[place].masked_fill(keys[place] != wanted, -1)
