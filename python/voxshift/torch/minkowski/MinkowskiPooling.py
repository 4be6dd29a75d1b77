"""MinkowskiEngine's name of pooling.py."""

import sys

from voxshift.torch.minkowski import pooling

sys.modules[__name__] = pooling
