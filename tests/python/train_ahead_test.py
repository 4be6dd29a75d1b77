"""What is made ahead by a thread: the same items in the same order, at most so many, and errors in their place."""

import threading

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch", reason="voxshift.train needs PyTorch")

from train_test import folder, main, model_bytes, sequence_of, train, whole_run  # noqa: E402, F401
from voxshift.train import loop  # noqa: E402
from voxshift.train.ahead import ahead  # noqa: E402
from voxshift.train.progress import Losses  # noqa: E402


class Source:
    """Numbers from 0 on, which it counts; `made` is told of each, `may` asked before the numbers from `first` on."""

    def __init__(self, count, first=0, may=None, error=None):
        self.count, self.first, self.may, self.error, self.begun = count, first, may, error, 0
        self.threads = set()

    def __iter__(self):
        for i in range(self.count):
            self.begun = i + 1
            self.threads.add(threading.get_ident())
            if self.may and i >= self.first:
                self.may.wait()
            if self.error and i == self.error[0]:
                raise self.error[1]
            yield i


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_items_come_in_their_order(count):
    source = Source(20)
    with ahead(source, count) as items:
        assert list(items) == list(range(20))
        assert list(items) == []
    assert (threading.get_ident() in source.threads) == (count == 0) and len(source.threads) == 1


def test_the_next_items_are_made_while_one_is_in_use_and_no_more():
    may = threading.Event()
    source = Source(9, first=3, may=may)
    with ahead(source, 2) as items:
        assert next(items) == 0
        assert [next(items), next(items)] == [1, 2]  # waits for both
        taken = 3
        assert source.begun <= taken + 2
        may.set()
        for i in items:
            taken += 1
            assert i == taken - 1 and source.begun <= taken + 2
    assert source.begun == 9


def test_nothing_is_made_that_has_no_room():
    made = threading.Semaphore(0)

    def items():
        for i in range(6):
            made.release()
            yield i

    with ahead(items(), 2) as found:
        made.acquire()
        made.acquire()  # two begun, none taken
        assert not made.acquire(blocking=False)
        assert next(found) == 0
        made.acquire()  # the third, as there is room again
        assert not made.acquire(blocking=False)


@pytest.mark.parametrize("count", [0, 2])
def test_an_error_comes_in_the_place_of_its_item(count):
    error = loop.Failure("no such file")
    found = []
    with pytest.raises(loop.Failure) as raised:
        with ahead(Source(9, error=(4, error)), count) as items:
            found.extend(iter(lambda: next(items), None))
    assert raised.value is error and found == [0, 1, 2, 3]


def test_the_thread_ends_with_the_context():
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        with ahead(Source(1 << 40), 2) as items:
            next(items)
            assert threading.active_count() == before + 1
            raise KeyboardInterrupt
    assert threading.active_count() == before


@pytest.mark.parametrize("options", [("--prefetch", 0), ("--prefetch", 5), ("--prefetch", 1, "--workers", 1)])
def test_the_bits_of_a_run_do_not_depend_on_it(folder, whole_run, tmp_path, options):
    assert train(folder, tmp_path, "--seed", 3, *options) == 0
    assert model_bytes(tmp_path) == model_bytes(whole_run)
    assert (tmp_path / "checkpoint.pt").exists()


def test_an_interruption_ends_the_thread(folder, tmp_path, interrupted_at, capsys):
    before = threading.active_count()
    with interrupted_at(1):
        assert train(folder, tmp_path, steps=1000) == 1
    assert capsys.readouterr().err == "voxshift.train: interrupted; --resume goes on from the last checkpoint\n"
    assert threading.active_count() == before


@pytest.mark.parametrize("prefetch", [0, 2])
def test_an_error_of_the_data_is_one_line(folder, tmp_path, capsys, prefetch):
    root = sequence_of(folder, tmp_path / "data")
    path = root / "labels/000001.label"
    labels = np.fromfile(path, np.uint32)
    labels[5] = 7
    labels.tofile(path)
    assert train(root, tmp_path / "out", "--prefetch", prefetch) == 1
    error = capsys.readouterr().err
    assert error == f"voxshift.train: {path}: raw id 7 of point 5 is neither a class of the model nor one of SemanticKITTI's\n"


class Bad(torch.utils.data.Dataset):
    def __init__(self, error):
        self.error = error

    def __getitem__(self, i):
        raise self.error


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("error", [loop.Failure("a: no scan"), vs.InvalidArgument("[voxelize] no"), OSError("b: no file"), vs.IoError("c: cut")])
def test_an_error_of_a_worker_process_is_its_message(error, workers):
    context = {"multiprocessing_context": "spawn"} if workers else {}
    loader = torch.utils.data.DataLoader(Bad(error), batch_sampler=[[0]], num_workers=workers, **context)
    with ahead(loop._plain_errors(iter(loader)), 2) as batches:
        with pytest.raises(type(error)) as raised:
            next(batches)
    assert str(raised.value) == str(error)


def scalar(value):
    return torch.tensor(value, dtype=torch.float32)


def test_losses_are_smoothed_in_their_order(tmp_path):
    values = [2.0, 1.0, 4.0, 3.0, 0.5]
    expected = values[0]
    for value in values[1:]:
        expected = 0.98 * expected + 0.02 * value
    for interval in (1, 2, 16):
        losses = Losses(0, interval, tmp_path / "checkpoint.pt")
        for value in values:
            losses.add(scalar(value), {"half": scalar(value / 2)})
        losses.read()
        assert losses.smooth == expected and losses.parts["half"] == expected / 2


@pytest.mark.parametrize("interval", [1, 3, 16])
def test_a_loss_that_is_no_number_is_said_of_its_step(tmp_path, interval):
    losses = Losses(7, interval, tmp_path / "checkpoint.pt")
    with pytest.raises(loop.Failure, match="the loss is inf at step 9; there is no checkpoint yet"):
        for value in (1.0, 2.0, float("inf"), float("nan")):
            losses.add(scalar(value), {})
        losses.read()
