"""Torch's functions that a recording can write down, by name: each file of this folder adds its own."""

from typing import Callable, Optional

# Results that follow from no number of their arguments.
NOT_DERIVED = {
    *("ones_like", "full_like", "empty_like", "rand_like", "randn_like"),
    *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "register_hook", "retain_grad"),
}
FUNCTIONS: dict[str, Callable] = {}


class Refused(Exception):
    """A call that no op does. reason: for the message; maker: who is to blame, where it is not the call itself."""

    def __init__(self, reason: str = "", maker: Optional[str] = None):
        super().__init__(reason)
        self.reason, self.maker = reason, maker


def records(*names: str) -> Callable[[Callable], Callable]:
    """Registers what writes down the functions of these names: a function of (call, *arguments of the torch function)
    that gives the Value of the result, or of one with several a list. Raises Refused where no op does this.
    """

    def register(function):
        FUNCTIONS.update((name, function) for name in names)
        return function

    return register


def place_of(dim: int, value) -> int:
    """A dimension counted from the first."""
    return dim % len(value.dims)
