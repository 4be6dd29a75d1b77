"""torchsparse.backbones' U-Net."""

from typing import List

from torch import nn

from voxshift.torch.torchsparse import nn as spnn
from voxshift.torch.torchsparse.backbones.modules import SparseConvBlock, SparseConvTransposeBlock, SparseResBlock
from voxshift.torch.torchsparse.operators import cat
from voxshift.torch.torchsparse.tensor import SparseTensor


class SparseResUNet(nn.Module):
    """A U-Net of four levels; gives the values of the stem, the encoders and the decoders."""

    def __init__(
        self,
        stem_channels: int,
        encoder_channels: List[int],
        decoder_channels: List[int],
        *,
        in_channels: int = 4,
        width_multiplier: float = 1.0,
    ) -> None:
        super().__init__()
        self.stem_channels, self.encoder_channels, self.decoder_channels = stem_channels, encoder_channels, decoder_channels
        self.in_channels, self.width_multiplier = in_channels, width_multiplier
        c = [int(width_multiplier * n) for n in (stem_channels, *encoder_channels, *decoder_channels)]
        self.stem = nn.Sequential(
            spnn.Conv3d(in_channels, c[0], 3),
            spnn.BatchNorm(c[0]),
            spnn.ReLU(True),
            spnn.Conv3d(c[0], c[0], 3),
            spnn.BatchNorm(c[0]),
            spnn.ReLU(True),
        )
        self.encoders = nn.ModuleList(
            nn.Sequential(
                SparseConvBlock(c[k], c[k], 2, stride=2),
                SparseResBlock(c[k], c[k + 1], 3),
                SparseResBlock(c[k + 1], c[k + 1], 3),
            )
            for k in range(4)
        )
        self.decoders = nn.ModuleList(
            nn.ModuleDict(
                {
                    "upsample": SparseConvTransposeBlock(c[k + 4], c[k + 5], 2, stride=2),
                    "fuse": nn.Sequential(
                        SparseResBlock(c[k + 5] + c[3 - k], c[k + 5], 3), SparseResBlock(c[k + 5], c[k + 5], 3)
                    ),
                }
            )
            for k in range(4)
        )

    def forward(self, x: SparseTensor) -> List[SparseTensor]:
        outputs = [self.stem(x)]
        for encoder in self.encoders:
            outputs.append(encoder(outputs[-1]))
        for k, decoder in enumerate(self.decoders):
            fine = decoder["upsample"](outputs[-1])
            outputs.append(decoder["fuse"](cat([fine, outputs[3 - k]])))
        return outputs


class SparseResUNet42(SparseResUNet):
    def __init__(self, **kwargs) -> None:
        super().__init__(32, [32, 64, 128, 256], [256, 128, 96, 96], **kwargs)
