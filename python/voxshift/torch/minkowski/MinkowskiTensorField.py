"""MinkowskiEngine's name of tensor_field.py."""

import sys

from voxshift.torch.minkowski import tensor_field

sys.modules[__name__] = tensor_field
