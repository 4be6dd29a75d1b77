"""Temporal shifts, which model code writes as slices of clips put side by side: TSM's, mmaction2's and their kin.

A piece is frames [start, stop) of each clip of a value, channels [first, first + count). With zeros before or after
it, it is shifted. Pieces that are all channels of the value are one temporal_shift.
"""

from typing import NamedTuple, Optional

import torch

from voxshift.torch.recording.table import Refused
from voxshift.torch.recording.values import Value

FROM_NEXT, FROM_BEFORE, STAYS = 1, -1, 0


class Piece(NamedTuple):
    base: Optional[Value]  # None: zeros
    first: int
    count: int
    start: int
    stop: int
    shift: int = STAYS  # where frames come from, of a piece with as many frames as the clip

    @property
    def frames(self) -> int:
        return self.stop - self.start


def _axes(value) -> Optional[tuple[int, int, int]]:
    """(dimension of frames, of channels, frames of a clip) of images with clips apart."""
    if not value.is_images:
        return None
    frames = value.groups["m"]
    times = [i for i, dim in enumerate(value.dims) if len(dim) == 1 and dim[0].group == "m" and dim[0].stride == 1]
    channels = [i for i in range(len(value.dims)) if value.is_channels(i)]
    if len(times) != 1 or len(channels) != 1 or frames < 2:
        return None
    return times[0], channels[0], value.dims[times[0]][0].size


