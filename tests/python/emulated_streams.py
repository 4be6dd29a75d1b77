"""Streams, pinned memory and events of torch.cuda for tests on machines without a GPU, beside emulated_cuda's tensors.

A copy of `.to("cuda", non_blocking=True)` on a stream of its own is done when somebody waits for an event recorded after
it: before, the tensor holds what no test expects. Memory that is not pinned, or a tensor that is used on a stream that
nobody told its memory of, is an error.
"""

import threading
from contextlib import contextmanager

import emulated_cuda
import pytest
from emulated_cuda import OnCuda
from sparse_torch import torch

_local = threading.local()


class Stream:
    def __init__(self, device=None):
        self.device, self.queued, self.thread = device, [], None

    def record_event(self):
        return list(self.queued)

    def wait_event(self, event):
        for copy in event:
            copy()


class Streams:
    """What was done with streams: tensors that copies made, those told of another stream, and who waited."""

    def __init__(self):
        self.default, self.copied, self.recorded, self.threads = Stream(), [], [], set()

    def current(self, device=None):
        return getattr(_local, "stream", None) or self.default

    @contextmanager
    def stream(self, stream):
        before = getattr(_local, "stream", None)
        _local.stream = stream
        self.threads.add(threading.get_ident())
        try:
            with emulated_cuda._Emulated():  # of this thread
                yield
        finally:
            _local.stream = before

    def to(self, x, *args, **named):
        stream = self.current()
        if stream is self.default or isinstance(x, OnCuda):
            return _TO(x, *args, **named)
        assert getattr(x, "was_pinned", False) and named.get("non_blocking"), "this copy waits for the device"
        made = OnCuda(torch.full_like(x, -77))
        stream.queued.append(lambda: made.held.copy_(x))
        self.copied.append(made)
        return made


_TO = emulated_cuda._to


def _pinned(x):
    pinned = x.clone()
    pinned.was_pinned = True
    return pinned


@pytest.fixture
def streams(torch_cuda, monkeypatch):
    """Of torch.cuda; None where there is a GPU, whose own they are."""
    if torch.cuda.is_available():
        yield None
        return
    made = Streams()
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", made.stream)
    monkeypatch.setattr(torch.cuda, "current_stream", made.current)
    monkeypatch.setattr(torch.Tensor, "pin_memory", _pinned)
    monkeypatch.setattr(OnCuda, "record_stream", lambda self, stream: made.recorded.append((self, stream)), raising=False)
    monkeypatch.setattr(emulated_cuda, "_to", made.to)
    monkeypatch.setattr("voxshift.train.place._check", lambda name: None)
    yield made
