"""torchsparse.nn.utils."""

from voxshift.torch.torchsparse.nn.utils.apply import fapply
from voxshift.torch.torchsparse.nn.utils.kernel import get_kernel_offsets

__all__ = ["fapply", "get_kernel_offsets"]
