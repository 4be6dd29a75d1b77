"""Names of spconv that choose between its kernels: taken and without effect, as there is one way to compute here."""

from enum import Enum


class ConvAlgo(Enum):
    """spconv.core.ConvAlgo."""

    Native = 0
    MaskImplicitGemm = 1
    MaskSplitImplicitGemm = 2


class AlgoHint(Enum):
    """spconv.core.AlgoHint."""

    NoHint = 0
    Fowrard = 1
    BackwardInput = 2
    BackwardWeight = 4


class Activation(Enum):
    """cumm.tensorview.gemm.Activation, what act_type of a convolution takes."""

    None_ = 0
    ReLU = 1
    Sigmoid = 2
    LeakyReLU = 3
