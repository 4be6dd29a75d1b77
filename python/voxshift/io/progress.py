"""A bar of progress on a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Optional, TypeVar

T = TypeVar("T")


def progress(items: Sequence[T], text: str, shown: Optional[bool] = None) -> Iterator[T]:
    """The items, with a bar on standard error: tqdm's, or a plain line where that is missing.

    shown: None for where standard error is a terminal.
    """
    stream = sys.stderr
    if not (stream.isatty() if shown is None else shown):
        yield from items
        return
    try:
        from tqdm import tqdm
    except ImportError:
        for done, item in enumerate(items):
            stream.write(f"\r{text}: {done} of {len(items)}")
            stream.flush()
            yield item
        stream.write(f"\r{text}: {len(items)} of {len(items)}\n")
        return
    yield from tqdm(items, desc=text, file=stream)
