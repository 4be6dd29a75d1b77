"""Pooling."""

from typing import Any, Optional

import torch

import voxshift as vs
from voxshift.torch import pooling, recording
from voxshift.torch.expected import expect
from voxshift.torch.memory import copied, numbers
from voxshift.torch.minkowski.common import CoordinateMapKey, MinkowskiModuleBase, PoolingMode, StrideType
from voxshift.torch.minkowski.convolution import strides_of
from voxshift.torch.minkowski.kernel_generator import KernelGenerator
from voxshift.torch.minkowski.sparse_tensor import SparseTensor, key_of
from voxshift.torch.minkowski.tensor import Tensor
from voxshift.torch.ordered import Cells, Features
from voxshift.torch.points import voxelize_features
from voxshift.torch.sparse_tensor import SparseTensor as Voxels
from voxshift.torch.windows import layout_of, pool_by_pairs, swapped

_LOCAL = {
    PoolingMode.LOCAL_SUM_POOLING: ("sum", pooling.sum_pool),
    PoolingMode.LOCAL_AVG_POOLING: ("mean", pooling.avg_pool),
    PoolingMode.LOCAL_MAX_POOLING: ("max", pooling.max_pool),
}


class MinkowskiPoolingBase(MinkowskiModuleBase):
    """Reduces the voxels present in each window. One as large as its stride takes what rounds down to the voxel."""

    pooling_mode = PoolingMode.LOCAL_AVG_POOLING
    is_transpose = False

    def __init__(
        self,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        kernel_generator: Optional[KernelGenerator] = None,
        dimension: int = -1,
        expand_coordinates: bool = False,
    ):
        super().__init__()
        if kernel_generator is None:
            kernel_generator = KernelGenerator(
                kernel_size, stride, dilation, expand_coordinates=expand_coordinates, dimension=dimension
            )
        self.kernel_generator, self.dimension = kernel_generator, dimension

    def forward(self, input: SparseTensor, coordinates: Any = None) -> SparseTensor:
        """coordinates: a tensor, sparse tensor or key whose coordinates the result is to lie on."""
        expect("minkowski", input, SparseTensor)
        manager, generator, in_key = input.coordinate_manager, self.kernel_generator, input.coordinate_map_key
        stride = strides_of(input, generator, False)
        key = key_of(input, coordinates, stride) or manager.stride(in_key, generator.kernel_stride)
        reduce, pool = _LOCAL[self.pooling_mode]
        options = self._options()
        if options and manager.coarse(in_key, key) is not None and key.get_tensor_stride() == stride:
            x = Voxels._of(manager.cells(in_key).coordinates, input._features.sorted)
            feats = pool(x, **options).feats
        else:
            feats = pool_by_pairs(input._features.sorted, self._pairs(manager, in_key, key), manager.size(key), reduce)
            recording.refuse("pooling whose coordinates no op of voxshift's gives", feats)
        return SparseTensor.on(manager, key, Features(manager.cells(key), sorted=feats))

    @property
    def _rounds_down(self) -> bool:
        return self.kernel_generator.kernel_size == self.kernel_generator.kernel_stride

    def _options(self) -> Optional[dict]:
        """The library's window of the same voxels, if it has one."""
        generator = self.kernel_generator
        if not generator.is_cube or (self._rounds_down and any(n % 2 and n > 1 for n in generator.kernel_size)):
            return None
        dilation = [1] * generator.dimension if self._rounds_down else generator.kernel_dilation
        size = list(layout_of(generator.window).kernel_size)
        return {"kernel_size": size, "stride": generator.kernel_stride, "dilation": dilation}

    def _pairs(self, manager, in_key, key):
        if self._rounds_down:
            return manager.parents(in_key, key)
        return manager.pairs(in_key, key, self.kernel_generator, transposed=False)

    def __repr__(self) -> str:
        generator = self.kernel_generator
        return (
            f"{type(self).__name__}(kernel_size={generator.kernel_size}, stride={generator.kernel_stride}, "
            f"dilation={generator.kernel_dilation})"
        )


