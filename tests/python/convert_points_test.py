"""PointNet, PointNet++ and PVCNN from their checkpoints."""

import numpy as np
import pytest
import voxshift as vs
from library_points import Learning3d, PointNet2, PointNetClassifier, PointNetParts, PointNetRooms, shaken, torch
from oracle import relative_error
from point_torch import PvcnnPlusPlus, PvcnnS3dis, PvcnnShapeNet

NETWORKS = {
    "classifier": (lambda: PointNetClassifier(6), 6, "pointnet"),
    "classifier without normals": (lambda: PointNetClassifier(3), 3, "pointnet"),
    "rooms": (PointNetRooms, 9, "pointnet"),
    "parts": (PointNetParts, 22, "pointnet"),
    "classifier, one scale": (lambda: PointNet2("classes", False, 6, 40), 6, "pointnet++"),
    "classifier, several scales": (lambda: PointNet2("classes", True, 6, 40), 6, "pointnet++"),
    "classifier, xyz alone": (lambda: PointNet2("classes", True, 3, 10), 3, "pointnet++"),
    "parts, one scale": (lambda: PointNet2("parts", False, 6, 50), 22, "pointnet++"),
    "parts, several scales": (lambda: PointNet2("parts", True, 3, 50), 19, "pointnet++"),
    "rooms, one scale": (lambda: PointNet2("rooms", False, 9, 13), 9, "pointnet++"),
    "rooms, several scales": (lambda: PointNet2("rooms", True, 9, 13), 9, "pointnet++"),
    "learning3d": (lambda: Learning3d(True, False), 3, "pointnet"),
    "learning3d without norms": (lambda: Learning3d(False, False), 3, "pointnet"),
    "learning3d, points": (lambda: Learning3d(True, True), 3, "pointnet"),
    "learning3d, points without norms": (lambda: Learning3d(False, True), 3, "pointnet"),
}


def cloud_of(columns, rows, seed=3):
    """Points on the unit ball's surface and columns beside them; of 16 or more the last ones say the kind of an object."""
    random = np.random.default_rng(seed)
    points = random.standard_normal((rows, columns))
    points[:, :3] /= np.linalg.norm(points[:, :3], axis=1, keepdims=True)
    if columns > 16:
        points[:, -16:] = np.arange(16) == 5
    return points.astype(np.float32)


@pytest.mark.parametrize("network", NETWORKS)
def test_networks_give_what_the_code_does(network, tmp_path):
    make, columns, arch = NETWORKS[network]
    net = shaken(make())
    torch.save({"epoch": 1, "model_state_dict": net.state_dict()}, tmp_path / "best_model.pth")
    model = vs.convert(tmp_path / "best_model.pth")
    assert model.arch == arch and model.graph["in_channels"] == columns
    points = cloud_of(columns, 1200 if "rooms" in network else 700)
    with torch.no_grad():
        expected = net.double()(torch.tensor(points).double().T[None])[0].numpy()
    expected = expected.T if expected.ndim == 2 else expected[None]
    found = model.forward(points)
    assert found.shape == expected.shape and expected.std() > 1e-3
    assert relative_error(found, expected) < 1e-4


PVCNN = {"pvcnn": (PvcnnS3dis, 9), "pvcnn-shapenet": (PvcnnShapeNet, 22), "pvcnn++": (PvcnnPlusPlus, 9)}


def as_torch_has_it(name, values):
    """[27, Cin, Cout] as torch.nn.Conv3d, matrices of SharedMLPs as torch.nn.Conv1d."""
    if values.ndim == 3:
        return values.reshape(3, 3, 3, *values.shape[1:]).transpose(4, 3, 0, 1, 2)
    if values.ndim == 2 and ".layers." in name and ".voxel_layers." not in name:
        return values[:, :, None]
    return values


@pytest.mark.parametrize("arch", PVCNN)
def test_point_voxel_networks(arch, tmp_path):
    oracle, columns = PVCNN[arch]
    ours = vs.Model.new(arch, width=0.25 if arch == "pvcnn++" else 0.125, seed=3).parameters()
    state = {f"module.{name}": torch.tensor(np.ascontiguousarray(as_torch_has_it(name, values))) for name, values in ours.items()}
    torch.save({"epoch": 9, "model": state, "optimizer": {}, "meters": {"acc": 50.0}}, tmp_path / "net.pth.tar")
    model = vs.convert(tmp_path / "net.pth.tar")
    assert model.arch == arch and model.graph["in_channels"] == columns
    points = cloud_of(columns, 400)
    assert relative_error(model.forward(points), oracle(ours).forward(points)) < 1e-4


@pytest.mark.parametrize("network, change, says", [
    ("rooms, one scale", lambda s: s.pop("sa2.mlp_bns.0.bias"), ["sa2.mlp_bns.0.bias", "missing"]),
    ("rooms, one scale", lambda s: s.update({"sa5.mlp_convs.0.weight": torch.zeros(2, 2, 1, 1)}), ["sa5.mlp_convs.0.weight", "no place"]),
    ("parts, several scales", lambda s: s.update({"fp1.mlp_convs.0.weight": torch.zeros(12, 9, 1)}), ["fp1.mlp_convs.0.weight"]),
    ("classifier", lambda s: s.update({"feat.stn.fc3.weight": torch.zeros(4, 256)}), ["feat.stn.fc3.weight", "[9, 256]"]),
    ("learning3d", lambda s: s.update({"feature_model.conv2.weight": torch.zeros(64)}), ["feature_model.conv2.weight"]),
])  # fmt: skip
def test_what_does_not_fit(network, change, says, tmp_path):
    state = dict(NETWORKS[network][0]().state_dict())
    change(state)
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(ValueError) as error:
        vs.convert(tmp_path / "net.pth")
    assert all(part in str(error.value) for part in says) and "\n" not in str(error.value), error.value
