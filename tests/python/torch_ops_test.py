"""Ops of graphs in voxshift.torch: what is registered fits the library's table, and the rest runs through the library."""

import inspect

import numpy as np
import pytest
import voxshift as vs
from oracle import random_cloud

torch = pytest.importorskip("torch", reason="voxshift.torch needs PyTorch")

import voxshift.torch as vst  # noqa: E402
from voxshift.torch import gradients  # noqa: E402


@pytest.mark.parametrize("op", gradients._registered)
def test_registered_functions_take_what_the_library_defines(op):
    table = vs.graph_ops()[op]
    taken = inspect.signature(gradients._registered[op].function).parameters
    if any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        return  # hands them on
    assert {*table["parameters"], *table["attributes"]} - {"weight_scale"} <= set(taken)  # weights of i8 are not trained
    for name in table["attributes"]:
        assert taken[name].default is inspect.Parameter.empty, f"{name} repeats the library's default"


def network_of(*nodes, tensors=None, classes=0, **graph):
    whole = {"input": "voxels", "dims": 3, "in_channels": 4, "nodes": list(nodes), "outputs": [nodes[-1]["name"]], **graph}
    return vst.Network(vs.Model.from_graph(whole, tensors or {}, None, classes))


def clouds(random, rows=120):
    coords, feats = random_cloud(random, rows, 3, 7, channels=4)
    return vst.SparseTensor(torch.from_numpy(feats).requires_grad_(), coords)


def of_runtime(network, x):
    features, _ = next(iter(network.model.run(vs.SparseTensor(x.coordinates, x.feats.detach().numpy())).values()))
    return features


@pytest.mark.parametrize("reduce, pool", [("max", vst.max_pool), ("mean", vst.avg_pool), ("sum", vst.sum_pool)])
def test_pools_have_gradients(random, reduce, pool):
    x = clouds(random)
    node = {"name": "y", "op": "pool", "inputs": ["input"], "kernel_size": 3, "stride": 2, "reduce": reduce}
    network = network_of(node)
    found = network(x)
    np.testing.assert_allclose(found.detach().numpy(), of_runtime(network, x), rtol=1e-6)
    expected = pool(x, 3, 2).feats
    weight = torch.from_numpy(random.standard_normal(expected.shape).astype(np.float32))
    gradient = [torch.autograd.grad((y * weight).sum(), x.feats)[0] for y in (found, expected)]
    assert torch.equal(*gradient) and gradient[0].abs().max() > 0


def test_attributes_left_out_have_the_librarys_defaults(random):
    x, weight = clouds(random), random.standard_normal((4, 5)).astype(np.float32)
    tensors = {"w": weight, **{role: np.full(5, 0.5 + i, np.float32) for i, role in enumerate("abcd")}}
    norm = {"weight": "a", "bias": "b", "running_mean": "c", "running_var": "d"}
    network = network_of(
        {"name": "conv", "op": "conv", "inputs": ["input"], "parameters": {"weight": "w"}},
        {"name": "norm", "op": "batch_norm", "inputs": ["conv"], "parameters": norm},
        {"name": "y", "op": "leaky_relu", "inputs": ["norm"]},
        tensors=tensors,
    ).eval()
    found = network(x)
    np.testing.assert_allclose(found.detach().numpy(), of_runtime(network, x), rtol=1e-5, atol=1e-6)
    assert (found < 0).any() and (found > 0).any()
    found.sum().backward()
    assert x.feats.grad.abs().max() > 0


def test_an_op_without_a_gradient_names_itself(random, monkeypatch):
    monkeypatch.delitem(gradients._registered, "tanh")
    network = network_of(
        {"name": "a", "op": "tanh", "inputs": ["input"]}, {"name": "b", "op": "sigmoid", "inputs": ["a"]}
    )
    x = clouds(random)
    found = network(x)
    np.testing.assert_allclose(found.detach().numpy(), of_runtime(network, x), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"^\[Network\] node a: tanh has no gradient here"):
        found.sum().backward()


def test_networks_say_what_they_take(random):
    voxels = network_of({"name": "y", "op": "relu", "inputs": ["input"]})
    with pytest.raises(ValueError, match=r"^\[Network\] the network takes voxels, found Tensor"):
        voxels(torch.zeros(5, 4))
    with pytest.raises(ValueError, match=r"^\[Network\] row_splits belong to points, the network takes voxels"):
        voxels(clouds(random), row_splits=[0, 5])
    points = network_of({"name": "y", "op": "relu", "inputs": ["input"]}, input="points", in_channels=3)
    with pytest.raises(ValueError, match=r"^\[Network\] the network takes points, found SparseTensor"):
        points(clouds(random))
    with pytest.raises(ValueError, match=r"^\[Network\] expects points \[N, C\], found \(5,\)"):
        points(torch.zeros(5))


def test_an_unknown_torch_function_is_named(random):
    class Erf(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.last = vst.Linear(4, 2)

        def forward(self, x):
            return self.last(x.with_feats(torch.special.erfc(x.feats)))

    with pytest.raises(ValueError, match=r"\[save\] linear in last takes the result of special_erfc, .* no op for"):
        vst.to_model(Erf(), clouds(random))
