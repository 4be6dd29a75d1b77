"""Windows of layers."""

from typing import Any, List, Optional, Sequence

import torch

import voxshift as vs
from voxshift.torch.minkowski.common import RegionType, StrideType, convert_to_int_list
from voxshift.torch.windows import Offsets, box


def _cross(size: Sequence[int]) -> Offsets:
    """The centre, then per axis 1 .. r and -r .. -1."""
    offsets = [(0,) * len(size)]
    for axis, n in enumerate(size):
        for step in (*range(1, n // 2 + 1), *range(-(n // 2), 0)):
            offsets.append(tuple(step if other == axis else 0 for other in range(len(size))))
    return tuple(offsets)


def _hybrid(size: Sequence[int], axis_types: Sequence[RegionType]) -> Offsets:
    """A cube along some axes and a cross along the others, in version 0.4's order."""
    offsets = [[0] * len(size)]
    for kind in (RegionType.HYPER_CUBE, RegionType.HYPER_CROSS):
        for axis, n in enumerate(size):
            if axis_types[axis] is not kind:
                continue
            base = list(offsets) if kind is RegionType.HYPER_CUBE else offsets[:1]
            steps = [step for step in range(-((n - 1) // 2), n // 2 + 1) if step]
            offsets += [[*offset[:axis], step, *offset[axis + 1 :]] for offset in base for step in steps]
    return tuple(map(tuple, offsets))


def window_of(
    region_type: RegionType,
    kernel_size: Sequence[int],
    region_offsets: Optional[torch.Tensor] = None,
    axis_types: Optional[Sequence[RegionType]] = None,
) -> Offsets:
    """The offsets in the order of weights, in units of dilation and tensor stride. Raises ValueError for impossible ones."""
    if region_type is RegionType.CUSTOM:
        if region_offsets is None or region_offsets.dim() != 2 or not len(region_offsets):
            raise vs.InvalidArgument("[KernelGenerator] RegionType.CUSTOM expects region_offsets [K, D]")
        return tuple(tuple(map(int, offset)) for offset in region_offsets.tolist())
    if any(n < 1 for n in kernel_size):
        raise vs.InvalidArgument(f"[KernelGenerator] kernel_size expects positive numbers, found {list(kernel_size)}")
    if region_type is RegionType.HYBRID:
        return _hybrid(kernel_size, axis_types or [RegionType.HYPER_CUBE] * len(kernel_size))
    if region_type is RegionType.HYPER_CUBE:
        return box([-(n // 2) if n % 2 else 0 for n in kernel_size], kernel_size, first_axis_fastest=True)
    if any(n % 2 == 0 for n in kernel_size):
        raise vs.InvalidArgument(f"[KernelGenerator] a cross expects odd kernel_size, found {list(kernel_size)}")
    return _cross(kernel_size)


def get_kernel_volume(region_type, kernel_size, region_offset, axis_types, dimension) -> int:
    """The number of offsets."""
    return len(window_of(region_type, convert_to_int_list(kernel_size, dimension), region_offset, axis_types))


def convert_region_type(
    region_type, tensor_stride, kernel_size, up_stride, dilation, region_offset, axis_types, dimension, center=True
):
    """(region type, offsets int32 [K, D] for those that list them, number of offsets)."""
    size, steps, up, spread = (
        convert_to_int_list(x, dimension) for x in (kernel_size, tensor_stride, up_stride, dilation)
    )
    listed = region_type in (RegionType.CUSTOM, RegionType.HYBRID)
    window = window_of(region_type, size, region_offset, axis_types)
    unit = torch.tensor([s * d // u for s, d, u in zip(steps, spread, up)], dtype=torch.int)
    offsets = torch.tensor(window, dtype=torch.int) * unit if listed else torch.IntTensor()
    return RegionType.CUSTOM if listed else region_type, offsets, len(window)


class KernelGenerator:
    """The window of a layer: its shape, stride, dilation, and whether it makes coordinates.

    region_offsets: int32 [K, D] for RegionType.CUSTOM, multiplied by dilation and tensor stride as the others' are.
    axis_types: the shape along each axis, for RegionType.HYBRID. Raises ValueError for impossible windows.
    """

    def __init__(
        self,
        kernel_size: StrideType = -1,
        stride: StrideType = 1,
        dilation: StrideType = 1,
        is_transpose: bool = False,
        region_type: RegionType = RegionType.HYPER_CUBE,
        region_offsets: Optional[torch.Tensor] = None,
        expand_coordinates: bool = False,
        axis_types: Optional[Sequence[RegionType]] = None,
        dimension: int = -1,
    ):
        if dimension < 1:
            raise vs.InvalidArgument(f"[KernelGenerator] dimension expects a positive number, found {dimension}")
        self.kernel_size = convert_to_int_list(kernel_size, dimension)
        self.kernel_stride = convert_to_int_list(stride, dimension)
        self.kernel_dilation = convert_to_int_list(dilation, dimension)
        self.region_type, self.axis_types, self.dimension = region_type, axis_types, dimension
        self.region_offsets = torch.IntTensor() if region_offsets is None else region_offsets
        self.window = window_of(region_type, self.kernel_size, region_offsets, axis_types)
        self.kernel_volume = len(self.window)
        self.requires_strided_coordinates = all(step == 1 for step in self.kernel_stride)
        self.expand_coordinates = expand_coordinates
        self.cache: dict = {}

    @property
    def is_cube(self) -> bool:
        return self.region_type is RegionType.HYPER_CUBE

    def full_offsets(self, tensor_stride: Sequence[int]) -> Offsets:
        """In cells of the network's input, for neighbours on a grid of this stride."""
        unit = [d * s for d, s in zip(self.kernel_dilation, tensor_stride)]
        return tuple(tuple(o * u for o, u in zip(offset, unit)) for offset in self.window)

    def get_kernel(self, tensor_stride: List[int], is_transpose: bool) -> Any:
        up = self.kernel_stride if is_transpose else [1] * self.dimension
        offsets = self.region_offsets if self.region_type is RegionType.CUSTOM else None
        options = self.kernel_size, up, self.kernel_dilation, offsets, self.axis_types, self.dimension
        return convert_region_type(self.region_type, tensor_stride, *options)

    def __repr__(self) -> str:
        return (
            f"KernelGenerator(kernel_size={self.kernel_size}, kernel_stride={self.kernel_stride}, "
            f"kernel_dilation={self.kernel_dilation}, region_type={self.region_type}, "
            f"expand_coordinates={self.expand_coordinates}, dimension={self.dimension})"
        )
