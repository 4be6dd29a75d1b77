"""Features in the giver's order and in the library's."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

import voxshift as vs  # noqa: E402
import voxshift.torch as vst  # noqa: E402
from voxshift.torch.ordered import Cells, Features  # noqa: E402
from voxshift.torch.recording.record import record  # noqa: E402


def scattered(random, dims, n=60):
    """Unique cells in a random order."""
    cells = np.unique(random.integers(-3, 4, (n, 1 + dims)), axis=0)
    cells[:, 0] = abs(cells[:, 0])
    cells = np.unique(cells, axis=0)
    return torch.from_numpy(random.permutation(cells).astype(np.int32))


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_both_orders_hold_the_same_rows(random, dims):
    coords = scattered(random, dims)
    cells = Cells(coords)
    assert cells.coords is coords and not cells.in_order
    feats = torch.from_numpy(random.random((len(coords), 3), np.float32))
    x = Features(cells, given=feats)
    assert x.given is feats
    rows = {tuple(row): feats[i] for i, row in enumerate(coords.tolist())}
    for i, row in enumerate(cells.coordinates.coords.tolist()):
        assert torch.equal(x.sorted[i], rows[tuple(row)])
    assert torch.equal(Features(cells, sorted=x.sorted).given, feats)


def test_rows_in_order_are_not_copied(random):
    coords = scattered(random, 3)
    made = Cells.of(Cells(coords).coordinates)
    for cells in (made, Cells(made.coords)):
        feats = torch.zeros(len(cells), 2)
        assert cells.in_order and Features(cells, given=feats).sorted is feats
        assert Features(cells, sorted=feats).given is feats


def test_gradients_find_their_rows(random):
    coords = scattered(random, 2)
    cells = Cells(coords)
    feats = torch.from_numpy(random.random((len(coords), 2), np.float32)).requires_grad_()
    factors = torch.from_numpy(random.random((len(coords), 2), np.float32))
    x = Features(cells, given=feats)
    back = Features(cells, sorted=x.sorted * x.sorted).given
    (back * factors).sum().backward()
    torch.testing.assert_close(feats.grad, 2 * feats.detach() * factors)


def test_changes_in_place_reach_the_other_order(random):
    cells = Cells(scattered(random, 3))
    x = Features(cells, given=torch.zeros(len(cells), 1))
    x.sorted.add_(1)
    assert (x.given == 1).all()
    x.given.add_(1)
    assert (x.sorted == 2).all()
    x.sorted[0] = 5
    assert x.given.max() == 5 and x.given.sum() == 5 + 2 * (len(cells) - 1)


def test_what_is_done_to_every_row_stays_in_the_order_at_hand(random):
    cells = Cells(scattered(random, 3))
    values = torch.from_numpy(random.random((len(cells), 1), np.float32))
    for x in (Features(cells, given=values), Features(cells, sorted=values)):
        assert x.at_hand is values
        y = x.with_rows(x.at_hand * 2)
        assert torch.equal(y.given, x.given * 2)


def test_a_recording_takes_both_orders_for_one_value(random):
    class Doubled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = vst.SubMConv3d(2, 2)

        def forward(self, x):
            cells = Cells(order)
            given = Features(cells, sorted=self.conv(x).feats).given
            return x.with_feats(Features(cells, given=given + given).sorted)

    order = scattered(random, 3)
    x = vst.SparseTensor(torch.from_numpy(random.random((len(order), 2), np.float32)), order)
    graph = record(Doubled(), x, "save").graph
    assert [node["op"] for node in graph["nodes"]] == ["conv", "add"]


def test_bad_cells_and_rows_are_refused(random):
    coords = scattered(random, 3)
    with pytest.raises(ValueError, match=r"\[test\] 2 repeated coordinates"):
        Cells(torch.cat([coords, coords[:2]]), op="test")
    with pytest.raises(ValueError, match="shape allows"):
        Cells(coords, shape=(2, 2, 2))
    with pytest.raises(ValueError, match=f"{len(coords)} coordinates, but 3 rows"):
        Features(Cells(coords), given=torch.zeros(3, 1))
    with pytest.raises(ValueError, match="on the CPU or on CUDA, found one on meta"):
        Cells(coords.to("meta"))


def test_deep_in_a_network_permutations_give_what_sorted_input_gives(random):
    torch.manual_seed(3)
    coords = scattered(random, 3)
    feats = torch.from_numpy(random.random((len(coords), 2), np.float32))
    conv = vst.SubMConv3d(2, 4)
    cells = Cells(coords)
    found = Features(cells, sorted=conv(Features(cells, given=feats).tensor()).feats).given
    x = vst.SparseTensor(feats, coords)
    expected = conv(x).feats[x.inverse]
    assert torch.equal(found, expected)
    assert isinstance(cells.coordinates, vs.Coordinates)