class MinkowskiAvgPooling(MinkowskiPoolingBase):
    """The mean of the voxels present."""


class MinkowskiSumPooling(MinkowskiPoolingBase):
    """The sum of the voxels present."""

    pooling_mode = PoolingMode.LOCAL_SUM_POOLING


class MinkowskiMaxPooling(MinkowskiPoolingBase):
    """The maximum of the voxels present."""

    pooling_mode = PoolingMode.LOCAL_MAX_POOLING


class MinkowskiPoolingTranspose(MinkowskiPoolingBase):
    """The sum of the coarse voxels whose window a voxel of the finer tensor stride lies in."""

    is_transpose = True

    def forward(self, input: SparseTensor, coordinates: Any = None) -> SparseTensor:
        expect("minkowski", input, SparseTensor)
        manager, generator, in_key = input.coordinate_manager, self.kernel_generator, input.coordinate_map_key
        stride = strides_of(input, generator, True)
        key = key_of(input, coordinates, stride)
        if key is None:
            key = CoordinateMapKey(stride)
            if generator.expand_coordinates or not manager.exists(key):
                key = manager.insert(stride, _generated(input, generator, stride))
        if self._rounds_down:
            pairs = swapped(manager.parents(key, in_key))
        else:
            pairs = manager.pairs(in_key, key, generator, transposed=True)
        feats = pool_by_pairs(input._features.sorted, pairs, manager.size(key), "sum")
        recording.refuse("transposed pooling", feats)
        return SparseTensor.on(manager, key, Features(manager.cells(key), sorted=feats))


def _generated(x, generator, stride):
    coords = x.C.long()
    places = coords[:, None] + coords.new_tensor([(0, *offset) for offset in generator.full_offsets(stride)])
    cells = torch.div(places.view(-1, x.D + 1), coords.new_tensor((1, *stride)), rounding_mode="floor").int()
    return Cells.of(vs.Coordinates(numbers("pooling", "coordinates", cells, cells.device), list(stride)))


class MinkowskiGlobalPooling(MinkowskiModuleBase):
    """Reduces all voxels, or points, of each batch, in ascending order of batches."""

    def __init__(self, mode: PoolingMode = PoolingMode.GLOBAL_AVG_POOLING_PYTORCH_INDEX):
        super().__init__()
        self.pooling_mode = mode

    def forward(self, input: Tensor, coordinates: Any = None) -> SparseTensor:
        expect("minkowski", input, Tensor)
        reduce = self.pooling_mode.name.split("_")[1].lower()
        out = pooled_by_batch(input, "mean" if reduce == "avg" else reduce)
        recording.note(f"{reduce}_pool", (input.rows(),), out.rows())
        return out

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mode={self.pooling_mode})"


def pooled_by_batch(x: Tensor, reduce: str) -> SparseTensor:
    """One row per batch on the manager's origin: "mean", "sum" or "max" of x.rows()."""
    manager = x.coordinate_manager
    key = manager.origin()
    cells = manager.cells(key)
    batches = copied(cells.coordinates.coords)[:, 0].long()
    inverse = torch.searchsorted(batches, x.batch_of_rows())
    feats = voxelize_features(x.rows(), inverse.int(), len(batches), reduce)
    return SparseTensor.on(manager, key, Features(cells, sorted=feats))


class MinkowskiGlobalSumPooling(MinkowskiGlobalPooling):
    """The sum over each batch."""

    def __init__(self, mode: PoolingMode = PoolingMode.GLOBAL_SUM_POOLING_PYTORCH_INDEX):
        super().__init__(mode)


class MinkowskiGlobalAvgPooling(MinkowskiGlobalPooling):
    """The mean over each batch."""


class MinkowskiGlobalMaxPooling(MinkowskiGlobalPooling):
    """The maximum over each batch."""

    def __init__(self, mode: PoolingMode = PoolingMode.GLOBAL_MAX_POOLING_PYTORCH_INDEX):
        super().__init__(mode)
