"""MinkowskiEngine.modules."""

from voxshift.torch.minkowski.modules import resnet_block, senet_block

__all__ = ["resnet_block", "senet_block"]
