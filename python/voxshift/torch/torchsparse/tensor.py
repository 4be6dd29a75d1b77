"""torchsparse.SparseTensor and PointTensor."""

from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

import torch

import voxshift as vs
from voxshift.torch.memory import taken, taken_together
from voxshift.torch.ordered import Cells, Features
from voxshift.torch.torchsparse.rules import rules
from voxshift.torch.torchsparse.utils.tensor_cache import new_cache
from voxshift.torch.torchsparse.utils.to_dense import to_dense
from voxshift.torch.torchsparse.utils.utils import make_ntuple
from voxshift.torch.windows import aligned

Stride = Tuple[int, int, int]

_allow_negative_coordinates = False


def get_allow_negative_coordinates() -> bool:
    return _allow_negative_coordinates


def set_allow_negative_coordinates(allow_negative_coordinates: bool) -> None:
    """Whether strided layers of 2.1 keep outputs below 0."""
    global _allow_negative_coordinates
    _allow_negative_coordinates = allow_negative_coordinates


def grid_of(coords: torch.Tensor, stride: Stride) -> Cells:
    """The cells of coords in the layout of the version followed; remembered by the tensor itself.

    Raises ValueError unless coords are int [N, 4], without repetitions, and multiples of the stride where the
    version has them so.
    """
    known = getattr(coords, "_voxshift_grid", None)
    key = (rules(), stride, coords._version)
    if known is not None and known[0] == key:
        return known[1]
    taken("SparseTensor", "coords", coords)
    if coords.dim() != 2 or coords.shape[1] != 4 or coords.dtype.is_floating_point:
        raise vs.InvalidArgument(
            f"[SparseTensor] coords expects int32 [N, 4], found {str(coords.dtype)[6:]} {list(coords.shape)}"
        )
    places = coords if rules().batch == 0 else coords[:, [3, 0, 1, 2]]
    if rules().multiplied and stride != (1, 1, 1):
        steps = places.new_tensor((1, *stride))
        if (places % steps).any():
            raise vs.InvalidArgument(f"[SparseTensor] coords expects multiples of the stride {stride}")
        places = torch.div(places, steps, rounding_mode="floor")
    cells = Cells(places.int(), stride)
    coords._voxshift_grid = (key, cells)
    return cells


def coords_of(cells: Cells) -> torch.Tensor:
    """int32 [N, 4] in the layout of the version followed."""
    places = cells.coords
    if rules().multiplied:
        places = places * places.new_tensor((1, *cells.coordinates.stride))
    coords = (places if rules().batch == 0 else places[:, [1, 2, 3, 0]]).contiguous()
    coords._voxshift_grid = ((rules(), cells.coordinates.stride, coords._version), cells)
    return coords


