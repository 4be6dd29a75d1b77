"""torchsparse.nn.functional."""

from voxshift.torch.torchsparse.nn.functional import settings as conv_config  # noqa: F401
from voxshift.torch.torchsparse.nn.functional.conv import conv3d
from voxshift.torch.torchsparse.nn.functional.downsample import spdownsample
from voxshift.torch.torchsparse.nn.functional.points import (
    calc_ti_weights,
    spcount,
    spdevoxelize,
    sphash,
    sphashquery,
    spvoxelize,
)
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
from voxshift.torch.torchsparse.nn.functional.voxels import (
    global_avg_pool,
    global_max_pool,
    leaky_relu,
    relu,
    silu,
    spcrop,
)

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
