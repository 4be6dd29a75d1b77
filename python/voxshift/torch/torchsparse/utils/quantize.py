"""Points to voxels."""

from typing import List, Sequence, Union

import numpy as np

import voxshift as vs


def sparse_quantize(
    coords: np.ndarray,
    voxel_size: Union[float, Sequence[float]] = 1,
    *,
    return_index: bool = False,
    return_inverse: bool = False,
) -> Union[np.ndarray, List[np.ndarray]]:
    """The voxels int32 [M, 3] of points [N, 3], floor(coords / voxel_size), in lexicographic order.

    return_index adds the first point int64 [M] of each voxel, return_inverse the voxel int64 [N] of each point. Raises
    ValueError for another shape. No points give no voxels.
    """
    coords = np.asarray(coords)
    if coords.ndim != 2 or coords.shape[1] != 3:
        raise vs.InvalidArgument(f"[sparse_quantize] coords expects [N, 3], found {list(coords.shape)}")
    size = np.broadcast_to(np.asarray(voxel_size, np.float64), 3)
    cells = np.floor(coords / size).astype(np.int32)
    cells, index, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    outputs = [cells] + [index] * return_index + [inverse.reshape(-1)] * return_inverse
    return outputs[0] if len(outputs) == 1 else outputs
