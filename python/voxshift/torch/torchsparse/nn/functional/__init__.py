"""torchsparse.nn.functional."""

from voxshift.torch.torchsparse.nn.functional import settings as conv_config
from voxshift.torch.torchsparse.nn.functional.activation import leaky_relu, relu, silu
from voxshift.torch.torchsparse.nn.functional.conv import conv3d
from voxshift.torch.torchsparse.nn.functional.count import spcount
from voxshift.torch.torchsparse.nn.functional.crop import spcrop
from voxshift.torch.torchsparse.nn.functional.devoxelize import calc_ti_weights, spdevoxelize
from voxshift.torch.torchsparse.nn.functional.downsample import spdownsample
from voxshift.torch.torchsparse.nn.functional.hash import sphash
from voxshift.torch.torchsparse.nn.functional.pooling import global_avg_pool, global_max_pool
from voxshift.torch.torchsparse.nn.functional.query import sphashquery
from voxshift.torch.torchsparse.nn.functional.settings import (
    ConvMode,
    Dataflow,
    clear_global_conv_config,
    get_conv_mode,
    get_default_conv_config,
    get_downsample_mode,
    get_global_conv_config,
    get_kmap_mode,
    set_conv_mode,
    set_downsample_mode,
    set_global_conv_config,
    set_kmap_mode,
)
from voxshift.torch.torchsparse.nn.functional.voxelize import spvoxelize

__all__ = [
    "ConvMode",
    "Dataflow",
    "calc_ti_weights",
    "clear_global_conv_config",
    "conv3d",
    "conv_config",
    "get_conv_mode",
    "get_default_conv_config",
    "get_downsample_mode",
    "get_global_conv_config",
    "get_kmap_mode",
    "global_avg_pool",
    "global_max_pool",
    "leaky_relu",
    "relu",
    "set_conv_mode",
    "set_downsample_mode",
    "set_global_conv_config",
    "set_kmap_mode",
    "silu",
    "spcount",
    "spcrop",
    "spdevoxelize",
    "spdownsample",
    "sphash",
    "sphashquery",
    "spvoxelize",
]
