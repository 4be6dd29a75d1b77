"""MinkowskiEngine's name of normalization.py."""

import sys

from voxshift.torch.minkowski import normalization

sys.modules[__name__] = normalization
