"""Gradients of PVCNN, PVCNN++ and PointNet++ against networks of plain torch functions in float64."""

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from point_torch import PointNet2, PvcnnPlusPlus, PvcnnS3dis, PvcnnShapeNet, torch

REFERENCES = {"pvcnn": PvcnnS3dis, "pvcnn-shapenet": PvcnnShapeNet, "pvcnn++": PvcnnPlusPlus, "pointnet++": PointNet2}
WIDTHS = {"pvcnn++": 0.25}


def cloud(arch, model, random, rows=600):
    """Points on a few planes of a unit sphere's extent, x y z first, with other numbers beside."""
    xyz = random.uniform(-1, 1, (rows, 3))
    xyz[:, 2] = xyz[:, 0] * 0.3 + random.integers(0, 3, rows) * 0.4 - 0.5
    xyz /= np.linalg.norm(xyz, axis=1).max()
    others = random.uniform(0, 1, (rows, model.graph["in_channels"] - 3))
    return np.concatenate([xyz, others], 1).astype(np.float32)


@pytest.mark.parametrize("arch", REFERENCES)
def test_gradients_of_a_whole_network(random, arch):
    model = vs.Model.new(arch, width=WIDTHS.get(arch, 0.125), classes=7, seed=4)
    network = vst.Network(model).eval()
    points = cloud(arch, model, random)
    reference = REFERENCES[arch](model.parameters(), torch.float64)
    for name, _ in network.named_parameters():
        reference.parameters[name].requires_grad_()
    target = torch.from_numpy(random.integers(0, 7, len(points)))
    criterion = torch.nn.functional.cross_entropy
    found = criterion(network(torch.from_numpy(points)), target)
    expected = criterion(reference.logits(points), target)
    assert abs(found.item() - expected.item()) < 1e-5 * expected.item()
    found.backward()
    expected.backward()
    errors = {}
    for name, parameter in network.named_parameters():
        other = reference.parameters[name].grad
        errors[name] = ((parameter.grad - other).norm() / (other.norm() + 1e-4)).item()
    # A maximum may be another's in float32, or an activation's sign: few tensors are far off.
    assert np.median(list(errors.values())) < 1e-2 and max(errors.values()) < 0.1, errors


@pytest.mark.parametrize("arch", ["pvcnn", "pvcnn++", "pointnet++"])
def test_the_same_bits_for_any_number_of_threads(random, arch):
    model = vs.Model.new(arch, width=WIDTHS.get(arch, 0.125), classes=7, seed=4)
    points = torch.from_numpy(cloud(arch, model, random, 1500))

    def gradients(threads):
        vs.set_num_threads(threads)
        network = vst.Network(model).train()
        network(points, row_splits=[0, 700, 1500]).pow(2).mean().backward()
        return {name: p.grad for name, p in network.named_parameters()}

    torch.set_num_threads(1)
    one, two = gradients(1), gradients(2)
    assert all(torch.equal(one[name], two[name]) for name in one)
