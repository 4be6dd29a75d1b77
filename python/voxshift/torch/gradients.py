"""Which ops of graphs run here with gradients: each is registered beside its autograd function."""

from typing import Callable, NamedTuple, Optional

import voxshift as vs


class Gradient(NamedTuple):
    """A function of an op's inputs that gives the op's value. Its tensors and attributes come by keyword, named as in OPS."""

    function: Callable
    of: str
    counts_clouds: bool = False


OPS = vs.graph_ops()
_registered: dict[str, Gradient] = {}


def gradient(op: str, of: str, counts_clouds: bool = False) -> Callable[[Callable], Callable]:
    """Registers a function under the op's name.

    of: what its inputs are: "rows", features [N, C] of anything, as its result; "voxels", SparseTensors; "images", Images;
    "points", Points, or Points and others; "values", any of these. counts_clouds: the function takes clouds=, how many the
    network was given. A function returns NotImplemented for inputs and attributes that it has no gradient with.
    """

    def register(function):
        _registered[op] = Gradient(function, of, counts_clouds)
        return function

    return register


def gradient_of(op: str, of: Optional[str] = "rows") -> Optional[Gradient]:
    """What is registered for the op on inputs of this kind, None for any, if anything is."""
    found = _registered.get(op)
    return found if found and (of is None or found.of in ("rows", "values", of)) else None
