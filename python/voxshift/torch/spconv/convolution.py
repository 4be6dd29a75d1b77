"""What all convolutions of this package are."""

import math
from typing import List, NamedTuple, Optional, Sequence, Union

import torch
from torch import nn
from torch.nn import init

import voxshift as vs
from voxshift.torch import functional, recording
from voxshift.torch.expected import expect
from voxshift.torch.ordered import Cells, Features
from voxshift.torch.sparse_tensor import SparseTensor
from voxshift.torch.spconv import layouts
from voxshift.torch.spconv.algo import ConvAlgo
from voxshift.torch.spconv.core import IndiceData, SparseConvTensor, Window, aligned, as_float, as_given, expand_nd, operand
from voxshift.torch.spconv.modules import SparseModule
from voxshift.torch.spconv.ops import get_conv_output_size, get_deconv_output_size, maximum_value_int_

Size = Union[int, Sequence[int]]

_COUNT = "max_num_voxels_during_training"
_ACTIVATIONS = {
    "None_": lambda x, alpha: x,
    "ReLU": lambda x, alpha: torch.relu(x),
    "Sigmoid": lambda x, alpha: torch.sigmoid(x),
    "LeakyReLU": torch.nn.functional.leaky_relu,
}


class Folded(NamedTuple):
    """What follows on a layer's features: act(features * scale + shift), float32 [out]."""

    scale: torch.Tensor
    shift: torch.Tensor
    activation: Optional[str]

    def fold(self, kernel, bias):
        """Kernel and bias that give the layer's features times scale plus shift."""
        folded = torch.mul(kernel, self.scale, out=kernel.new_empty(kernel.shape))
        return folded, self.shift if bias is None else torch.addcmul(self.shift, bias, self.scale)


