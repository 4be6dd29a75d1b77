"""MinkowskiEngine's name of manager.py."""

import sys

from voxshift.torch.minkowski import manager

sys.modules[__name__] = manager
