"""The coordinate maps that tensors of one network share."""

import itertools
import math
from functools import partial
from typing import Any, Dict, List, Optional, Sequence, Tuple

import torch

import voxshift as vs
from voxshift.torch.memory import copied, numbers, taken, tensor_of
from voxshift.torch.minkowski.common import (
    CoordinateMapKey,
    CoordinateMapType,
    MinkowskiAlgorithm,
    RegionType,
    StrideType,
    convert_to_int_list,
)
from voxshift.torch.minkowski.kernel_generator import KernelGenerator
from voxshift.torch.ordered import Cells
from voxshift.torch.windows import Pairs, full, pairs_of, rows_at, strided, swapped

Key = CoordinateMapKey


def unique_rows(coords: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
    """(first row of each distinct one, in order of appearance; of every row its place among those), both int64."""
    count = partial(torch.arange, device=coords.device)
    coordinates = vs.Coordinates(numbers("CoordinateManager", "coordinates", coords.int(), coords.device))
    rows = len(coords)
    if coordinates.size == rows:
        return count(rows), count(rows)
    inverse = tensor_of(coordinates.inverse).long()
    of, by_cell = torch.sort(inverse, stable=True)
    begins = torch.cat([of.new_ones(1, dtype=torch.bool), of[1:] != of[:-1]])
    first, order = torch.sort(by_cell[begins])
    place = torch.empty_like(order)
    place[order] = count(len(order))
    return first, place[inverse]


class CoordinateManager:
    """Coordinate maps by key, of D = 1 to 4 dimensions.

    Coordinates are multiples of their tensor stride, as MinkowskiEngine has them, unless a user gives others. Maps of a user
    keep the order of first appearance, those that layers make are in lexicographic order.
    """

    def __init__(
        self,
        D: int = 0,
        num_threads: int = -1,
        coordinate_map_type: Optional[CoordinateMapType] = None,
        allocator_type: Any = None,
        minkowski_algorithm: Optional[MinkowskiAlgorithm] = None,
    ):
        if D < 1:
            raise vs.InvalidArgument(f"[CoordinateManager] D expects a positive number, found {D}")
        self.D, self.minkowski_algorithm = D, minkowski_algorithm or MinkowskiAlgorithm.DEFAULT
        self._maps: Dict[Tuple, Cells] = {}
        self._fields: Dict[Tuple, torch.Tensor] = {}
        self._of_fields: Dict[Tuple, Tuple[torch.Tensor, torch.Tensor]] = {}
        self._coarse: Dict[Tuple, Optional[vs.Coordinates]] = {}
        self._names = 0

    @property
    def _manager(self) -> "CoordinateManager":
        return self

    def cells(self, key: Key) -> Cells:
        """The cells of a map, in units of their own stride, which is the tensor stride of those that are multiples of it.

        Raises ValueError where there is no such map.
        """
        found = self._maps.get(key.pair)
        if found is None:
            raise vs.InvalidArgument(f"[CoordinateManager] has no map of the {key}")
        return found

    def exists(self, key: Key) -> bool:
        return key.is_key_set() and key.pair in self._maps

    def new_key(self, stride: Sequence[int], name: str = "", among: Optional[Dict] = None) -> Key:
        """The key of this stride and name, or where a map (or field) has it one with a name of its own."""
        key = Key(stride, name)
        while key.pair in (self._maps if among is None else among):
            self._names += 1
            key = Key(stride, f"{name}-{self._names}" if name else str(self._names))
        return key

    def insert(self, stride: Sequence[int], cells: Cells, name: str = "") -> Key:
        key = self.new_key(stride, name)
        self._maps[key.pair] = cells
        return key

    def insert_and_map(
        self, coordinates: torch.Tensor, tensor_stride: StrideType = 1, string_id: str = ""
    ) -> Tuple[Key, Tuple[torch.Tensor, torch.Tensor]]:
        """A new map of coordinates int32 [N, 1 + D]: (key, (first rows int64 [M], of every row its place int64 [N]))."""
        places = taken("CoordinateManager", "coordinates", coordinates).detach()
        stride = convert_to_int_list(tensor_stride, self.D)
        if places.dim() != 2 or places.shape[1] != self.D + 1:
            raise vs.InvalidArgument(f"[CoordinateManager] expects [N, {self.D + 1}], found {list(places.shape)}")
        steps = [1, *(max(step, 1) for step in stride)]
        unit = torch.tensor(steps, dtype=places.dtype, device=places.device)
        if (places % unit).any():
            steps, unit = [1] * len(steps), torch.ones_like(unit)
        first, inverse = unique_rows(places)
        cells = Cells(torch.div(places[first], unit, rounding_mode="floor").int(), steps[1:])
        key = self.insert(stride, cells, string_id)
        return key, (first, inverse)

    def insert_field(self, coordinates: torch.Tensor, tensor_stride: Sequence[int], string_id: str = "") -> Key:
        """A new field of coordinates float32 [N, 1 + D]."""
        key = self.new_key(tensor_stride, string_id, self._fields)
        self._fields[key.pair] = taken("CoordinateManager", "coordinates", coordinates)
        return key

    def get_coordinate_field(self, key: Key) -> torch.Tensor:
        return self._fields[key.pair]

    def field_to_sparse_insert_and_map(
        self, field_map_key: Key, sparse_tensor_stride: StrideType, sparse_tensor_string_id: str = ""
    ) -> Tuple[Key, Tuple[torch.Tensor, torch.Tensor]]:
        """The map of what a field's coordinates round down to, multiples of the stride."""
        stride = convert_to_int_list(sparse_tensor_stride, self.D)
        places = self._rounded(field_map_key, stride)
        key, maps = self.insert_and_map(places, stride, sparse_tensor_string_id)
        self._of_fields[field_map_key.pair, key.pair] = maps
        return key, maps

    def _rounded(self, field_key, stride):
        field = self._fields[field_key.pair]
        steps = torch.tensor(stride, device=field.device)
        places = torch.empty(field.shape, dtype=torch.int, device=field.device)
        places[:, 0] = field[:, 0].round().int()
        places[:, 1:] = (torch.floor(field[:, 1:] / steps) * steps).int()
        return places

    def field_to_sparse_map(self, field_map_key: Key, sparse_map_key: Key) -> Tuple[torch.Tensor, torch.Tensor]:
        """(rows of the map, points of the field in them), for a map that is there."""
        cells = self.cells(sparse_map_key)
        places = self._rounded(field_map_key, sparse_map_key.get_tensor_stride())
        rows = self._given_rows(cells, places)
        points = torch.nonzero(rows >= 0).squeeze(1)
        self._of_fields[field_map_key.pair, sparse_map_key.pair] = rows[points], points
        return rows[points], points

    def exists_field_to_sparse(self, field_map_key: Key, sparse_map_key: Key) -> bool:
        return (field_map_key.pair, sparse_map_key.pair) in self._of_fields

    def get_field_to_sparse_map(self, field_map_key: Key, sparse_map_key: Key):
        return self._of_fields[field_map_key.pair, sparse_map_key.pair]

    def field_to_sparse_keys(self, field_map_key: Any) -> List[Key]:
        pair = field_map_key.pair if isinstance(field_map_key, Key) else (tuple(field_map_key[0]), field_map_key[1])
        return [Key(*sparse) for field, sparse in self._of_fields if field == pair]

    def inverse_of_field(self, field_key: Key, sparse_key: Key) -> torch.Tensor:
        """int64 [N]: the row of the map that each point of the field lies in. Raises ValueError where one lies in none."""
        rows = self._given_rows(self.cells(sparse_key), self._rounded(field_key, sparse_key.get_tensor_stride()))
        if (rows < 0).any():
            raise vs.InvalidArgument(f"[slice] {int((rows < 0).sum())} points lie in no voxel of the sparse tensor")
        return rows

    @staticmethod
    def _given_rows(cells: Cells, places: torch.Tensor) -> torch.Tensor:
        """int64 [N]: the rows, in the user's order, of coordinates; -1 for none."""
        return in_given_order(cells, rows_at(cells.coordinates, places.long()))

    def stride(self, coordinate_map_key: Key, stride: StrideType, string_id: str = "") -> Key:
        """The key of the map of coordinates rounded down to multiples of the tensor stride times this one."""
        steps = convert_to_int_list(stride, self.D)
        in_stride, name = coordinate_map_key.pair
        key = Key([a * b for a, b in zip(in_stride, steps)], string_id or name)
        if key.pair not in self._maps:
            cells = self.cells(coordinate_map_key)
            unit = cells.coordinates.stride
            coarse = strided(cells.coordinates, [b // a for a, b in zip(unit, key.get_tensor_stride())])
            self._maps[key.pair] = cells if coarse is cells.coordinates else Cells.of(coarse)
        return key

    def is_regular(self, key: Key) -> bool:
        """Whether the coordinates are multiples of the tensor stride."""
        return self.cells(key).coordinates.stride == key.pair[0]

    def coarse(self, fine_key: Key, coarse_key: Key) -> Optional[vs.Coordinates]:
        """Where one map holds what the other one's cells round down to: its coordinates, made of the other's."""
        pair = fine_key.pair, coarse_key.pair
        if pair not in self._coarse:
            self._coarse[pair] = self._find_coarse(fine_key, coarse_key)
        return self._coarse[pair]

    def _find_coarse(self, fine_key, coarse_key):
        fine, coarse = fine_key.get_tensor_stride(), coarse_key.get_tensor_stride()
        if not (self.is_regular(fine_key) and self.is_regular(coarse_key)):
            return None
        if any(b % a for a, b in zip(fine, coarse)):
            return None
        made = strided(self.cells(fine_key).coordinates, [b // a for a, b in zip(fine, coarse)])
        return made if made.same_coordinates(self.cells(coarse_key).coordinates) else None

    def origin(self) -> Key:
        """The key of the map of batches: b, 0, .., 0, with tensor stride 0."""
        key = Key([0] * self.D, "")
        if key.pair not in self._maps:
            columns = [copied(cells.coordinates.coords)[:, 0] for cells in self._maps.values()]
            columns = columns or [field[:, 0].round().int() for field in self._fields.values()]
            batches = torch.unique(torch.cat(columns)) if columns else torch.zeros(0, dtype=torch.int)
            places = batches.new_zeros((len(batches), self.D + 1))
            places[:, 0] = batches
            self._maps[key.pair] = Cells(places)
        return key

    def origin_map(self, key: Key) -> Tuple[torch.Tensor, List[torch.Tensor]]:
        """(batch indices int64 [B], of each index up to the highest its rows)."""
        return self._rows_of_batches(self.get_coordinates(key)[:, 0].long())

    def origin_field_map(self, key: Key) -> Tuple[torch.Tensor, List[torch.Tensor]]:
        """origin_map of a field."""
        return self._rows_of_batches(self._fields[key.pair][:, 0].round().long())

    @staticmethod
    def _rows_of_batches(batch):
        indices = torch.unique(batch)
        count = int(indices[-1]) + 1 if len(indices) else 0
        return indices, [torch.nonzero(batch == index).squeeze(1) for index in range(count)]

    def size(self, coordinate_map_key: Key) -> int:
        pair = coordinate_map_key.pair
        return len(self.cells(coordinate_map_key)) if pair in self._maps else len(self._fields[pair])

    def get_coordinates(self, coords_key_or_tensor_strides: Any) -> torch.Tensor:
        """int32 [N, 1 + D], multiples of the tensor stride, in the user's order."""
        key = self._get_coordinate_map_key(coords_key_or_tensor_strides)
        cells = self.cells(key)
        return cells.coords * cells.coords.new_tensor((1, *cells.coordinates.stride))

    def get_coordinate_map_keys(self, tensor_stride: StrideType) -> List[Key]:
        stride = tuple(convert_to_int_list(tensor_stride, self.D))
        return [Key(*pair) for pair in self._maps if pair[0] == stride]

    def _get_coordinate_map_key(self, key_or_tensor_strides: Any) -> Key:
        if isinstance(key_or_tensor_strides, Key):
            return key_or_tensor_strides
        keys = self.get_coordinate_map_keys(key_or_tensor_strides)
        if not keys:
            raise vs.InvalidArgument(f"[CoordinateManager] has no map of tensor stride {key_or_tensor_strides}")
        return keys[0]

    def get_unique_coordinate_map_key(self, tensor_stride: StrideType) -> Key:
        return self.new_key(convert_to_int_list(tensor_stride, self.D))

    def number_of_unique_batch_indices(self) -> int:
        return self.size(self.origin())

    def pairs(self, in_key: Key, out_key: Key, generator: KernelGenerator, transposed: bool) -> Pairs:
        """Per offset the rows (of out, of in), in lexicographic order: in = out + offset; transposed, out = in + offset."""
        fine, coarse = (out_key, in_key) if transposed else (in_key, out_key)
        offsets = generator.full_offsets([max(step, 1) for step in fine.get_tensor_stride()])
        pairs = pairs_of(full(self.cells(coarse).coordinates), self.cells(fine).coordinates, offsets)
        return swapped(pairs) if transposed else pairs

    def parents(self, fine_key: Key, coarse_key: Key) -> Pairs:
        """The rows (of coarse, of fine), in lexicographic order, where the fine cell rounds down to the coarse one."""
        fine, coarse = self.cells(fine_key).coordinates, self.cells(coarse_key).coordinates
        places = full(fine)
        step = places.new_tensor((1, *coarse.stride))
        rows = rows_at(coarse, torch.div(places, step, rounding_mode="floor") * step)
        hit = (rows >= 0).nonzero().reshape(-1)
        return [(rows[hit], hit)]

    def kernel_map(
        self,
        in_key: Any,
        out_key: Any,
        stride: StrideType = 1,
        kernel_size: StrideType = 3,
        dilation: StrideType = 1,
        region_type: RegionType = RegionType.HYPER_CUBE,
        region_offset: Optional[torch.Tensor] = None,
        is_transpose: bool = False,
        is_pool: bool = False,
    ) -> Dict[int, torch.Tensor]:
        """Per offset that has pairs the rows of in and out, int32 [2, pairs], in the user's order."""
        in_key, out_key = map(self._get_coordinate_map_key, (in_key, out_key))
        steps, size = convert_to_int_list(stride, self.D), convert_to_int_list(kernel_size, self.D)
        generator = KernelGenerator(size, steps, dilation, False, region_type, region_offset, dimension=self.D)
        if is_pool and size == steps:
            pairs = swapped(self.parents(out_key, in_key)) if is_transpose else self.parents(in_key, out_key)
        else:
            pairs = self.pairs(in_key, out_key, generator, is_transpose)
        cells = self.cells(in_key), self.cells(out_key)
        listed = [[in_given_order(c, rows) for c, rows in zip(cells, pair[::-1])] for pair in pairs]
        return {k: torch.stack(pair).int() for k, pair in enumerate(listed) if len(pair[0])}

    get_kernel_map = kernel_map

    def stride_map(self, in_key: Key, stride_key: Key) -> Tuple[torch.Tensor, torch.Tensor]:
        """(rows of in, rows of the coarser map that they round down to), int64 each."""
        (coarse, fine), *_ = self.parents(in_key, stride_key)
        of = in_given_order(self.cells(in_key), fine)
        to = in_given_order(self.cells(stride_key), coarse)
        order = torch.argsort(of)
        return of[order], to[order]

    def union_map(self, in_keys: List[Key], out_key: Key) -> List[torch.Tensor]:
        """Sets out_key to a new map of all coordinates; per map the rows (of it, of the union), int64 [2, N]."""
        strides = [key.get_tensor_stride() for key in in_keys]
        stride = [min(steps) for steps in zip(*strides)]
        units = list(zip(*(self.cells(key).coordinates.stride for key in in_keys)))
        steps = [math.gcd(*unit) for unit in units]
        every = [full(self.cells(key).coordinates) for key in in_keys]
        places = torch.cat(every)
        places = torch.div(places, places.new_tensor((1, *steps)), rounding_mode="floor").int()
        cells = Cells.of(vs.Coordinates(numbers("union", "coordinates", places, places.device), steps))
        out_key.set_key(*self.insert(stride, cells, "merge").get_key())
        rows = [rows_at(cells.coordinates, part) for part in every]
        own = [
            in_given_order(self.cells(key), torch.arange(len(part), device=part.device)) for key, part in zip(in_keys, every)
        ]
        return [torch.stack(pair) for pair in zip(own, rows)]

    def interpolation_map_weight(
        self, key: Key, samples: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """(rows of the map, rows of samples, linear weights float32) of the corners with a voxel around each sample."""
        rows, weights = self.corners(key, samples)
        corner, sample = torch.nonzero(rows.t() >= 0, as_tuple=True)
        of = in_given_order(self.cells(key), rows[sample, corner])
        return of.int(), sample.int(), weights[sample, corner]

    def corners(self, key: Key, samples: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
        """int64 rows in lexicographic order, -1 for none, and float32 weights, both [N, 2^D], last axis fastest."""
        cells, place = self.cells(key).coordinates, samples.detach()
        step = place.new_tensor([max(step, 1) for step in key.get_tensor_stride()])
        low = torch.floor(place[:, 1:] / step)
        part = place[:, 1:] / step - low
        bits = torch.tensor(list(itertools.product((0, 1), repeat=self.D)), device=place.device)
        queries = torch.empty((len(place), len(bits), self.D + 1), dtype=torch.int, device=place.device)
        queries[..., 0] = place[:, :1].round()
        queries[..., 1:] = (low[:, None] + bits) * step / place.new_tensor(cells.stride)
        found = cells.find(numbers("interpolation", "coordinates", queries.view(-1, self.D + 1), place.device))
        rows = tensor_of(found).long().view(len(place), -1)
        weights = torch.where(bits.bool(), part[:, None], 1 - part[:, None]).prod(dim=2)
        return rows, weights

    def __repr__(self) -> str:
        maps = "".join(f"\t{Key(*pair)}: {len(cells)}\n" for pair, cells in self._maps.items())
        return f"CoordinateManager(\n{maps}\talgorithm={self.minkowski_algorithm}\n)"


def in_given_order(cells: Cells, rows: torch.Tensor) -> torch.Tensor:
    """Rows of the library's order as the user numbers them; -1 stays."""
    if cells.in_order or not len(rows):
        return rows
    return torch.where(rows >= 0, cells._to_sorted[rows.clamp(min=0)], rows)


