"""torchsparse.backbones."""

from voxshift.torch.torchsparse.backbones.resnet import SparseResNet, SparseResNet21D
from voxshift.torch.torchsparse.backbones.unet import SparseResUNet, SparseResUNet42

__all__ = ["SparseResNet", "SparseResNet21D", "SparseResUNet", "SparseResUNet42"]
