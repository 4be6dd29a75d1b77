"""MinkowskiEngine's name of tensor.py."""

import sys

from voxshift.torch.minkowski import tensor

sys.modules[__name__] = tensor
