"""Torch's activations that are several ops of graphs."""

import torch

from voxshift.torch.recording.arithmetic import absolute, affine, inverse, mapped
from voxshift.torch.recording.structure import image_form
from voxshift.torch.recording.table import Refused, place_of, records

_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946  # torch's


def _scaled(call, value, factor, shift=0.0):
    """factor * x + shift of every number."""
    tensors = [torch.full((value.channels,), float(number)) for number in (factor, shift)]
    return affine(call, value, *tensors)


def _of_both(call, op, first, second):
    return first.but(name=call.node(op, [first, second]))


@records("selu", "selu_")
def _selu(call, input, inplace=False):
    return _scaled(call, mapped(call, call.value(input), "elu", alpha=_SELU_ALPHA), _SELU_SCALE)


@records("celu", "celu_")
def _celu(call, input, alpha=1.0, inplace=False):
    """alpha elu(x / alpha)."""
    return _scaled(call, mapped(call, _scaled(call, call.value(input), 1 / alpha), "elu", alpha=1.0), alpha)


@records("tanhshrink")
def _tanhshrink(call, input):
    value = image_form(call, call.value(input))
    return _of_both(call, "subtract", value, mapped(call, value, "tanh"))


@records("softsign")
def _softsign(call, input):
    value = image_form(call, call.value(input))
    return _of_both(call, "multiply", value, inverse(call, _scaled(call, absolute(call, value), 1, 1)))


@records("softshrink")
def _softshrink(call, input, lambd=0.5):
    """relu(x - lambd) - relu(-x - lambd)."""
    value = image_form(call, call.value(input))
    parts = [mapped(call, _scaled(call, value, sign, -lambd), "relu") for sign in (1, -1)]
    return _of_both(call, "subtract", *parts)


@records("softmin")
def _softmin(call, input, dim=None, _stacklevel=3, dtype=None):
    value = image_form(call, call.value(input))
    if dim is None or dtype not in (None, torch.float32) or not value.is_channels(place_of(dim, value)):
        raise Refused("along what are not the channels")
    return value.but(name=call.node("softmax", [_scaled(call, value, -1)]))


@records("rrelu", "rrelu_")
def _rrelu(call, input, lower=1 / 8, upper=1 / 3, training=False, inplace=False):
    if training:
        raise Refused("in training mode")
    return mapped(call, call.value(input), "leaky_relu", slope=(lower + upper) / 2)
