"""MinkowskiEngine's name of nonlinearity.py."""

import sys

from voxshift.torch.minkowski import nonlinearity

sys.modules[__name__] = nonlinearity