class Shifts:
    """What a recorder knows of pieces."""

    def __init__(self, recorder):
        self.recorder = recorder
        self.pieces = {}  # by id (piece, version of the tensor)
        self._likes = {}  # by id, of zeros the value that they were made of
        self.assemblies = {}  # by id (value that the zeros are like, [(frames, channels, piece)], version)

    def find(self, tensor, known) -> Optional[Piece]:
        piece, version = self.pieces.get(id(tensor), (None, 0))
        if piece is not None and tensor._version == version:
            return piece
        value = known.get(id(tensor)) if isinstance(tensor, torch.Tensor) else None
        axes = _axes(value) if value is not None else None
        return Piece(value, 0, value.channels, 0, axes[2]) if axes else None

    def _keep(self, tensor, piece):
        self.recorder.kept.append(tensor)
        self.pieces[id(tensor)] = (piece, tensor._version)

    def finish(self, tensors) -> None:
        """Zeros that frames were put into are a value from their first other use on."""
        for tensor in tensors:
            if id(tensor) not in self.assemblies:
                continue
            like, parts, version = self.assemblies.pop(id(tensor))
            if tensor._version == version and parts:
                try:
                    self.recorder.keep(
                        tensor, self._whole([part for *_, part in sorted(parts, key=lambda part: part[1])])
                    )
                except Refused as refused:
                    self.recorder.taint(f"__setitem__ ({refused.reason}){self.recorder.place()}", tensor)

    def see(self, name, args, kwargs, known, result) -> bool:
        """Whether a call makes a piece, or a value of pieces, and nothing else."""
        if name == "zeros_like" and args and _axes(known.get(id(args[0])) or Value("", {"n": 1, "c": 1}, ((), ()))):
            self.recorder.kept.append(result)
            self.assemblies[id(result)] = (known[id(args[0])], [], result._version)
            return True
        if name == "__setitem__" and id(args[0]) in self.assemblies:
            self._put(args[0], args[1], args[2], known)
            return True
        if name == "__getitem__":
            self._slice(args[0], args[1], known, result)
        elif name in ("sub", "__sub__") and args[0] is args[1] and self.find(args[0], known):
            piece = self.find(args[0], known)
            self._likes[id(result)] = piece.base
            self._keep(result, piece._replace(base=None))
        elif name in ("cat", "concat"):
            return self._join(*args, **kwargs, known=known, result=result)
        return False

    def _ranges(self, value, index, frames, channels):
        """The frames and channels that an index of slices takes."""
        time, channel, _ = _axes(value)
        taken = [range(frames), range(channels)]
        index = index if isinstance(index, tuple) else (index,)
        if not all(isinstance(part, slice) for part in index):
            raise Refused("of frames by an index that is no slice")
        for dim, part in enumerate(index):
            if dim in (time, channel):
                taken[dim == channel] = range(*part.indices(channels if dim == channel else frames))
            elif part != slice(None):
                raise Refused("of a part of clips")
        if any(part.step != 1 or not len(part) for part in taken):
            raise Refused("of every other frame, or of none")
        return taken

    def _slice(self, x, index, known, result):
        piece = self.find(x, known)
        if piece is None or piece.shift:
            return
        value = piece.base or self._likes.get(id(x))
        if value is None:
            return
        try:
            frames, channels = self._ranges(value, index, piece.frames, piece.count)
        except Refused:
            return
        start, first = piece.start + frames.start, piece.first + channels.start
        made = Piece(piece.base, first, len(channels), start, start + len(frames))
        self._keep(result, made)
        if piece.base is None:
            self._likes[id(result)] = value

    def _put(self, out, index, x, known):
        like, parts, _ = self.assemblies.pop(id(out))
        piece = self.find(x, known)
        try:
            frames, channels = self._ranges(like, index, _axes(like)[2], like.channels)
            if piece is None or piece.base is None:
                raise Refused("of other numbers than those of frames")
            parts = [*parts, (frames, channels.start, _shifted(piece, frames, channels, _axes(like)[2]))]
        except Refused as refused:
            return self.recorder.taint(f"__setitem__ ({refused.reason}){self.recorder.place()}", out)
        self.assemblies[id(out)] = (like, parts, out._version)

    def _join(self, tensors, dim=0, *, known, result):
        pieces = [self.find(x, known) for x in tensors]
        bases = [piece.base for piece in pieces if piece is not None and piece.base is not None]
        if None in pieces or not bases:
            return False
        time, channel, frames = _axes(bases[0])
        dim = dim % len(bases[0].dims)
        if dim == time and len(pieces) == 2 and len(bases) == 1 and sum(piece.frames for piece in pieces) == frames:
            moved = next(piece for piece in pieces if piece.base is not None)
            at = range(moved.frames) if pieces[0] is moved else range(frames - moved.frames, frames)
            self._keep(result, _shifted(moved, at, range(moved.first, moved.first + moved.count), frames))
            self.recorder.taint(f"cat (of frames){self.recorder.place()}", result)
            return True
        if dim != channel or not any(piece.shift for piece in pieces):
            return False
        self.recorder.keep(result, self._whole(pieces))
        return True

    def _whole(self, pieces) -> Value:
        """The temporal_shift that pieces in the order of their channels are."""
        base, frames = pieces[0].base, _axes(pieces[0].base)[2]
        first = 0
        for piece in pieces:
            if piece.base is None or piece.base.name != base.name or piece.first != first:
                raise Refused("of channels in another order")
            if not piece.shift and piece.frames != frames:
                raise Refused("of a part of the frames")
            first += piece.count
        shifts = [piece.shift for piece in pieces]
        fold = pieces[0].count
        fits = [divisor for divisor in range(1, base.channels + 1) if base.channels // divisor == fold]
        two = shifts == [FROM_NEXT, FROM_BEFORE, STAYS] and pieces[1].count == fold
        if first != base.channels or not fits or not (two or shifts == [FROM_BEFORE, STAYS]):
            raise Refused("of frames that are no temporal shift")
        name = self.recorder.add("temporal_shift", [base.name], {"shift_div": fits[0], "bidirectional": two})
        self.recorder.clip = frames
        return base.but(name=name)


def _shifted(piece, at, channels, frames) -> Piece:
    """A piece put at frames `at` and channels of a clip of zeros."""
    if len(at) != piece.frames or len(channels) != piece.count or channels.start != piece.first:
        raise Refused("of other channels or frames")
    shift = piece.start - at.start
    is_whole = at.start == max(0, -shift) and at.stop == frames - max(0, shift)
    if shift not in (FROM_NEXT, FROM_BEFORE, STAYS) or not is_whole:
        raise Refused("of frames further away")
    return piece._replace(start=0, stop=frames, shift=shift)
