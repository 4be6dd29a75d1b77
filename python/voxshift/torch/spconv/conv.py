"""The convolutions of spconv.pytorch.conv, in 1 to 4 dimensions."""

from typing import Optional

from voxshift.torch.spconv.algo import ConvAlgo
from voxshift.torch.spconv.convolution import Size, SparseConvolution


class _Strided(SparseConvolution):
    dims = 0
    is_transposed = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        indice_key: Optional[str] = None,
        algo: Optional[ConvAlgo] = None,
        fp32_accum: Optional[bool] = None,
        record_voxel_count: bool = False,
        large_kernel_fast_algo: bool = False,
        name: Optional[str] = None,
        **more,
    ):
        super().__init__(
            self.dims,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            transposed=self.is_transposed,
            indice_key=indice_key,
            algo=algo,
            fp32_accum=fp32_accum,
            record_voxel_count=record_voxel_count,
            large_kernel_fast_algo=large_kernel_fast_algo,
            name=name,
            **more,
        )


class _Transposed(_Strided):
    is_transposed = True


class _Inverse(SparseConvolution):
    dims = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        indice_key: Optional[str] = None,
        bias: bool = True,
        algo: Optional[ConvAlgo] = None,
        fp32_accum: Optional[bool] = None,
        large_kernel_fast_algo: bool = False,
        name: Optional[str] = None,
        **more,
    ):
        super().__init__(
            self.dims,
            in_channels,
            out_channels,
            kernel_size,
            bias=bias,
            inverse=True,
            indice_key=indice_key,
            algo=algo,
            fp32_accum=fp32_accum,
            large_kernel_fast_algo=large_kernel_fast_algo,
            name=name,
            **more,
        )


class _SubM(SparseConvolution):
    dims = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        indice_key: Optional[str] = None,
        algo: Optional[ConvAlgo] = None,
        fp32_accum: Optional[bool] = None,
        large_kernel_fast_algo: bool = False,
        name: Optional[str] = None,
        **more,
    ):
        super().__init__(
            self.dims,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            subm=True,
            indice_key=indice_key,
            algo=algo,
            fp32_accum=fp32_accum,
            large_kernel_fast_algo=large_kernel_fast_algo,
            name=name,
            **more,
        )


class SparseConv1d(_Strided):
    """Every output that a tap reaches within the bounds of floor((n + 2 p - d (k - 1) - 1) / s) + 1 cells, on 1 axis."""

    dims = 1


class SparseConv2d(_Strided):
    """Every output that a tap reaches within the bounds of floor((n + 2 p - d (k - 1) - 1) / s) + 1 cells, on 2 axes."""

    dims = 2


class SparseConv3d(_Strided):
    """Every output that a tap reaches within the bounds of floor((n + 2 p - d (k - 1) - 1) / s) + 1 cells, on 3 axes."""

    dims = 3


class SparseConv4d(_Strided):
    """Every output that a tap reaches within the bounds of floor((n + 2 p - d (k - 1) - 1) / s) + 1 cells, on 4 axes."""

    dims = 4


class SparseConvTranspose1d(_Transposed):
    """Every output in * stride - padding + tap * dilation within (n - 1) s - 2 p + k + output_padding cells, on 1 axis."""

    dims = 1


class SparseConvTranspose2d(_Transposed):
    """Every output in * stride - padding + tap * dilation within (n - 1) s - 2 p + k + output_padding cells, on 2 axes."""

    dims = 2


class SparseConvTranspose3d(_Transposed):
    """Every output in * stride - padding + tap * dilation within (n - 1) s - 2 p + k + output_padding cells, on 3 axes."""

    dims = 3


class SparseConvTranspose4d(_Transposed):
    """Every output in * stride - padding + tap * dilation within (n - 1) s - 2 p + k + output_padding cells, on 4 axes."""

    dims = 4


class SparseInverseConv1d(_Inverse):
    """From the rows that the layer of this indice_key gave back to those that it took, on its map, on 1 axis."""

    dims = 1


class SparseInverseConv2d(_Inverse):
    """From the rows that the layer of this indice_key gave back to those that it took, on its map, on 2 axes."""

    dims = 2


class SparseInverseConv3d(_Inverse):
    """From the rows that the layer of this indice_key gave back to those that it took, on its map, on 3 axes."""

    dims = 3


class SparseInverseConv4d(_Inverse):
    """From the rows that the layer of this indice_key gave back to those that it took, on its map, on 4 axes."""

    dims = 4


class SubMConv1d(_SubM):
    """At the rows of the input; stride and padding have no effect, on 1 axis."""

    dims = 1


class SubMConv2d(_SubM):
    """At the rows of the input; stride and padding have no effect, on 2 axes."""

    dims = 2


class SubMConv3d(_SubM):
    """At the rows of the input; stride and padding have no effect, on 3 axes."""

    dims = 3


class SubMConv4d(_SubM):
    """At the rows of the input; stride and padding have no effect, on 4 axes."""

    dims = 4
