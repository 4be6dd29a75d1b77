"""What layers are given."""

from typing import Any

import voxshift as vs


def expect(layers: str, x: Any, kind: type) -> None:
    """Raises ValueError, which names both, unless x is of a kind. layers: whose they are."""
    if not isinstance(x, kind):
        found = f"{type(x).__module__}.{type(x).__name__}".removeprefix("builtins.")
        package = kind.__module__.rpartition(".")[0] or kind.__module__
        raise vs.InvalidArgument(f"[{layers}] a layer expects a {kind.__name__} of {package}, found {found}")
