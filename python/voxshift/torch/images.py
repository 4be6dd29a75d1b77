"""Images of networks and voxels seen from above, with gradients: what detectors are made of.

Convolutions are torch's, on memory with the channels last; torch's operators give the same bits on one thread. On a GPU those
that may add in any order there have others in their place, of which each sum has one.
"""

from contextlib import contextmanager
from itertools import product

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from voxshift.torch.functional import linear, per_axis
from voxshift.torch.gradients import gradient
from voxshift.torch.precision import of_product
from voxshift.torch.values import Images


def _planes(x):
    """[M, C, H, W] on the memory of images."""
    return x.images.permute(0, 3, 1, 2)


def _of_planes(x, planes):
    return x.with_images(planes.permute(0, 2, 3, 1))


@contextmanager
def _one_order():
    """cuDNN with the algorithms alone whose sums have one order."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = False, True
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


class _ConvInOneOrder(Function):
    @staticmethod
    def forward(ctx, x, weight, bias, *options):
        ctx.save_for_backward(x, weight)
        ctx.options, ctx.biases = options, None if bias is None else list(bias.shape)
        with _one_order():
            return torch.ops.aten.convolution(x, weight, bias, *options)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        wanted = list(ctx.needs_input_grad[:3])
        with _one_order():
            gradients = torch.ops.aten.convolution_backward(grad, *ctx.saved_tensors, ctx.biases, *ctx.options, wanted)
        return (*gradients, *[None] * len(ctx.options))


def _conv(planes, weight, bias, *options):
    if planes.device.type == "cpu":
        return torch.ops.aten.convolution(planes, weight, bias, *options)
    planes = of_product(planes)
    weight, bias = (None if tensor is None else tensor.to(planes.dtype) for tensor in (weight, bias))
    return _ConvInOneOrder.apply(planes, weight, bias, *options)


def torch_conv2d(x, *, weight, bias=None, stride, padding, dilation, groups):
    """conv2d of Images by torch."""
    stride, padding, dilation = (per_axis(value, 2) for value in (stride, padding, dilation))
    return _of_planes(x, _conv(_planes(x), weight, bias, stride, padding, dilation, False, [0, 0], groups))


@gradient("conv_transpose2d", of="images")
def _conv_transpose2d(x, *, weight, bias=None, stride, padding, output_padding, dilation, groups):
    kernel = list(weight.shape[2:])
    is_plain = groups == 1 and set(per_axis(dilation, 2)) == {1} and not any(per_axis(padding, 2))
    if is_plain and per_axis(stride, 2) in ([0, 0], kernel) and not any(per_axis(output_padding, 2)):
        return _side_by_side(x, weight, bias)
    stride = [step or size for step, size in zip(per_axis(stride, 2), kernel)]  # 0: windows side by side
    padding, output_padding, dilation = (per_axis(value, 2) for value in (padding, output_padding, dilation))
    return _of_planes(x, _conv(_planes(x), weight, bias, stride, padding, dilation, True, output_padding, groups))


def _side_by_side(x, weight, bias):
    """The transposed convolution whose windows do not overlap: a product, then every pixel's window in its place."""
    across, out, *kernel = weight.shape
    rows = linear(x.feats, weight.permute(2, 3, 1, 0).reshape(-1, across))
    windows = rows.reshape(-1, *x.extent, *kernel, out).transpose(2, 3)
    images = windows.reshape(len(windows), x.extent[0] * kernel[0], x.extent[1] * kernel[1], out)
    return x.with_images(images if bias is None else images + bias)


@gradient("avg_pool2d", of="images")
def _avg_pool2d(x, *, kernel_size, stride, padding, count_include_pad):
    kernel, padding = per_axis(kernel_size, 2), per_axis(padding, 2)
    stride = [step or size for step, size in zip(per_axis(stride, 2), kernel)]  # 0: windows side by side
    return _of_planes(x, functional.avg_pool2d(_planes(x), kernel, stride, padding, False, count_include_pad))


