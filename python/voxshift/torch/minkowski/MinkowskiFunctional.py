"""MinkowskiEngine's name of functional.py."""

import sys

from voxshift.torch.minkowski import functional

sys.modules[__name__] = functional