class SparseTensor:
    """Features float32 [N, C] at voxels int32 [N, 4] of a grid, whose columns and units are those of the version followed.

    Rows keep the user's order. stride: of the grid, in cells of the network's input. spatial_range: (batches, x, y, z), the
    extent of bounded strided layers, which else ends at the highest coordinate. Nothing is checked before an operator looks.
    """

    def __init__(
        self,
        feats: torch.Tensor,
        coords: torch.Tensor,
        stride: Union[int, Sequence[int]] = 1,
        spatial_range: Optional[Sequence[int]] = None,
    ) -> None:
        self._features: Union[torch.Tensor, Features] = feats
        self._coords = coords
        self.stride = make_ntuple(stride, 3)
        self.spatial_range = None if spatial_range is None else tuple(spatial_range)
        self._caches = new_cache()

    @property
    def feats(self) -> torch.Tensor:
        return self._features.given if isinstance(self._features, Features) else self._features

    @feats.setter
    def feats(self, feats: torch.Tensor) -> None:
        self._features = feats

    @property
    def coords(self) -> torch.Tensor:
        return self._coords

    @coords.setter
    def coords(self, coords: torch.Tensor) -> None:
        self._features, self._coords = self.feats, coords

    F = property(lambda self: self.feats, lambda self, feats: setattr(self, "feats", feats))
    C = property(lambda self: self.coords, lambda self, coords: setattr(self, "coords", coords))

    @property
    def s(self) -> Stride:
        return self.stride

    @s.setter
    def s(self, stride: Union[int, Sequence[int]]) -> None:
        self.stride = make_ntuple(stride, 3)

    cmaps = property(lambda self: self._caches.cmaps, lambda self, cmaps: setattr(self._caches, "cmaps", cmaps))
    kmaps = property(lambda self: self._caches.kmaps, lambda self, kmaps: setattr(self._caches, "kmaps", kmaps))

    def features(self) -> Features:
        """What lies on the cells, for operators. Raises ValueError for coords or feats that they cannot take."""
        if not isinstance(self._features, Features):
            taken_together("SparseTensor", {"feats": self._features, "coords": self._coords})
            self._features = Features(grid_of(self._coords, self.stride), given=self._features)
        return self._features

    def rows(self) -> torch.Tensor:
        """Features in an order that costs nothing, for what is done to every row alike. Raises ValueError on other devices."""
        return taken("SparseTensor", "feats", self._rows())

    def _rows(self):
        return self._features.at_hand if isinstance(self._features, Features) else self._features

    def expect_taken(self) -> None:
        """Raises ValueError where the features are on a device without operators, or the coords on another."""
        taken_together("SparseTensor", {"feats": self._rows(), "coords": self._coords})

    def with_rows(self, rows: torch.Tensor) -> "SparseTensor":
        """Other features in the order of rows(), on the same voxels, with the same caches."""
        out = SparseTensor(rows, self._coords, self.stride, self.spatial_range)
        if isinstance(self._features, Features):
            out._features = self._features.with_rows(rows)
        out._caches = self._caches
        return out

    def with_feats(self, feats: torch.Tensor) -> "SparseTensor":
        """Other features in the order of feats, on the same voxels, with the same caches."""
        out = SparseTensor(feats, self._coords, self.stride, self.spatial_range)
        if isinstance(self._features, Features):
            out._features = Features(self._features.cells, given=feats)
        out._caches = self._caches
        return out

    def dense(self) -> torch.Tensor:
        """float32 [*spatial_range, C]. Raises ValueError without a spatial_range."""
        if self.spatial_range is None:
            raise vs.InvalidArgument("[dense] expects a tensor with a spatial_range")
        return to_dense(self.feats, self.coords, self.spatial_range)

    def to(self, device, non_blocking: bool = True) -> "SparseTensor":
        self.feats = self.feats.to(device, non_blocking=non_blocking)
        self.coords = self.coords.to(device, non_blocking=non_blocking)
        return self

    def cpu(self) -> "SparseTensor":
        return self.to("cpu")

    def cuda(self) -> "SparseTensor":
        self.feats, self.coords = self.feats.cuda(), self.coords.cuda()
        return self

    def half(self) -> "SparseTensor":
        self.feats = self.feats.half()
        return self

    def detach(self) -> "SparseTensor":
        self.feats, self.coords = self.feats.detach(), self.coords.detach()
        return self

    def __add__(self, other: "SparseTensor") -> "SparseTensor":
        return combined("add", lambda parts: parts[0] + parts[1], self, other)

    def __repr__(self) -> str:
        return f"SparseTensor(feats={list(self.feats.shape)}, stride={self.stride})"


def combined(op: str, function: Callable[[List[torch.Tensor]], torch.Tensor], *tensors: SparseTensor) -> SparseTensor:
    """A function of the features, row by row, of tensors on the same voxels. Raises ValueError for unequal rows."""
    first = tensors[0]
    if any(len(x.rows()) != len(first.rows()) for x in tensors):
        raise vs.InvalidArgument(f"[{op}] expects tensors on the same voxels, found {', '.join(map(repr, tensors))}")
    features = [x._features for x in tensors]
    if all(isinstance(f, Features) and f.cells is features[0].cells for f in features):
        return first.with_rows(function(aligned(*features)))
    return first.with_feats(function([x.feats for x in tensors]))


class PointTensor:
    """Features [N, C] of points float32 [N, 4], and what was found out about the voxels they lie in."""

    def __init__(self, feats, coords, idx_query=None, weights=None):
        self.F, self.C = feats, coords
        self.idx_query = {} if idx_query is None else idx_query
        self.weights = {} if weights is None else weights
        self.additional_features: Dict[str, Dict] = {"idx_query": {}, "counts": {}}

    def to(self, device, non_blocking: bool = True) -> "PointTensor":
        self.F, self.C = (x.to(device, non_blocking=non_blocking) for x in (self.F, self.C))
        return self

    def cuda(self) -> "PointTensor":
        self.F, self.C = self.F.cuda(), self.C.cuda()
        return self

    def detach(self) -> "PointTensor":
        self.F, self.C = self.F.detach(), self.C.detach()
        return self

    def __add__(self, other: "PointTensor") -> "PointTensor":
        out = PointTensor(self.F + other.F, self.C, self.idx_query, self.weights)
        out.additional_features = self.additional_features
        return out
