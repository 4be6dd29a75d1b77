"""Every layer of voxshift.torch and of the libraries whose names it has: it runs, its gradients are differences of its own
values, and voxshift.torch.export writes it; or the table of layer_examples.py says why not.
"""

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from layer_examples import LIBRARIES, STEP, Of, coords_of, feats_of, modules_of
from sparse_torch import torch
from torch import nn

LAYERS = [(library, layer) for library, found in LIBRARIES.items() for layer in found.layers]
each_layer = pytest.mark.parametrize("library, layer", LAYERS)


def example_of(library, layer):
    """(example, the module, what makes its argument of features, the features)."""
    given = LIBRARIES[library]
    example = given.layers[layer]
    torch.manual_seed(3)
    module = example.make()
    for part in module.modules():
        if isinstance(getattr(part, "running_mean", None), torch.Tensor):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
    for parameter in module.parameters():
        if not parameter.any() or parameter.eq(1).all():
            nn.init.uniform_(parameter, 0.5, 1.5)
    coords = coords_of(example.dims)
    make = example.given or given.tensor
    return example, module, lambda feats: make(feats, coords.to(feats.device)), feats_of(len(coords))


def leaves(found):
    """The tensors of numbers in what a layer gives."""
    if isinstance(found, (list, tuple)):
        return [leaf for part in found for leaf in leaves(part)]
    names = [name for name in ("feats", "features", "F") if hasattr(found, name)]
    return [getattr(found, names[0]) if names else found]


def total(module, x, alongs):
    """The sum of along * y; alongs are drawn where there are none yet."""
    found = leaves(module(x))
    if not alongs:
        random = np.random.default_rng(2)
        alongs.extend(torch.from_numpy(random.standard_normal(tuple(y.shape))).to(y.device) for y in found)
    return sum((y.double() * along).sum() for y, along in zip(found, alongs))


def difference(module, given, moved, directions, alongs):
    """The change of the total for one step in these directions of tensors, which are put back."""
    sums = []
    kept = [tensor.detach().clone() for tensor in moved]
    with torch.no_grad():
        for sign in (1, -1):
            for tensor, values, direction in zip(moved, kept, directions):
                tensor.copy_(values + sign * STEP * direction)
            sums.append(total(module, given(moved[0].detach().clone()), alongs).item())
        for tensor, values in zip(moved, kept):
            tensor.copy_(values)
    return (sums[0] - sums[1]) / (2 * STEP)


@each_layer
def test_other_arguments_are_refused_by_name(library, layer):
    """The tensors of all libraries are called much alike, and none of another is taken apart."""
    example, module, _, feats = example_of(library, layer)
    if example.given or example.does_not_run or isinstance(module, Of):
        pytest.skip("not given a tensor of the library")
    coords = coords_of(example.dims)
    strangers = [None, {"feats": feats}, [feats], vs.SparseTensor(coords.numpy(), feats.numpy())]
    for given in strangers:
        with pytest.raises(ValueError, match=f"found .*{type(given).__name__}"):
            module(given)


@each_layer
def test_gradients_are_differences(random, library, layer):
    example, module, given, feats = example_of(library, layer)
    if example.does_not_run:
        with pytest.raises(TypeError):
            module(given(feats))
        return
    module.train(not example.is_random)
    feats.requires_grad_()
    moved, alongs = [feats, *module.parameters()], []
    y = total(module, given(feats), alongs)
    if example.without_gradient:
        assert not y.requires_grad
        return
    gradients = torch.autograd.grad(y, moved)
    size = sum((g.double() ** 2).sum() for g in gradients).sqrt().item()
    assert all(g.abs().max() > 1e-3 for g in gradients)
    for _ in range(2):
        directions = [torch.from_numpy(random.uniform(-1, 1, tuple(g.shape)).astype(np.float32)) for g in gradients]
        slope = sum((g.double() * d).sum().item() for g, d in zip(gradients, directions))
        expected = difference(module, given, moved, directions, alongs)
        assert abs(slope - expected) <= 2e-3 * size, (slope, expected, size)


def values_and_gradients(library, layer, device):
    """What a layer gives, and the gradients by features and parameters of its sum, each number times another."""
    example, module, given, feats = example_of(library, layer)
    module, feats = module.train(not example.is_random).to(device), feats.to(device).requires_grad_()
    found = leaves(module(given(feats)))
    random = np.random.default_rng(2)
    alongs = [torch.from_numpy(random.standard_normal(tuple(y.shape)).astype(np.float32)).to(device) for y in found]
    if not found[0].requires_grad:
        return [y.cpu() for y in found]
    total = sum((y * along).sum() for y, along in zip(found, alongs))
    return [x.detach().cpu() for x in (*found, *torch.autograd.grad(total, [feats, *module.parameters()]))]


@each_layer
def test_values_and_gradients_on_cuda_are_the_cpus(library, layer, torch_cuda):
    if LIBRARIES[library].layers[layer].does_not_run:
        pytest.skip("does not run")
    expected = values_and_gradients(library, layer, "cpu")
    for found, wanted in zip(values_and_gradients(library, layer, torch_cuda), expected):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * max(1, wanted.abs().max().item()))


@each_layer
def test_export_writes_it(tmp_path, library, layer):
    example, module, given, feats = example_of(library, layer)
    path = tmp_path / "layer.safetensors"
    if example.not_exported or example.does_not_run:
        error = (TypeError, "missing") if example.does_not_run else (vs.InvalidArgument, "which a model file has no op for")
        with pytest.raises(error[0], match=error[1]):
            vst.export(module, given(feats), path)
        assert not path.exists()
    else:
        model = vst.export(module, given(feats), path)
        assert path.exists() and model.graph["input"] == ("points" if example.given else "voxels")


@each_layer
def test_tensors_on_other_devices_are_refused(library, layer):
    _, module, given, feats = example_of(library, layer)
    with pytest.raises(vs.InvalidArgument, match="on the CPU or on CUDA, found .* on meta"):
        module(given(feats.to("meta")))


@pytest.mark.parametrize("library", LIBRARIES)
def test_every_layer_is_in_the_table(library):
    found = LIBRARIES[library]
    assert modules_of(found.names) == {*found.layers, *found.bases}
    assert not found.layers.keys() & set(found.bases)
