"""What a run says: a bar on a terminal, and the losses, which are read now and then."""

import math
import sys

import torch

from voxshift.train.files import Failure


class Losses:
    """Losses of the steps, and their parts by name, smoothed: 0.98 of the value before.

    They stay where they were computed until `interval` of them are there or somebody asks, and are read at once: reading waits
    for a CUDA device.
    """

    def __init__(self, first, interval, checkpoint, smooth=None, parts=None):
        self.smooth, self.parts = smooth, parts or {}
        self._next, self._interval, self._checkpoint, self._waiting = first, interval, checkpoint, []

    def add(self, loss, parts):
        """loss, parts: scalar tensors, by name. Raises Failure as `read` does."""
        self._names = list(parts)
        self._waiting.append(torch.stack([value.detach().float() for value in (loss, *parts.values())]))
        if len(self._waiting) >= self._interval:
            self.read()

    def read(self):
        """Raises Failure at the first step whose loss is infinite or no number."""
        waiting, self._waiting = self._waiting, []
        for values in torch.stack(waiting).tolist() if waiting else []:
            if not math.isfinite(values[0]):
                self._stop(values[0])
            self._next += 1
            self.smooth = _smoothed(self.smooth, values[0])
            self.parts = {name: _smoothed(self.parts.get(name), value) for name, value in zip(self._names, values[1:])}

    def _stop(self, value):
        checkpoint = self._checkpoint
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint.exists() else "there is no checkpoint yet"
        raise Failure(f"the loss is {value} at step {self._next}; {kept}")


def _smoothed(before, value):
    return value if before is None else 0.98 * before + 0.02 * value


class _Silent:
    """Stands in for a progress bar where there is no terminal or no tqdm; evaluations are still told."""

    def update(self, _):
        pass

    def set_postfix(self, **_):
        pass

    def write(self, line):
        print(line, flush=True)

    def close(self):
        pass


def bar(first, steps):
    """A progress bar on a terminal with tqdm, else what looks like one and only writes lines."""
    if sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            return _Silent()
        return tqdm(initial=first, total=steps, unit="step", smoothing=0.05)
    return _Silent()
