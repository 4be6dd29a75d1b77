"""torchsparse.backbones' encoder."""

from typing import List, Sequence, Tuple

from torch import nn

from voxshift.torch.torchsparse.backbones.modules import SparseConvBlock, SparseResBlock
from voxshift.torch.torchsparse.nn.utils.kernel import Axes
from voxshift.torch.torchsparse.tensor import SparseTensor


class SparseResNet(nn.ModuleList):
    """Stages of (blocks, channels, kernel_size, stride), whose outputs are given as a list."""

    def __init__(
        self, blocks: Sequence[Tuple[int, int, Axes, Axes]], *, in_channels: int = 4, width_multiplier: float = 1.0
    ) -> None:
        super().__init__()
        self.blocks, self.in_channels, self.width_multiplier = blocks, in_channels, width_multiplier
        for count, channels, kernel_size, stride in blocks:
            channels = int(channels * width_multiplier)
            stage: List[nn.Module] = [SparseConvBlock(in_channels, channels, kernel_size, stride=stride)]
            stage += [SparseResBlock(channels, channels, kernel_size) for _ in range(count - 1)]
            self.append(nn.Sequential(*stage))
            in_channels = channels

    def forward(self, x: SparseTensor) -> List[SparseTensor]:
        outputs = []
        for stage in self:
            x = stage(x)
            outputs.append(x)
        return outputs


class SparseResNet21D(SparseResNet):
    def __init__(self, **kwargs) -> None:
        stages = [(3, 16, 3, 1), (3, 32, 3, 2), (3, 64, 3, 2), (3, 128, 3, 2), (1, 128, (1, 3, 1), (1, 2, 1))]
        super().__init__(stages, **kwargs)
