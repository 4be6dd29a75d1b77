"""voxshift.torch.spconv against what spconv itself gave on a GPU, within the tolerances that the files tell.

The cases are from L-Reichardt/spconv-triton, tests/data (Apache-2.0). Rows are compared in lexicographic order.
"""

import functools
import itertools
import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: Debian's python3-torch")

from torch import nn  # noqa: E402
from voxshift.torch import spconv  # noqa: E402

FOLDER = os.environ.get("VOXSHIFT_DATA") and Path(os.environ["VOXSHIFT_DATA"]) / "checkpoints"
MISC = ["dense_3d", "from_dense_3d", "scatter_nd", "seq2d_mixed", "tables_jointable", "tables_addtable", "sparse_add"]
MISC += ["sparse_add_hash_based", "add_table_misaligned"]
POOLS = ["avgp3d_subm", "maxp3d_subm", "maxp3d_d2", "maxp3d_k5_kv125"]


@functools.lru_cache
def cases_of(name):
    return {case["id"]: case for case in torch.load(FOLDER / f"spconv_golden_{name}.pt", map_location="cpu")["cases"]}


def case_of(name, case):
    if not FOLDER:
        pytest.skip("VOXSHIFT_DATA is not set: no results of spconv")
    return cases_of(name)[case]


def order_of(indices):
    return torch.tensor(sorted(range(len(indices)), key=indices.tolist().__getitem__))


def within(found, expected, tolerance):
    assert found.shape == expected.shape
    assert (found.detach().double() - expected.double()).abs().max() <= tolerance


def sparse(given, wants_grad=False):
    features = given["features"].float().requires_grad_(wants_grad)
    return spconv.SparseConvTensor(features, given["indices"], given["spatial_shape"], given["batch_size"])


def layer_of(spec):
    if spec["cls"] == "SparseSequential":
        return spconv.SparseSequential(*map(layer_of, spec["children"]))
    home = nn if spec["cls"].startswith("nn.") else spconv
    layer = getattr(home, spec["cls"].split(".")[-1])(**spec["ctor"])
    with torch.no_grad():
        for name, value in (spec["params"] or {}).items():
            getattr(layer, name).copy_(value)
    return layer


def check(out, expect):
    """The order of out's rows that the file's are in."""
    assert out.spatial_shape == list(expect["out_spatial_shape"])
    order = order_of(out.indices)
    assert torch.equal(out.indices[order], expect["out_indices"])
    within(out.features[order], expect["out_features"], expect["atol_out"])
    return order


def check_gradients(out, order, given, parameters, expect, scale=1):
    grad = torch.empty_like(out.features)
    grad[order] = expect["grad_out"].float()
    out.features.backward(grad * scale)
    within(given.grad, expect["grad_input"], expect["atol_grad_input"])
    assert parameters.keys() == expect["grad_params"].keys()
    for name, told in expect["grad_params"].items():
        within(parameters[name].grad, told["grad"], told["atol"])


class UNet(nn.Module):
    """Submanifold, strided, inverse and 1x1 layers with shared maps."""

    def __init__(self):
        super().__init__()
        self.stem = spconv.SparseSequential(
            spconv.SubMConv3d(6, 16, 3, padding=1, indice_key="s0", bias=False),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            spconv.SubMConv3d(16, 16, 3, padding=1, indice_key="s0", bias=False),
        )
        self.down = spconv.SparseConv3d(16, 32, 3, stride=2, padding=1, indice_key="d0", bias=False)
        self.mid = spconv.SparseSequential(
            spconv.SubMConv3d(32, 32, 3, padding=1, indice_key="s1", bias=False), nn.BatchNorm1d(32), nn.ReLU()
        )
        self.up = spconv.SparseInverseConv3d(32, 16, 3, indice_key="d0", bias=False)
        self.join = spconv.JoinTable()
        self.head = spconv.SubMConv3d(32, 8, 1, bias=True)

    def forward(self, x):
        skip = self.stem(x)
        return self.head(self.join([self.up(self.mid(self.down(skip))), skip]))


@pytest.mark.parametrize("case", ["unet3d_float32", "unet3d_float16"])
def test_network(case):
    case = case_of("net", case)
    net = UNet()
    net.load_state_dict(case["state_dict"])
    x = sparse(case["input"], wants_grad=True)
    given = x.features
    out = net(x)
    order = check(out, case["expect"])
    assert torch.equal(out.indices, case["input"]["indices"])
    check_gradients(out, order, given, dict(net.named_parameters()), case["expect"])


def check_pipeline(case):
    layers = [layer_of(spec) for spec in case["layers"]]
    x = out = sparse(case["input"], wants_grad=True)
    given = x.features
    for layer in layers:
        out = layer(out)
    parameters = {f"{i}.{name}": p for i, layer in enumerate(layers) for name, p in layer.named_parameters()}
    # spconv multiplies the gradient of a mean by the number of rows, of which ours divides by it.
    is_mean = case["layers"][0]["cls"] == "SparseAvgPool"
    scale = neighbours(out.indices)[:, None] ** 2 if is_mean else 1
    check_gradients(out, check(out, case["expect"]), given, parameters, case["expect"], scale)


def neighbours(indices):
    """How many of the indices [N, 4] lie in the 3^3 window around each, itself included."""
    rows = set(map(tuple, indices.tolist()))
    around = list(itertools.product((-1, 0, 1), repeat=3))
    return torch.tensor([sum((b, z + k, y + j, x + i) in rows for k, j, i in around) for b, z, y, x in indices.tolist()])


@pytest.mark.parametrize("case", POOLS)
def test_pools(case):
    check_pipeline(case_of("ext_pool", case))


@pytest.mark.parametrize("case", MISC)
def test_tables_and_dense_forms(case):
    case = case_of("misc", case)
    expect = case["expect"]
    if case["kind"] == "dense":
        x = sparse(case["input"])
        assert torch.equal(x.dense(), expect["dense_cf"]) and torch.equal(x.dense(False), expect["dense_cl"])
    elif case["kind"] == "from_dense":
        x = spconv.SparseConvTensor.from_dense(case["dense"])
        assert torch.equal(x.indices, expect["indices"]) and torch.equal(x.features, expect["features"])
        assert x.spatial_shape == list(expect["spatial_shape"]) and x.batch_size == expect["batch_size"]
    elif case["kind"] == "scatter_nd":
        assert torch.equal(spconv.core.scatter_nd(case["indices"], case["updates"], case["shape"]), expect["out"])
    elif case["kind"] == "pipeline":
        check_pipeline(case)
    elif case["kind"] == "tables":
        x = sparse(case["input"])
        check(getattr(spconv, case["table"])()([layer_of(spec)(x) for spec in case["branch_specs"]]), expect)
    else:
        a, b = map(sparse, case["inputs"])
        sums = {name: getattr(spconv.functional, name, None) for name in ("sparse_add", "sparse_add_hash_based")}
        sums["add_table_misaligned"] = lambda *tensors: spconv.AddTableMisaligned()(list(tensors))
        check(sums[case["fn"]](a, b), expect)
