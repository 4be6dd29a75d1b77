"""MinkowskiEngine's name of sparse_tensor.py."""

import sys

from voxshift.torch.minkowski import sparse_tensor

sys.modules[__name__] = sparse_tensor
