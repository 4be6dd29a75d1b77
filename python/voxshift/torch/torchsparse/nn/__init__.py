"""torchsparse.nn."""

from voxshift.torch.torchsparse.nn import functional, modules, utils
from voxshift.torch.torchsparse.nn.modules import *  # noqa: F403
from voxshift.torch.torchsparse.nn.modules import __all__ as _modules

__all__ = ["functional", "modules", "utils", *_modules]
