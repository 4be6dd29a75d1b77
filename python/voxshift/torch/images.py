"""Images of networks and voxels seen from above, with gradients: what detectors are made of.

Convolutions are torch's, on memory with the channels last; torch's operators give the same bits on one thread.
"""

import torch
from torch.nn import functional

from voxshift.torch.functional import linear, per_axis
from voxshift.torch.gradients import gradient
from voxshift.torch.values import Images


def _planes(x):
    """[M, C, H, W] on the memory of images."""
    return x.images.permute(0, 3, 1, 2)


def _of_planes(x, planes):
    return x.with_images(planes.permute(0, 2, 3, 1))


def torch_conv2d(x, *, weight, bias=None, stride, padding, dilation, groups):
    """conv2d of Images by torch."""
    stride, padding, dilation = (per_axis(value, 2) for value in (stride, padding, dilation))
    return _of_planes(x, functional.conv2d(_planes(x), weight, bias, stride, padding, dilation, groups))


@gradient("conv_transpose2d", of="images")
def _conv_transpose2d(x, *, weight, bias=None, stride, padding, output_padding, dilation, groups):
    kernel = list(weight.shape[2:])
    is_plain = groups == 1 and set(per_axis(dilation, 2)) == {1} and not any(per_axis(padding, 2))
    if is_plain and per_axis(stride, 2) in ([0, 0], kernel) and not any(per_axis(output_padding, 2)):
        return _side_by_side(x, weight, bias)
    stride = [step or size for step, size in zip(per_axis(stride, 2), kernel)]  # 0: windows side by side
    padding, output_padding, dilation = (per_axis(value, 2) for value in (padding, output_padding, dilation))
    planes = functional.conv_transpose2d(_planes(x), weight, bias, stride, padding, output_padding, groups, dilation)
    return _of_planes(x, planes)


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


@gradient("max_pool2d", of="images")
def _max_pool2d(x, *, kernel_size, stride, padding):
    return _of_planes(x, functional.max_pool2d(_planes(x), kernel_size, stride, padding))


@gradient("pad", of="images")
def _pad(x, *, left, right, top, bottom):
    return _of_planes(x, functional.pad(_planes(x), (left, right, top, bottom)))


@gradient("upsample", of="images")
def _upsample(x, *, scale_factor, size, mode, align_corners):
    scaled = [of * by for of, by in zip(x.extent, per_axis(scale_factor, 2))]
    extent = scaled if all(scaled) else per_axis(size, 2)
    corners = align_corners if mode == "bilinear" else None
    return _of_planes(x, functional.interpolate(_planes(x), extent, mode=mode, align_corners=corners))


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
