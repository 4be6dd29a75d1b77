"""MinkowskiEngine's name of ops.py."""

import sys

from voxshift.torch.minkowski import ops

sys.modules[__name__] = ops
