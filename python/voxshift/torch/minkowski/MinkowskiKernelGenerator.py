"""MinkowskiEngine's name of kernel_generator.py."""

import sys

from voxshift.torch.minkowski import kernel_generator

sys.modules[__name__] = kernel_generator
