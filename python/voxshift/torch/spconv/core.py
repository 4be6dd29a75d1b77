"""SparseConvTensor, and what an indice_key stands for."""

from typing import Any, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import torch

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.memory import on_host, taken, taken_together
from voxshift.torch.ordered import Cells, Features
from voxshift.torch.precision import decides
from voxshift.torch.spconv.algo import ConvAlgo


def expand_nd(ndim: int, val: Union[int, Sequence[int], np.ndarray]) -> List[int]:
    """A whole number for each of ndim axes, from one for all or one per axis. Raises ValueError for another count."""
    values = [val] * ndim if isinstance(val, (int, np.integer)) else list(val)
    if len(values) != ndim:
        raise vs.InvalidArgument(f"[spconv] expects 1 or {ndim} numbers, found {values}")
    return [int(value) for value in values]


def as_dtype(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The tensor itself where it has the dtype, else a rounded copy, which a recording takes for the same value."""
    if x.dtype == dtype:
        return x
    out = x.to(dtype)
    recording.same(x, out)
    return out


def as_float(x: torch.Tensor) -> torch.Tensor:
    """as_dtype of float32."""
    return as_dtype(x, torch.float32)


def operand(feats: torch.Tensor) -> torch.Tensor:
    """Features as operators compute on them: halves on the CPU in float32, but for autocast."""
    return feats if decides(feats) else as_float(feats)


def as_given(out: torch.Tensor, feats: torch.Tensor) -> torch.Tensor:
    """What operators made of operand(feats), in the dtype of feats, but for autocast."""
    return out if decides(feats) else as_dtype(out, feats.dtype)


def scatter_nd(indices: torch.Tensor, updates: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    """Zeros of `shape` in which row i of updates stands at indices[i]; what is repeated stands there once."""
    out = updates.new_zeros(*shape)
    places = indices.reshape(-1, indices.shape[-1]).long()
    updates = updates.reshape(len(places), *shape[indices.shape[-1] :])
    kept = _last_of_each(places, shape)
    return out.index_put(tuple(places[kept].t()), updates[kept])


def _last_of_each(places, shape):
    """The last row of each of the places [N, axes]."""
    flat = torch.zeros(len(places), dtype=torch.long, device=places.device)
    for axis, extent in enumerate(shape[: places.shape[1]]):
        flat = flat * extent + torch.remainder(places[:, axis], max(extent, 1))
    flat, order = torch.sort(flat, stable=True)
    return order[flat != torch.cat([flat[1:], flat.new_full((1,), -1)])] if len(flat) else order


class Grid:
    """Where the rows of tensors lie: indices int32 [N, 1 + D], and their cells once they are asked for. Tensors share it."""

    def __init__(self, indices: Optional[torch.Tensor] = None, cells: Optional[Cells] = None):
        self._indices, self._cells = indices, cells
        self._seen = None if indices is None else indices._version

    @property
    def indices(self) -> torch.Tensor:
        if self._indices is None:
            self._indices = self._cells.coords
            self._seen = self._indices._version
        return self._indices

    def __len__(self) -> int:
        return len(self._cells) if self._indices is None else len(self._indices)

    def cells(self, shape: Sequence[int]) -> Cells:
        """Those of the indices in a grid of this extent. Raises ValueError where they are repeated or lie outside."""
        made = self._cells
        if made is not None and (self._indices is None or self._indices._version == self._seen):
            if made.coordinates.shape == tuple(shape):
                return made
        indices = self.indices
        self._cells = Cells(indices, 1, list(shape), op="spconv")
        self._seen = indices._version
        return self._cells


class Window(NamedTuple):
    """Which taps of a layer meet which rows. options: those of voxshift's operators. taps: which of their taps the layer's
    are, int64 in the layer's order; None where they are the same.
    """

    options: dict
    taps: Optional[torch.Tensor] = None


class IndiceData:
    """The map that layers of one indice_key share: which of the rows `source` meet which of `target` at each tap.

    ksize, stride, dilation and padding are those of the layer that made it; a submanifold layer has padding of its own.
    """

    def __init__(self, layer: Any, source: Cells, target: Cells, shapes: tuple):
        self.source, self.target, self.window = source, target, layer.window()
        self.spatial_shape, self.out_spatial_shape = (list(shape) for shape in shapes)
        self.ksize, self.stride = list(layer.kernel_size), list(layer.stride)
        self.dilation, self.padding = list(layer.dilation), list(layer.padding)
        self.is_subm, self.is_transposed, self.algo = layer.subm, getattr(layer, "transposed", False), layer.algo
        self.voxel_num = None

    @property
    def indices(self) -> torch.Tensor:
        """int32 [N, 1 + D] of the layer's input."""
        return self.source.coords

    @property
    def out_indices(self) -> torch.Tensor:
        """int32 [M, 1 + D] of the layer's output."""
        return self.target.coords

    def pairs(self) -> Tuple[torch.Tensor, torch.Tensor]:
        """indice_pairs and indice_pair_num."""
        found = self._canonical()
        rows = np.full((2, len(found), max(len(self.source), 1)), -1, np.int32)
        for k, (inputs, outputs) in enumerate(found):
            rows[0, k, : len(inputs)] = self.source.given_rows(inputs)
            rows[1, k, : len(inputs)] = self.target.given_rows(outputs)
        count = np.array([len(inputs) for inputs, _ in found], np.int32)
        found = torch.from_numpy(rows[:, :, : len(self.source)]), torch.from_numpy(count)
        return tuple(values.to(self.indices.device) for values in found)

    def _canonical(self):
        """(input rows, output rows) in the library's order for each of the layer's taps."""
        if self.is_transposed:
            raise vs.InvalidArgument("[spconv] the pairs of a transposed layer cannot be read")
        options = self.window.options
        pairs = on_host(vs.kernel_map(self.source.coordinates, **options))
        count = np.bincount(pairs[:, 0], minlength=int(np.prod(options["kernel_size"])))
        parts = np.split(pairs[:, 1:], np.cumsum(count)[:-1])
        taps = range(len(parts)) if self.window.taps is None else self.window.taps.tolist()
        return [parts[k].T for k in taps]

    @property
    def indice_pairs(self) -> torch.Tensor:
        """int32 [2, K, N]: for each tap the input rows and the output rows that it joins, then -1."""
        return self.pairs()[0]

    @property
    def indice_pair_num(self) -> torch.Tensor:
        """int32 [K]: how many each tap joins."""
        return self.pairs()[1]


ImplicitGemmIndiceData = IndiceData


class SparseConvTensor:
    """spconv.pytorch.SparseConvTensor: features float32 [N, C] at indices int32 [N, 1 + D], batch first.

    Rows keep the order that they are given in. A strided or transposed layer gives its rows in lexicographic order of their
    indices. spatial_shape: extent per axis, in the order of the indices' columns. Raises ValueError for wrong shapes and
    dtypes here, and for repeated indices or such outside spatial_shape in the first layer that needs neighbours.
    """

    def __init__(
        self,
        features: torch.Tensor,
        indices: torch.Tensor,
        spatial_shape: Sequence[int],
        batch_size: int,
        grid: Optional[torch.Tensor] = None,
        voxel_num: Optional[torch.Tensor] = None,
        indice_dict: Optional[dict] = None,
        benchmark: bool = False,
        permanent_thrust_allocator: bool = False,
        enable_timer: bool = False,
        force_algo: Optional[ConvAlgo] = None,
    ):
        taken_together("SparseConvTensor", {"features": features, "indices": indices})
        if features.dim() != 2 or indices.dim() != 2 or indices.shape[1] != len(spatial_shape) + 1:
            raise vs.InvalidArgument(
                f"[SparseConvTensor] expects features [N, C] and indices [N, 1 + {len(spatial_shape)}], found "
                f"{tuple(features.shape)} and {tuple(indices.shape)}"
            )
        if self._checks_dtype and indices.dtype != torch.int32:
            raise vs.InvalidArgument(f"[SparseConvTensor] indices expect int32, found {str(indices.dtype)[6:]}")
        if batch_size < 1:
            raise vs.InvalidArgument(f"[SparseConvTensor] batch_size expects at least 1, found {batch_size}")
        self._grid, self._given = Grid(indices), features
        self._rows: Optional[Features] = None
        self.spatial_shape = [int(extent) for extent in spatial_shape]
        self.batch_size = int(batch_size)
        self.indice_dict = {} if indice_dict is None else indice_dict
        self.grid, self.voxel_num = grid, voxel_num
        self.benchmark, self.benchmark_record = benchmark, {}
        self.thrust_allocator = self._timer = self.int8_scale = None
        self.force_algo = force_algo

    _checks_dtype = True

    def _copy(self) -> "SparseConvTensor":
        """The same, of which attributes may be set."""
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def _with(self, rows: Features, shape: Optional[Sequence[int]] = None) -> "SparseConvTensor":
        """What a layer gives: rows on the cells of this tensor or on others, of a grid of this extent."""
        copy = self._copy()
        if rows.cells is not self._grid._cells:
            copy._grid = Grid(cells=rows.cells)
        copy._given, copy._rows = None, rows
        if shape is not None:
            copy.spatial_shape = list(shape)
        return copy

    @property
    def features(self) -> torch.Tensor:
        """float32 [N, C], row i at indices[i]."""
        return self._given if self._rows is None else self._rows.given

    @features.setter
    def features(self, features: torch.Tensor) -> None:
        self._given, self._rows = taken("SparseConvTensor", "features", features), None

    @property
    def indices(self) -> torch.Tensor:
        """int32 [N, 1 + D], batch first."""
        return self._grid.indices

    @indices.setter
    def indices(self, indices: torch.Tensor) -> None:
        given = self.features
        self._grid, self._given, self._rows = Grid(taken("SparseConvTensor", "indices", indices)), given, None

    @property
    def at_hand(self) -> torch.Tensor:
        """The features in an order that costs nothing, for what is done to every row alike; see with_rows."""
        return self._given if self._rows is None else self._rows.at_hand

    def with_rows(self, features: torch.Tensor) -> "SparseConvTensor":
        """Other features, in the order of at_hand."""
        copy = self._copy()
        if self._rows is None:
            copy._given = features
        else:
            copy._given, copy._rows = None, self._rows.with_rows(features)
        return copy

    def take(self, other: "SparseConvTensor") -> None:
        """Has the features of a tensor on the same rows from now on."""
        self._grid, self._given, self._rows = other._grid, other._given, other._rows

    def cells(self) -> Cells:
        """Where the rows lie. Raises ValueError for repeated indices and those outside spatial_shape."""
        return self._grid.cells(self.spatial_shape)

    def rows(self) -> Features:
        """The features on the cells, in both orders."""
        cells = self.cells()
        if self._rows is None or self._rows.cells is not cells:
            self._rows, self._given = Features(cells, given=self.features), None
        return self._rows

    def on(self, cells: Cells) -> Features:
        """The features on cells that a map has, row i on cell i, whatever this tensor's indices say."""
        if self._rows is not None and self._rows.cells is cells:
            return self._rows
        return Features(cells, given=self.features)

    def __repr__(self):
        return f"SparseConvTensor[shape={self.at_hand.shape}]"

    @property
    def is_quantized(self) -> bool:
        """False: there is no quantized tensor here."""
        return False

    @property
    def spatial_size(self) -> int:
        """Cells of one batch's grid."""
        return int(np.prod(self.spatial_shape, dtype=np.int64))

    @property
    def sparity(self) -> float:
        """Part of the grid's cells that have a row."""
        return len(self._grid) / self.spatial_size / self.batch_size

    def replace_feature(self, feature: torch.Tensor) -> "SparseConvTensor":
        """The same rows with other features [N, C']."""
        copy = self._copy()
        copy.features = feature
        return copy

    def shadow_copy(self) -> "SparseConvTensor":
        """A tensor with the same members."""
        return self._copy()

    def select_by_index(self, valid_indices: torch.Tensor) -> "SparseConvTensor":
        """Some of the rows: their numbers, or a mask. Shares no map with this tensor."""
        copy = self._copy()
        copy._grid = Grid(self.indices[valid_indices])
        copy.indice_dict = {}
        copy.features = self.features[valid_indices]
        return copy

    def minus(self) -> "SparseConvTensor":
        """The negative features."""
        return self.with_rows(-self.at_hand)

    def find_indice_pair(self, key: Optional[str]) -> Optional[IndiceData]:
        """What a layer with this indice_key has left, None where no layer has."""
        return None if key is None else self.indice_dict.get(key)

    @classmethod
    def from_dense(cls, x: torch.Tensor) -> "SparseConvTensor":
        """The cells of [N, .., C], channels last, that have a number other than 0, in lexicographic order."""
        indices = (x.detach() != 0).any(-1).nonzero()
        features = x[tuple(indices.t())]
        return cls(features, indices.int(), x.shape[1:-1], x.shape[0])

    def dense(self, channels_first: bool = True) -> torch.Tensor:
        """[N, C, ..], or [N, .., C] with channels_first=False: features at their cells, 0 elsewhere."""
        feats, channels = self.at_hand, self.at_hand.shape[1]
        is_sorted = self._rows is not None and not self._rows.is_given
        coords = self._rows.cells.sorted_coords if is_sorted else self.indices
        flat = torch.zeros(len(coords), dtype=torch.long, device=coords.device)
        for axis, extent in enumerate((self.batch_size, *self.spatial_shape)):
            column = coords[:, axis].long()
            if len(column) and not (0 <= int(column.min()) and int(column.max()) < extent):
                raise vs.InvalidArgument(f"[dense] indices of column {axis} expect 0..{extent - 1}, found others")
            flat = flat * extent + column
        out = feats.new_zeros(self.batch_size * self.spatial_size, channels).index_copy(0, flat, feats)
        out = out.reshape(self.batch_size, *self.spatial_shape, channels)
        if channels_first:
            out = out.movedim(-1, 1).contiguous()
        return recording.dense(feats, out, channels_last=not channels_first)

    def _added(self, other):
        if isinstance(other, SparseConvTensor):
            mine, theirs = aligned(self, other)
            return self.with_rows(mine + theirs)
        return self.replace_feature(self.features + other)

    __add__ = __radd__ = _added

    def __iadd__(self, other):
        self.features = self._added(other).features
        return self


def aligned(*tensors: SparseConvTensor) -> List[torch.Tensor]:
    """Features of tensors row by row, in the order of the first's at_hand where all lie on the same cells in either order."""
    first = tensors[0]._rows
    if first is None or any(x._rows is None or x._rows.cells is not first.cells for x in tensors):
        if all(x._rows is None for x in tensors):
            return [x._given for x in tensors]
        if first is not None:
            tensors[0]._given, tensors[0]._rows = first.given, None
        return [x.features for x in tensors]
    return [x._rows.given if first.is_given else x._rows.sorted for x in tensors]
