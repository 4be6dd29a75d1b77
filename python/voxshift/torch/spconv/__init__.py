"""spconv.pytorch's names over voxshift's operators: `from voxshift.torch import spconv` in place of `import spconv.pytorch as spconv`.

Networks run, train and export with the names of their state_dict; weights are laid out as in spconv 2.2 and later, those of
other versions are turned as they are loaded (saved_layout where the shape does not tell). Where spconv 1 and mmcv.ops differ,
`voxshift.torch.spconv.v1` has their rules. Tensors are float32, on the CPU or on a CUDA device; results have the same bits
for any number of threads. Differences from spconv: SparseGlobalAvgPool gives all channels; features may be set, as in spconv 1;
a map whose pairs the library cannot turn, that of a transposed layer, has no inverse.
"""

from voxshift.torch.spconv import constants, conv, core, functional, modules, ops, pool, tables, utils, v1
from voxshift.torch.spconv.algo import ConvAlgo
from voxshift.torch.spconv.conv import (
    SparseConv1d,
    SparseConv2d,
    SparseConv3d,
    SparseConv4d,
    SparseConvTranspose1d,
    SparseConvTranspose2d,
    SparseConvTranspose3d,
    SparseConvTranspose4d,
    SparseInverseConv1d,
    SparseInverseConv2d,
    SparseInverseConv3d,
    SparseInverseConv4d,
    SubMConv1d,
    SubMConv2d,
    SubMConv3d,
    SubMConv4d,
)
from voxshift.torch.spconv.convolution import SparseConvolution
from voxshift.torch.spconv.core import IndiceData, SparseConvTensor
from voxshift.torch.spconv.layouts import saved_layout
from voxshift.torch.spconv.modules import (
    Identity,
    RemoveGrid,
    SparseBatchNorm,
    SparseIdentity,
    SparseModule,
    SparseReLU,
    SparseSequential,
    SparseSyncBatchNorm,
    ToDense,
    assign_name_for_sparse_modules,
)
from voxshift.torch.spconv.pool import (
    SparseAvgPool,
    SparseAvgPool1d,
    SparseAvgPool2d,
    SparseAvgPool3d,
    SparseAvgPool4d,
    SparseGlobalAvgPool,
    SparseGlobalMaxPool,
    SparseMaxPool,
    SparseMaxPool1d,
    SparseMaxPool2d,
    SparseMaxPool3d,
    SparseMaxPool4d,
)
from voxshift.torch.spconv.tables import AddTable, AddTableMisaligned, ConcatTable, JoinTable
from voxshift.torch.spconv.voxels import PointToVoxel

__all__ = [
    "AddTable",
    "AddTableMisaligned",
    "ConcatTable",
    "ConvAlgo",
    "Identity",
    "IndiceData",
    "JoinTable",
    "PointToVoxel",
    "RemoveGrid",
    "SparseAvgPool",
    "SparseAvgPool1d",
    "SparseAvgPool2d",
    "SparseAvgPool3d",
    "SparseAvgPool4d",
    "SparseBatchNorm",
    "SparseConv1d",
    "SparseConv2d",
    "SparseConv3d",
    "SparseConv4d",
    "SparseConvTensor",
    "SparseConvTranspose1d",
    "SparseConvTranspose2d",
    "SparseConvTranspose3d",
    "SparseConvTranspose4d",
    "SparseConvolution",
    "SparseGlobalAvgPool",
    "SparseGlobalMaxPool",
    "SparseIdentity",
    "SparseInverseConv1d",
    "SparseInverseConv2d",
    "SparseInverseConv3d",
    "SparseInverseConv4d",
    "SparseMaxPool",
    "SparseMaxPool1d",
    "SparseMaxPool2d",
    "SparseMaxPool3d",
    "SparseMaxPool4d",
    "SparseModule",
    "SparseReLU",
    "SparseSequential",
    "SparseSyncBatchNorm",
    "SubMConv1d",
    "SubMConv2d",
    "SubMConv3d",
    "SubMConv4d",
    "ToDense",
    "assign_name_for_sparse_modules",
    "constants",
    "conv",
    "core",
    "functional",
    "modules",
    "ops",
    "pool",
    "saved_layout",
    "tables",
    "utils",
    "v1",
]
