"""Images of another extent: pooling, interpolation, padding."""

import torch

from voxshift.torch.recording.products import images, new_images, pair_of, with_channels
from voxshift.torch.recording.structure import channels_in_order, image_form
from voxshift.torch.recording.table import Refused, records
from voxshift.torch.recording.values import REPEATED, Atom


def _window(kernel_size, stride, padding):
    kernel = pair_of(kernel_size)
    return kernel, kernel if stride is None or stride == [] else pair_of(stride), pair_of(padding)


def _is_floor(call, value, kernel, stride, padding):
    """Whether the result has the extent that rounding down gives."""
    extents = value.groups["h"], value.groups["w"]
    floors = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(extents, kernel, stride, padding)]
    return floors == list(call.result.shape[-2:])


@records("max_pool2d", "max_pool2d_with_indices")
def _max_pool2d(call, input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    value = images(call, input)
    kernel, stride, padding = _window(kernel_size, stride, padding)
    if return_indices or pair_of(dilation) != [1, 1] or not _is_floor(call, value, kernel, stride, padding):
        raise Refused("with indices, dilation or parts of windows")
    if any(a != b for a, b in (kernel, stride, padding)):
        raise Refused("of windows that are no squares")
    options = {"kernel_size": kernel[0], "stride": stride[0], "padding": padding[0]}
    return new_images(call, value, call.node("max_pool2d", [value], **options))


@records("avg_pool2d")
def _avg_pool2d(
    call, input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
):
    value = images(call, input)
    kernel, stride, padding = _window(kernel_size, stride, padding)
    if divisor_override is not None or not _is_floor(call, value, kernel, stride, padding):
        raise Refused("with another divisor or parts of windows")
    options = {
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "count_include_pad": bool(count_include_pad),
    }
    return new_images(call, value, call.node("avg_pool2d", [value], **options))


@records("interpolate", "upsample", "upsample_nearest", "upsample_bilinear")
def _interpolate(
    call,
    input,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
):
    mode = "bilinear" if call.function == "upsample_bilinear" else mode
    align = bool(align_corners) or call.function == "upsample_bilinear"
    value = image_form(call, call.value(input))
    if value.is_pooled and len(value.dims) == 4 and not any(value.dims[2:]):  # one pixel, spread over all
        dims = [*value.dims[:2], *[(Atom(REPEATED, 0, n),) for n in call.result.shape[2:]]]
        return value.but(dims=dims)
    value = images(call, input)
    if mode not in ("nearest", "bilinear") or antialias:
        raise Refused(f"of mode {mode}")
    extents, wanted = (value.groups["h"], value.groups["w"]), call.result.shape[2:]
    if all(new % old == 0 for new, old in zip(wanted, extents)):
        options = {"scale_factor": [new // old for new, old in zip(wanted, extents)]}
    elif scale_factor is not None and not recompute_scale_factor:
        raise Refused("by a factor that is no whole number")
    else:
        options = {"size": list(wanted)}
    options = {**options, "mode": mode, "align_corners": align and mode == "bilinear"}
    return new_images(call, value, call.node("upsample", [value], **options))


@records("pad", "constant_pad_nd")
def _pad(call, input, pad, mode="constant", value=None):
    if mode != "constant" or value:
        raise Refused(f"of mode {mode}, or with other numbers than zeros")
    sides = list(pad) + [0] * (8 - len(pad))
    x = image_form(call, call.value(input))
    if sides[4] or sides[5]:
        x = channels_in_order(call, x, -3)
        count = x.channels + sides[4] + sides[5]
        weight = torch.zeros(count, x.channels)
        weight[sides[4] : sides[4] + x.channels] = torch.eye(x.channels)
        x = with_channels(x, call.node("linear", [x], weight=weight), count, len(x.dims) - 3)
    left, right, top, bottom = sides[:4]
    if any(sides[6:]) or min(sides) < 0:
        raise Refused("of images, or by less than nothing")
    if not (left or right or top or bottom):
        return x
    if not x.is_images or x.dims[-2:] != (x.whole("h"), x.whole("w")):
        raise Refused("of what are no images [N, C, H, W]")
    name = call.node("pad", [x], left=left, right=right, top=top, bottom=bottom)
    height, width = x.groups["h"] + top + bottom, x.groups["w"] + left + right
    dims = (*x.dims[:-2], (Atom("h", 1, height),), (Atom("w", 1, width),))
    return x.but(name=name, dims=dims, groups={**x.groups, "h": height, "w": width})
