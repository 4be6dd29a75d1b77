"""Functions of numbers and of rows, by torch, whatever the rows are."""

import torch
from torch.nn import functional as F

from voxshift.torch.clouds import cylindrical
from voxshift.torch.gradients import gradient

gradient("elu", of="rows")(lambda x, alpha: F.elu(x, alpha))
gradient("gelu", of="rows")(lambda x, approximate: F.gelu(x, approximate=approximate))
gradient("hard_sigmoid", of="rows")(lambda x: F.hardsigmoid(x))
gradient("hard_swish", of="rows")(lambda x: F.hardswish(x))
gradient("power", of="rows")(lambda x, exponent: x.pow(exponent))
gradient("prelu", of="rows")(lambda x, weight: F.prelu(x, weight))
gradient("silu", of="rows")(lambda x: F.silu(x))
gradient("tanh", of="rows")(lambda x: torch.tanh(x))

gradient("cylindrical", of="rows")(lambda x: cylindrical(x[:, :3]))
gradient("l2_normalize", of="rows")(lambda x, eps: F.normalize(x, dim=1, eps=eps))
gradient("log_softmax", of="rows")(lambda x: x.log_softmax(1))
gradient("softmax", of="rows")(lambda x: x.softmax(1))


@gradient("layer_norm", of="rows")
def _layer_norm(x, weight, bias, eps):
    """In float64 as the library's, up to the weight: rows of nearly equal numbers lose no digits."""
    x = x.double()
    x = x - x.mean(1, keepdim=True)
    return (x * torch.rsqrt((x * x).mean(1, keepdim=True) + eps)).float() * weight + bias
