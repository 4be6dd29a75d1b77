"""torchsparse 2.1's settings of convolutions. Those that choose a GPU kernel change nothing here."""

from enum import Enum
from typing import Any, Dict, Optional, Union

import voxshift as vs


class Dataflow(Enum):
    ImplicitGEMM = 0
    GatherScatter = 1
    FetchOnDemand = 2
    CodedCSR = 3


class ConvMode(Enum):
    mode0 = 0
    mode1 = 1
    mode2 = 2


class AttributeDict(dict):
    """A dict whose keys are attributes, too."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value


_DEFAULTS = {
    "dataflow": Dataflow.ImplicitGEMM,
    "ifsort": False,
    "kmap_mode": "hashmap_on_the_fly",
    "downsample_mode": "spconv",
    "split_mask_num": 1,
    "split_mask_num_bwd": 3,
    "epsilon": 0.0,
    "mm_thresh": 0,
    "FOD_fusion": True,
}
_modes = {"kmap": "hashmap_on_the_fly", "downsample": "spconv", "conv": ConvMode.mode0}
_config: Optional[Dict[str, Any]] = None


def get_kmap_mode() -> str:
    return _modes["kmap"]


def set_kmap_mode(kmap_mode: str) -> None:
    """"hashmap_on_the_fly", or "hashmap", whose even windows are centred; layers built by a config follow the config's."""
    _modes["kmap"] = _one_of("kmap_mode", kmap_mode, ("hashmap_on_the_fly", "hashmap"))


def get_downsample_mode() -> str:
    return _modes["downsample"]


def set_downsample_mode(downsample_mode: str) -> None:
    """"spconv", or with kmap_mode "hashmap" also "minkowski": strided layers round down, and no voxel is lost."""
    _modes["downsample"] = _one_of("downsample_mode", downsample_mode, ("spconv", "minkowski"))


def get_conv_mode() -> ConvMode:
    return _modes["conv"]


def set_conv_mode(conv_mode: Union[int, ConvMode]) -> None:
    _modes["conv"] = ConvMode(conv_mode)


def get_global_conv_config() -> Optional[Dict[str, Any]]:
    return _config


def set_global_conv_config(conv_config: Dict[str, Any]) -> None:
    """The config of all layers without one of their own. Raises ValueError for unknown modes."""
    global _config
    config = AttributeDict({**_DEFAULTS, **conv_config})
    _one_of("kmap_mode", config.kmap_mode, ("hashmap_on_the_fly", "hashmap"))
    _one_of("downsample_mode", config.downsample_mode, ("spconv", "minkowski"))
    _config = config


def clear_global_conv_config() -> None:
    global _config
    _config = None


def get_default_conv_config(conv_mode: ConvMode = ConvMode.mode0, training: bool = False) -> AttributeDict:
    """The config of layers where none is set."""
    return AttributeDict({**_DEFAULTS, "kmap_mode": _modes["kmap"], "downsample_mode": _modes["downsample"]})


def config_of(config: Optional[Dict[str, Any]]) -> AttributeDict:
    """A layer's own config, or the one that holds for all."""
    return AttributeDict({**get_default_conv_config(), **(config or _config or {})})


def _one_of(what, value, allowed):
    if value not in allowed:
        raise vs.InvalidArgument(f"[torchsparse] {what} expects one of {', '.join(allowed)}, found {value!r}")
    return value