class _MaxPoolInOneOrder(Function):
    @staticmethod
    def forward(ctx, planes, kernel, stride, padding):
        out, place = functional.max_pool2d(planes, kernel, stride, padding, return_indices=True)
        ctx.save_for_backward(place)
        ctx.shape, ctx.window = planes.shape, (kernel, stride, padding)
        ctx.mark_non_differentiable(place)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        """Offset by offset, each of which meets a pixel once."""
        (place,) = ctx.saved_tensors
        kernel, stride, padding = ctx.window
        height, width = ctx.shape[2:]
        rows, columns = place.shape[2:]
        extent = [height + 2 * padding[0] + kernel[0], width + 2 * padding[1] + kernel[1]]
        padded = grad.new_zeros((*ctx.shape[:2], *extent))
        for y, x in product(range(kernel[0]), range(kernel[1])):
            own = _pixels(rows, stride[0], y - padding[0], place)[:, None] * width
            own = own + _pixels(columns, stride[1], x - padding[1], place)
            ends = (y + (rows - 1) * stride[0] + 1, x + (columns - 1) * stride[1] + 1)
            padded[:, :, y : ends[0] : stride[0], x : ends[1] : stride[1]] += grad * (place == own)
        inner = padded[:, :, padding[0] : padding[0] + height, padding[1] : padding[1] + width]
        return inner.contiguous(), None, None, None


def _pixels(count, stride, offset, like):
    return torch.arange(count, device=like.device) * stride + offset


@gradient("max_pool2d", of="images")
def _max_pool2d(x, *, kernel_size, stride, padding):
    planes = _planes(x)
    if planes.device.type == "cpu":
        return _of_planes(x, functional.max_pool2d(planes, kernel_size, stride, padding))
    kernel, padding = per_axis(kernel_size, 2), per_axis(padding, 2)
    stride = [step or size for step, size in zip(per_axis(stride, 2), kernel)]
    return _of_planes(x, _MaxPoolInOneOrder.apply(planes.contiguous(), kernel, stride, padding))


@gradient("pad", of="images")
def _pad(x, *, left, right, top, bottom):
    return _of_planes(x, functional.pad(_planes(x), (left, right, top, bottom)))


@gradient("upsample", of="images")
def _upsample(x, *, scale_factor, size, mode, align_corners):
    scaled = [of * by for of, by in zip(x.extent, per_axis(scale_factor, 2))]
    extent = scaled if all(scaled) else per_axis(size, 2)
    corners = align_corners if mode == "bilinear" else None
    if x.feats.device.type == "cpu" or mode != "bilinear":
        return _of_planes(x, functional.interpolate(_planes(x), extent, mode=mode, align_corners=corners))
    down, across = (_shares(*sizes, corners, x.feats) for sizes in zip(x.extent, extent))
    return _of_planes(x, down @ _planes(x) @ across.t())


def _shares(size, wanted, corners, like):
    """float32 [wanted, size]: what of each pixel along an axis each of the wanted ones is mixed of."""
    each = torch.eye(size, dtype=like.dtype, device=like.device)[:, None, :, None]
    return functional.interpolate(each, (wanted, 1), mode="bilinear", align_corners=corners)[:, 0, :, 0].t()


@gradient("bird_eye_view", of="voxels", counts_clouds=True)
def bird_eye_view(x, *, shape, axis, clouds):
    """Images [clouds, H, W, C * depth] of the voxels x of 3 dimensions: channel c * depth + z is height z's channel c."""
    extents = per_axis(shape, 3)
    depth = extents.pop(axis)
    coords = x.coords.long()
    height = coords[:, 1 + axis]
    y, x_ = (coords[:, 1 + a] for a in range(3) if a != axis)
    inside = (y >= 0) & (y < extents[0]) & (x_ >= 0) & (x_ < extents[1]) & (height >= 0) & (height < depth)
    place = (((coords[:, 0] * extents[0] + y) * extents[1]) + x_) * depth + height
    feats = x.feats if bool(inside.all()) else x.feats[inside]
    pixels, channels = clouds * extents[0] * extents[1], x.feats.shape[1]
    columns = feats.new_zeros(pixels * depth, channels).index_copy(0, place[inside], feats)
    if depth > 1:
        columns = columns.reshape(pixels, depth, channels).transpose(1, 2).reshape(pixels, channels * depth)
    return Images(columns, tuple(extents), max(clouds, 1), axis)
