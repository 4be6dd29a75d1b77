"""What differs between versions of torchsparse, and which of them is followed."""

from contextlib import contextmanager
from typing import Iterator, List, NamedTuple

import voxshift as vs


class Rules(NamedTuple):
    """A version's conventions.

    batch: the column of coords that holds it. multiplied: coords of stride s are multiples of s. bounded: strided layers
    drop what lies beyond the extent, and take padding. floor: a window as large as its stride rounds down (else towards 0).
    """

    version: str
    batch: int
    multiplied: bool
    bounded: bool
    floor: bool

    @property
    def axes(self) -> List[int]:
        """The columns of x, y and z."""
        return [1, 2, 3] if self.batch == 0 else [0, 1, 2]


_VERSIONS = {
    "1.4": Rules("1.4", batch=3, multiplied=True, bounded=False, floor=True),
    "2.0": Rules("2.0", batch=3, multiplied=True, bounded=False, floor=False),
    "2.1": Rules("2.1", batch=0, multiplied=False, bounded=True, floor=True),
}
_rules = _VERSIONS["2.1"]


def rules() -> Rules:
    """Those followed now."""
    return _rules


def version() -> str:
    """The version of torchsparse whose rules are followed: "2.1" unless set_version was called."""
    return _rules.version


def set_version(version: str) -> None:
    """Follows the rules of "1.4" (as 1.0 to 1.2 have them), "2.0" or "2.1" from now on.

    1.4 and 2.0: coords int32 [N, 4] are x, y, z, batch, multiples of the stride; a strided layer whose window is its stride
    keeps every voxel. 2.1: batch, x, y, z, divided by the stride; strided layers are bounded by the highest coordinate, as
    spconv's are by the shape: what reaches beyond it is dropped. Raises ValueError for another version.
    """
    global _rules
    if version not in _VERSIONS:
        raise vs.InvalidArgument(f"[torchsparse] version expects one of {', '.join(_VERSIONS)}, found {version!r}")
    _rules = _VERSIONS[version]


@contextmanager
def following(version: str) -> Iterator[None]:
    """Follows the rules of a version within the context."""
    before = _rules.version
    set_version(version)
    try:
        yield
    finally:
        set_version(before)