class SparseConvolution(SparseModule):
    """What all layers below are: a convolution of a SparseConvTensor, weight [out, *kernel, in], row-major taps, no flip.

    A layer with an indice_key leaves its map under that name, for submanifold layers of the same kernel and for an inverse
    layer to use. A kernel of one tap is a product of every row with weight.view(in, out), whatever shape the weight says, as
    in spconv. algo, fp32_accum and large_kernel_fast_algo are taken and have no effect. Features of other floating dtypes are
    computed in float32.
    """

    layout = "KRSC"
    data_type = IndiceData

    def __init__(
        self,
        ndim: int,
        in_channels: int,
        out_channels: int,
        kernel_size: Size = 3,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        subm: bool = False,
        output_padding: Size = 0,
        transposed: bool = False,
        inverse: bool = False,
        indice_key: Optional[str] = None,
        algo: Optional[ConvAlgo] = None,
        fp32_accum: Optional[bool] = None,
        record_voxel_count: bool = False,
        act_type: object = None,
        act_alpha: float = 0,
        act_beta: float = 0,
        large_kernel_fast_algo: bool = False,
        name: Optional[str] = None,
        device: Optional[torch.device] = None,
        dtype: Optional[torch.dtype] = None,
    ):
        super().__init__(name=name)
        if groups != 1:
            raise vs.InvalidArgument(f"[SparseConvolution] groups expects 1, found {groups}: spconv has no others")
        self.ndim, self.in_channels, self.out_channels = ndim, in_channels, out_channels
        self.kernel_size, self.stride = expand_nd(ndim, kernel_size), expand_nd(ndim, stride)
        self.padding, self.dilation = expand_nd(ndim, padding), expand_nd(ndim, dilation)
        self.output_padding = expand_nd(ndim, output_padding)
        self.groups, self.subm, self.transposed, self.inverse = groups, subm, transposed, inverse
        self.indice_key, self.record_voxel_count = indice_key, record_voxel_count
        self.algo, self.fp32_accum = algo or ConvAlgo.Native, fp32_accum
        self.act_type, self.act_alpha, self.act_beta = act_type, act_alpha, act_beta
        self.conv1x1 = self._is_product()
        self.weight_shape = layouts.shape_of(self.layout, self.kernel_size, in_channels, out_channels)
        self.weight = nn.Parameter(torch.zeros(self.weight_shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", nn.Parameter(torch.zeros(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()
        if record_voxel_count and not subm and not inverse:
            self.register_buffer(_COUNT, torch.zeros(1, dtype=torch.int32, device=device))
        self._register_load_state_dict_pre_hook(self._take_layout)

    def _is_product(self) -> bool:
        if math.prod(self.kernel_size) != 1:
            return False
        if self.subm or math.prod(self.stride) == 1:
            if not self.subm and any(self.padding):
                raise vs.InvalidArgument(f"[SparseConvolution] a kernel of one tap expects no padding, found {self.padding}")
            return True
        return False

    def reset_parameters(self) -> None:
        """Uniform numbers below 1 / sqrt(in_channels times taps), as spconv 2's and torch's convolutions have."""
        bound = 1 / math.sqrt(self.in_channels * math.prod(self.kernel_size))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def is_inverseable(self) -> bool:
        """Whether an inverse layer may go back on this one."""
        return self.indice_key is not None and not self.subm

    def get_max_num_voxels(self) -> Optional[torch.Tensor]:
        """int32 [1]: the most rows that the layer has given, None unless record_voxel_count."""
        return getattr(self, _COUNT, None)

    def _take_layout(self, state_dict, prefix, *_):
        counts = prefix + _COUNT
        if hasattr(self, _COUNT):
            state_dict.setdefault(counts, torch.zeros(1, dtype=torch.int32))
        key = prefix + "weight"
        if key in state_dict:
            state_dict[key] = layouts.converted(
                state_dict[key], self.layout, self.kernel_size, self.in_channels, self.out_channels, key
            )

    def kernel(self, taps: Optional[int] = None) -> torch.Tensor:
        """float32 [K, in, out], or of its first taps; [in, out] where conv1x1."""
        if self.conv1x1:
            kernel = self.weight.reshape(self.in_channels, self.out_channels)
        else:
            kernel = layouts.kernel_of(self.weight, self.layout)[:taps]
        kernel = as_float(kernel)
        recording.derived(self.weight, kernel)
        return kernel

    def forward(
        self, input: SparseConvTensor, add_input: Optional[SparseConvTensor] = None, after: Optional[Folded] = None
    ) -> SparseConvTensor:
        """after: what follows on the features, computed in the same pass where no gradient is wanted."""
        expect("spconv", input, SparseConvTensor)
        if input.at_hand.shape[1] != self.in_channels:
            raise vs.InvalidArgument(
                f"[spconv] the layer expects {self.in_channels} channels, the tensor has {input.at_hand.shape[1]}"
            )
        out = self._product(input, after) if self.conv1x1 else self._convolution(input, after)
        if hasattr(self, _COUNT):
            maximum_value_int_(getattr(self, _COUNT), len(out.at_hand))
        if add_input is not None:
            out = out.with_rows(torch.add(*aligned(out, add_input)))
        act = getattr(self.act_type, "name", None) or "None_"
        return out if act == "None_" else out.with_rows(_ACTIVATIONS[act](out.at_hand, self.act_alpha))

    def _product(self, x, after):
        feats, kernel, bias = x.at_hand, self.kernel(), self._bias()
        if after:
            return x.with_rows(functional.inferred_product(feats, *after.fold(kernel, bias), after.activation))
        return x.with_rows(as_given(functional.product(operand(feats), kernel, bias, self.ndim), feats))

    def _bias(self):
        bias = self.bias
        if bias is None or bias.dtype == torch.float32:
            return bias
        given, bias = bias, bias.float()
        recording.derived(given, bias)
        return bias

    def _convolution(self, x, after):
        data = x.find_indice_pair(self.indice_key)
        if self.inverse:
            self._check_inverse(x, data)
            out = self._run("conv_transpose", x.on(data.target), data.window, after)
            return x._with(Features(data.source, sorted=out.feats), data.spatial_shape)
        shape = self._out_shape(x.spatial_shape)
        if data is not None:
            self._check_reuse(x, data)
            out = self._run(self._op(), x.on(data.source), data.window, after)
            return x._with(Features(data.target, sorted=out.feats), shape)
        source = x.cells()
        out = self._run(self._op(), x.rows(), self.window(), after)
        target = source if self.subm else Cells.of(out.coordinates)
        made = x._with(Features(target, sorted=out.feats), shape)
        if self.indice_key is not None:
            data = self.data_type(self, source, target, (x.spatial_shape, shape))
            made.indice_dict = self._kept(x.indice_dict, data)
        return made

    def _op(self) -> str:
        return "generative_conv_transpose" if self.transposed else "conv"

    def _kept(self, maps, data):
        """The maps of the layer's result."""
        return {**maps, self.indice_key: data}

    def _out_shape(self, shape: Sequence[int]) -> List[int]:
        if self.subm:
            return list(shape)
        sizes = (shape, self.kernel_size, self.stride, self.padding, self.dilation)
        return get_deconv_output_size(*sizes, self.output_padding) if self.transposed else get_conv_output_size(*sizes)

    def window(self) -> Window:
        """Which taps meet which rows."""
        window = {"kernel_size": self.kernel_size, "dilation": self.dilation}
        if self.subm:
            if any(k % 2 == 0 for k in self.kernel_size):
                raise vs.InvalidArgument(
                    f"[spconv] a submanifold layer expects odd kernels, found {self.kernel_size}; spconv 1 takes even ones"
                )
            return Window({**window, "stride": [1] * self.ndim, "padding": [0] * self.ndim, "semantics": "floor"})
        return Window({**window, "stride": self.stride, "padding": self.padding, "semantics": "bounded"})

    def _run(self, op, rows, window, after):
        given = rows.sorted
        coordinates, options = rows.cells.coordinates, window.options
        if op == "generative_conv_transpose":
            options = {**options, "output_padding": self._more_padding()}
            if any(size % step for size, step in zip(coordinates.stride, self.stride)):
                # spconv's grids may be finer than the network's input; voxshift's strides count from the finest.
                finest = [size * step for size, step in zip(coordinates.stride, self.stride)]
                coordinates = vs.Coordinates(coordinates.coords, finest, coordinates.shape)
        tensor = SparseTensor._of(coordinates, operand(given))
        kernel, bias = self._kernel_of(window), self._bias()
        if after:
            return functional.inferred_conv(tensor, *after.fold(kernel, bias), after.activation, op=op, **options)
        out = functional.conv3d(tensor, kernel, bias, op=op, **options)
        return out.with_feats(as_given(out.feats, given))

    def _kernel_of(self, window):
        """[K, in, out] for the taps of a map, which another layer may have made."""
        size = math.prod(window.options["kernel_size"])
        taps = size if window.taps is None else len(window.taps)
        if taps > math.prod(self.kernel_size):
            raise vs.InvalidArgument(
                f"[spconv] indice_key {self.indice_key!r} has a map of {taps} taps, the layer's kernel is {self.kernel_size}"
            )
        kernel = self.kernel(taps)
        if window.taps is None:
            return kernel
        spread = kernel.new_zeros(size, *kernel.shape[1:]).index_copy(0, window.taps.to(kernel.device), kernel)
        recording.derived(self.weight, spread)
        return spread

    def _more_padding(self):
        """What spconv's extent of the output is larger by than that of the taps."""
        sizes = zip(self.output_padding, self.kernel_size, self.dilation)
        return [more + k - (d * (k - 1) + 1) for more, k, d in sizes]

    def _check_inverse(self, x, data):
        if data is None:
            raise vs.InvalidArgument(f"[spconv] no layer before the inverse one has the indice_key {self.indice_key!r}")
        if data.is_subm:
            raise vs.InvalidArgument("[spconv] an inverse layer goes back on a strided one, found a submanifold one")
        self._expect("kernel size", data.ksize, self.kernel_size)
        self._expect("spatial shape", data.out_spatial_shape, x.spatial_shape)
        self._expect("number of indices", len(data.target), len(x.at_hand))

    def _check_reuse(self, x, data):
        if not self.subm or not data.is_subm:
            raise vs.InvalidArgument(
                f"[spconv] indice_key {self.indice_key!r} is of another layer, and submanifold layers alone share maps; "
                "spconv 1 and mmcv take the first one: voxshift.torch.spconv.v1"
            )
        self._expect("kernel size", data.ksize, self.kernel_size)
        self._expect("dilation", data.dilation, self.dilation)
        self._expect("spatial shape", data.spatial_shape, x.spatial_shape)
        self._expect("number of indices", len(data.source), len(x.at_hand))

    def _expect(self, what, expected, found):
        if expected != found:
            raise vs.InvalidArgument(
                f"[spconv] layers that share the indice_key {self.indice_key!r} have the same {what}, expected {expected}, "
                f"found {found}"
            )

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for name in ("padding", "dilation", "output_padding"):
            if getattr(self, name) != [int(name == "dilation")] * self.ndim:
                text += f", {name}={getattr(self, name)}"
        return text + ("" if self.bias is not None else ", bias=False")
