"""MinkowskiEngine.utils."""

from voxshift.torch.minkowski.utils.collation import (
    SparseCollation,
    batch_sparse_collate,
    batched_coordinates,
    sparse_collate,
)
from voxshift.torch.minkowski.utils.coords import get_coords_map
from voxshift.torch.minkowski.utils.init import kaiming_normal_
from voxshift.torch.minkowski.utils.quantization import (
    fnv_hash_vec,
    quantize,
    quantize_label,
    ravel_hash_vec,
    sparse_quantize,
    unique_coordinate_map,
)

__all__ = [
    "SparseCollation",
    "batch_sparse_collate",
    "batched_coordinates",
    "fnv_hash_vec",
    "get_coords_map",
    "kaiming_normal_",
    "quantize",
    "quantize_label",
    "ravel_hash_vec",
    "sparse_collate",
    "sparse_quantize",
    "unique_coordinate_map",
]
