"""Batches that are made ahead: a thread reads and prepares the next ones while a step computes."""

import threading
from contextlib import closing, contextmanager
from queue import SimpleQueue
from typing import Any, Iterable, Iterator


class _Ahead:
    """The items, made by one thread. At most `count` of them are made and not yet taken, the one in work among them."""

    def __init__(self, items, count):
        self._items, self._room, self._made = items, threading.Semaphore(count), SimpleQueue()
        self._is_closed = self._is_done = False
        self._thread = threading.Thread(target=self._fill, name="voxshift.train data", daemon=True)
        self._thread.start()

    def _fill(self):
        try:
            items = iter(self._items)
            while True:
                self._room.acquire()
                if self._is_closed:
                    return
                self._made.put((next(items), None))
        except StopIteration:
            self._made.put((None, None))
        except BaseException as error:  # goes on in the thread that asks
            self._made.put((None, error))

    def __iter__(self):
        return self

    def __next__(self):
        if self._is_done:
            raise StopIteration
        item, error = self._made.get()
        self._is_done = item is None
        if self._is_done:
            raise error or StopIteration
        self._room.release()
        return item

    def close(self):
        self._is_closed = True
        self._room.release()
        self._thread.join()


@contextmanager
def ahead(items: Iterable[Any], count: int) -> Iterator[Iterator[Any]]:
    """Within the context the items, none of them None, in their order, up to `count` of them made while others are in use.

    One thread makes them, one after the other: they are what they are without it. What it raises is raised in place of its
    item. The context ends when the item in work is made. 0: no thread, each item is made when it is asked for.
    """
    if count == 0:
        yield iter(items)
        return
    with closing(_Ahead(items, count)) as made:
        yield made
