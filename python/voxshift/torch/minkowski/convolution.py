"""Convolutions."""

import math
from typing import Any, Optional, Tuple

import torch
from torch import nn

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.expected import expect
from voxshift.torch.functional import conv3d
from voxshift.torch.memory import numbers
from voxshift.torch.minkowski.common import (
    ConvolutionMode,
    CoordinateMapKey,
    FunctionOf,
    MinkowskiModuleBase,
    RegionType,
    StrideType,
)
from voxshift.torch.minkowski.kernel_generator import KernelGenerator
from voxshift.torch.minkowski.sparse_tensor import SparseTensor, key_of, on_key
from voxshift.torch.ordered import Cells, Features
from voxshift.torch.sparse_tensor import SparseTensor as Voxels
from voxshift.torch.windows import LaidOut, conv_by_pairs, lay_out, layout_of


def strides_of(x: SparseTensor, generator: KernelGenerator, transposed: bool):
    """The tensor stride of a layer's result. Raises ValueError where a transposed one does not divide."""
    steps = list(zip(x.tensor_stride, generator.kernel_stride))
    if transposed and any(stride % step for stride, step in steps):
        raise vs.InvalidArgument(
            f"[minkowski] a tensor of stride {x.tensor_stride} cannot go back by {generator.kernel_stride}"
        )
    return [stride // step if transposed else stride * step for stride, step in steps]


class Layer:
    """One convolution: from what, onto what, by which window."""

    def __init__(self, x: SparseTensor, weight: torch.Tensor, bias, generator: KernelGenerator, laid_out: LaidOut):
        self.x, self.weight, self.generator, self.laid_out = x, weight, generator, laid_out
        self.bias = None if bias is None else recording.derived(bias, bias.view(-1))
        self.manager, self.layout = x.coordinate_manager, layout_of(generator.window)

    @property
    def is_regular(self) -> bool:
        """Whether the input's coordinates are multiples of its stride."""
        return self.manager.is_regular(self.x.coordinate_map_key)

    def run(self, op: str, coordinates: vs.Coordinates, stride=None, weight=None) -> Voxels:
        """The library's op on the input's features, which lie on these coordinates."""
        return conv3d(
            Voxels._of(coordinates, self.x._features.sorted),
            self.laid_out(self.weight, self.layout) if weight is None else weight,
            self.bias,
            kernel_size=list(self.layout.kernel_size),
            stride=stride or self.generator.kernel_stride,
            dilation=self.generator.kernel_dilation,
            op=op,
        )

    def result(self, key: CoordinateMapKey, feats: torch.Tensor) -> SparseTensor:
        return SparseTensor.on(self.manager, key, Features(self.manager.cells(key), sorted=feats))

    def forward(self, key: Optional[CoordinateMapKey]) -> SparseTensor:
        """Onto a map, or the one that rounds down."""
        in_key = self.x.coordinate_map_key
        key = key or self.manager.stride(in_key, self.generator.kernel_stride)
        if self.manager.coarse(in_key, key) is not None and key.get_tensor_stride() == strides_of(
            self.x, self.generator, False
        ):
            return self.result(key, self.run("conv", self.manager.cells(in_key).coordinates).feats)
        return self.listed(key, transposed=False)

    def back(self, key: Optional[CoordinateMapKey]) -> SparseTensor:
        """Onto a map, the one of the finer tensor stride if there is one, or what the window makes."""
        stride = strides_of(self.x, self.generator, True)
        key = key or CoordinateMapKey(stride)
        if not self.manager.exists(key):
            return self.generate()
        coarse = self.manager.coarse(key, self.x.coordinate_map_key) if key.get_tensor_stride() == stride else None
        if coarse is not None:
            return self.result(key, self.run("conv_transpose", coarse).feats)
        return self.listed(key, transposed=True)

    def generate(self) -> SparseTensor:
        """Onto all coordinates that the window makes of the input's."""
        stride = strides_of(self.x, self.generator, True)
        if len(self.generator.window) == self.layout.volume and self.is_regular:
            y = self.run("generative_conv_transpose", self.x._features.cells.coordinates)
            return self.result(self.manager.insert(stride, Cells.of(y.coordinates)), y.feats)
        return self.listed(self._made(stride, stride), transposed=True)

    def expand(self) -> SparseTensor:
        """A convolution onto all coordinates that lie an offset away from the input's."""
        stride = strides_of(self.x, self.generator, False)
        window = self.generator.window
        is_symmetric = self.generator.is_cube and all(n % 2 for n in self.generator.kernel_size)
        if is_symmetric and self.generator.requires_strided_coordinates and self.is_regular:
            # out = in - offset: the transposed window, whose offsets are the same ones.
            flipped = lay_out(self.weight, layout_of(tuple(tuple(-o for o in offset) for offset in window)))
            y = self.run("generative_conv_transpose", self.x._features.cells.coordinates, weight=flipped)
            return self.result(self.manager.insert(stride, Cells.of(y.coordinates)), y.feats)
        return self.listed(self._made(self.x.tensor_stride, stride), transposed=False)

    def _made(self, unit, stride) -> CoordinateMapKey:
        """A new map of the input's coordinates plus each offset on a grid of the unit, multiples of the stride."""
        coords = self.x.C.long()
        places = coords[:, None] + coords.new_tensor([(0, *offset) for offset in self.generator.full_offsets(unit)])
        places = places.view(-1, places.shape[-1])
        steps = coords.new_tensor((1, *stride))
        places = torch.div(places[(places % steps == 0).all(dim=1)], steps, rounding_mode="floor").int()
        made = vs.Coordinates(numbers("convolution", "coordinates", places, places.device), list(stride))
        return self.manager.insert(stride, Cells.of(made))

    def listed(self, key: CoordinateMapKey, transposed: bool) -> SparseTensor:
        """Onto a map that the library's ops do not lead to."""
        pairs = self.manager.pairs(self.x.coordinate_map_key, key, self.generator, transposed)
        weight = self.weight if self.weight.dim() == 3 else self.weight.unsqueeze(0)
        out = conv_by_pairs(self.x._features.sorted, weight, pairs, self.manager.size(key))
        out = out if self.bias is None else out + self.bias
        recording.refuse("a convolution whose coordinates no op of voxshift's gives", out)
        return self.result(key, out)


class MinkowskiConvolutionBase(MinkowskiModuleBase):
    """kernel: float32 [K, Cin, Cout], first axis fastest, [Cin, Cout] for one tap of stride 1. bias: float32 [1, Cout]."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        bias: bool = False,
        kernel_generator: Optional[KernelGenerator] = None,
        expand_coordinates: bool = False,
        convolution_mode: ConvolutionMode = ConvolutionMode.DEFAULT,
        dimension: int = -1,
        has_bias: bool = False,
        is_transpose: bool = False,
    ):
        """A kernel_generator replaces kernel_size, stride and dilation. has_bias: version 0.4's name of bias."""
        super().__init__()
        if not dimension or dimension < 1:
            raise vs.InvalidArgument(f"[minkowski] dimension expects 1 to 4, found {dimension}")
        if kernel_generator is None:
            kernel_generator = KernelGenerator(kernel_size, stride, dilation, dimension=dimension)
        kernel_generator.expand_coordinates = expand_coordinates
        self.in_channels, self.out_channels, self.is_transpose = in_channels, out_channels, is_transpose
        self.kernel_generator, self.dimension, self.convolution_mode = kernel_generator, dimension, convolution_mode
        self.use_mm = kernel_generator.kernel_volume == 1 and kernel_generator.requires_strided_coordinates
        shape: Tuple[int, ...] = (in_channels, out_channels)
        self.kernel = nn.Parameter(torch.empty(shape if self.use_mm else (kernel_generator.kernel_volume, *shape)))
        self.bias = nn.Parameter(torch.empty(1, out_channels)) if bias or has_bias else None
        self._laid_out = LaidOut()
        self.reset_parameters(is_transpose)

    def forward(self, input: SparseTensor, coordinates: Any = None) -> SparseTensor:
        """coordinates: a tensor, sparse tensor or key whose coordinates the result is to lie on."""
        expect("minkowski", input, SparseTensor)
        if input.D != self.dimension:
            raise vs.InvalidArgument(f"[minkowski] a layer of {self.dimension} dimensions was given {input.D}")
        generator = self.kernel_generator
        layer = Layer(input, self.kernel, self.bias, generator, self._laid_out)
        if self.use_mm:
            x = Voxels._of(input._features.cells.coordinates, input._features.sorted)
            y = conv3d(x, self.kernel, layer.bias, kernel_size=1)
            return layer.result(input.coordinate_map_key, y.feats)
        key = key_of(input, coordinates, strides_of(input, generator, self.is_transpose))
        if key is None and generator.expand_coordinates:
            return layer.generate() if self.is_transpose else layer.expand()
        return layer.back(key) if self.is_transpose else layer.forward(key)

    def reset_parameters(self, is_transpose: bool = False) -> None:
        """Uniform in 1 / sqrt(fan) of either sign."""
        fan = (self.out_channels if is_transpose else self.in_channels) * self.kernel_generator.kernel_volume
        bound = 1 / math.sqrt(fan)
        nn.init.uniform_(self.kernel, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def __repr__(self) -> str:
        generator = self.kernel_generator
        size = f"kernel_size={generator.kernel_size}"
        if generator.region_type is RegionType.CUSTOM:
            size = f"region_type={generator.region_type}, kernel_volume={generator.kernel_volume}"
        return (
            f"{type(self).__name__}(in={self.in_channels}, out={self.out_channels}, {size}, "
            f"stride={generator.kernel_stride}, dilation={generator.kernel_dilation})"
        )


class MinkowskiConvolution(MinkowskiConvolutionBase):
    """Convolution onto coordinates rounded down, or with expand_coordinates onto all that the window reaches."""


class MinkowskiConvolutionTranspose(MinkowskiConvolutionBase):
    """Convolution back onto the coordinates of the finer tensor stride, which it makes where there are none."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs, is_transpose=True)


class MinkowskiGenerativeConvolutionTranspose(MinkowskiConvolutionBase):
    """Transposed convolution that makes all coordinates its window reaches."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs, is_transpose=True, expand_coordinates=True)


class MinkowskiChannelwiseConvolution(MinkowskiModuleBase):
    """Depthwise convolution. kernel: float32 [K, C]. bias: float32 [1, C]."""

    def __init__(
        self,
        in_channels: int,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        bias: bool = False,
        kernel_generator: Optional[KernelGenerator] = None,
        dimension: int = -1,
    ):
        super().__init__()
        if kernel_generator is None:
            kernel_generator = KernelGenerator(kernel_size, stride, dilation, dimension=dimension)
        self.kernel_generator, self.in_channels, self.dimension = kernel_generator, in_channels, dimension
        self.kernel_shape = (kernel_generator.kernel_volume, in_channels)
        self.kernel = nn.Parameter(torch.empty(self.kernel_shape))
        self.bias = nn.Parameter(torch.empty(1, in_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in 1 / sqrt(fan) of either sign."""
        bound = 1 / math.sqrt(self.in_channels * self.kernel_generator.kernel_volume)
        nn.init.uniform_(self.kernel, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, input: SparseTensor, coords: Any = None) -> SparseTensor:
        expect("minkowski", input, SparseTensor)
        if input.shape[1] != self.in_channels:
            raise vs.InvalidArgument(f"[minkowski] expects {self.in_channels} channels, found {input.shape[1]}")
        manager, generator = input.coordinate_manager, self.kernel_generator
        in_key = input.coordinate_map_key
        key = key_of(input, coords, strides_of(input, generator, False)) or manager.stride(in_key, generator.kernel_stride)
        feats = input._features.sorted
        out = feats.new_zeros((manager.size(key), self.in_channels))
        for weight, (to, of) in zip(self.kernel, manager.pairs(in_key, key, generator, False)):
            out = out.index_add(0, to, feats[of] * weight)  # no row twice: index_add has one order
        if self.bias is not None:
            out = out + self.bias
        if coords is None and manager.coarse(in_key, key) is not None:
            self._note(feats, out)
        return SparseTensor.on(manager, key, Features(manager.cells(key), sorted=out))

    def _note(self, feats, out):
        generator, layout = self.kernel_generator, layout_of(self.kernel_generator.window)
        window = {"stride": generator.kernel_stride, "dilation": generator.kernel_dilation}
        recording.note(
            "conv",
            (feats,),
            out,
            weight=recording.derived(self.kernel, lay_out(self.kernel, layout).unsqueeze(1)),
            bias=None if self.bias is None else recording.derived(self.bias, self.bias.view(-1)),
            kernel_size=list(layout.kernel_size),
            padding=[0] * generator.dimension,
            semantics="floor",
            groups=self.in_channels,
            **window,
        )

    def __repr__(self) -> str:
        generator = self.kernel_generator
        return (
            f"{type(self).__name__}(in={self.in_channels}, region_type={generator.region_type}, "
            f"kernel_size={generator.kernel_size}, stride={generator.kernel_stride}, dilation={generator.kernel_dilation})"
        )


class _Convolution(FunctionOf):
    transposed = False

    def apply(self, feats, weight, generator, convolution_mode, in_key, out_key=None, manager=None):
        """The features of a convolution of features on in_key onto out_key, which is set where it was not."""
        layer = Layer(on_key(manager, in_key, feats), weight, None, generator, LaidOut())
        key = out_key if out_key is not None and out_key.is_key_set() else None
        if key is None and generator.expand_coordinates:
            out = layer.generate() if self.transposed else layer.expand()
        else:
            out = layer.back(key) if self.transposed else layer.forward(key)
        if out_key is not None and key is None:
            out_key.set_key(*out.coordinate_map_key.get_key())
        return out.F


class _ConvolutionTranspose(_Convolution):
    transposed = True


MinkowskiConvolutionFunction = _Convolution()
MinkowskiConvolutionTransposeFunction = _ConvolutionTranspose()
