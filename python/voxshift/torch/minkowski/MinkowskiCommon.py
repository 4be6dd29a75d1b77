"""MinkowskiEngine's name of common.py."""

import sys

from voxshift.torch.minkowski import common

sys.modules[__name__] = common
