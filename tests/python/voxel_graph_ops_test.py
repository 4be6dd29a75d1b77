"""Ops of graphs on voxels: unions, groups of channels, generated and selected voxels, pixels of images, beside PyTorch."""

import numpy as np
import pytest
import voxshift as vs

torch = pytest.importorskip("torch")
F = torch.nn.functional

SIDE, BATCHES = 10, 3


def cloud(channels, dims=3, seed=3):
    rng = np.random.default_rng(seed)
    cells = rng.choice(SIDE**dims * BATCHES, 60 * BATCHES if dims > 1 else 15, replace=False)
    coords = np.stack([cells // SIDE**dims, *((cells // SIDE**d) % SIDE for d in reversed(range(dims)))], 1)
    coords = np.unique(coords.astype(np.int32), axis=0)
    return vs.SparseTensor(coords, rng.standard_normal((len(coords), channels)).astype(np.float32))


def run(x, nodes, outputs, tensors=None):
    graph = {"input": "voxels", "dims": x.dims, "in_channels": x.features.shape[1], "nodes": nodes, "outputs": outputs}
    return vs.Model.from_graph(graph, tensors or {}, profile=None, classes=0).run(x)


def node(name, op, inputs, weight=None, **attributes):
    return {"name": name, "op": op, "inputs": inputs, "parameters": {"weight": weight} if weight else {}, **attributes}


def weights(*shape, seed=5):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def dense(coords, features, side=SIDE):
    """[B, C, side, ..], 0 where there is no voxel."""
    coords, features = torch.from_numpy(np.array(coords)).long(), torch.from_numpy(np.array(features))
    grid = torch.zeros(BATCHES, *(side,) * (coords.shape[1] - 1), features.shape[1])
    grid[tuple(coords.T)] = features
    return grid.movedim(-1, 1)


def at(grid, coords):
    return grid.movedim(1, -1)[tuple(torch.from_numpy(np.array(coords)).long().T)].numpy()


def window(weight, dims, size, order):
    """[K, Cin / groups, Cout] as torch's weight, [Cout, Cin / groups, size, ..] for order "oi"."""
    w = torch.from_numpy(weight).reshape(*(size,) * dims, *weight.shape[1:])
    return w.movedim(-1, 0).movedim(-1, 1) if order == "oi" else w.movedim(-2, 0).movedim(-1, 1)


CONVS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("cin, cout, groups", [(8, 8, 8), (6, 4, 2), (3, 9, 3)])
def test_groups_equal_torch(dims, cin, cout, groups):
    x, w = cloud(cin, dims), weights(3**dims, cin // groups, cout)
    [(found, coords)] = run(x, [node("y", "conv", ["input"], "w", kernel_size=3, groups=groups)], ["y"], {"w": w}).values()
    expected = CONVS[dims](dense(x.coords, x.features), window(w, dims, 3, "oi"), padding=1, groups=groups)
    np.testing.assert_array_equal(coords, x.coords)
    np.testing.assert_allclose(found, at(expected, coords), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("size, cout, groups", [(2, 5, 1), (2, 6, 6), (3, 6, 2), (1, 4, 1)])
def test_generated_voxels_equal_torch(dims, size, cout, groups):
    x, w = cloud(6, dims), weights(size**dims, 6 // groups, cout)
    options = {"kernel_size": size, "stride": 2, "groups": groups}
    [(found, coords)] = run(x, [node("y", "generative_conv_transpose", ["input"], "w", **options)], ["y"], {"w": w}).values()
    first = -(size // 2) if size % 2 else 0  # torch's output begins at the first tap
    grid, present = dense(x.coords, x.features), dense(x.coords, np.ones((len(x.coords), 1), np.float32))
    # torch's groups of a transposed weight [Cin, Cout / groups, ..] follow its inputs.
    parts = [
        TRANSPOSED[dims](g, window(p, dims, size, "io"), stride=2)
        for g, p in zip(grid.chunk(groups, 1), np.split(w, groups, 2))
    ]
    reached = TRANSPOSED[dims](present, torch.ones(1, 1, *(size,) * dims), stride=2)
    cells = torch.nonzero(reached[:, 0] > 0)
    expected = torch.cat(parts, 1).movedim(1, -1)[tuple(cells.T)]
    cells[:, 1:] += first
    np.testing.assert_array_equal(coords, cells.numpy())
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_unions_equal_sums_of_sparse_tensors(dims):
    x, w, v = cloud(4, dims), weights(2**dims, 4, 4), weights(2**dims, 4, 4, seed=6)
    nodes = [
        node("coarse", "conv", ["input"], "w", kernel_size=2, stride=2),
        node("made", "generative_conv_transpose", ["coarse"], "v", kernel_size=2, stride=2),
        node("y", "union_add", ["made", "input"]),
    ]
    outputs = run(x, nodes, ["made", "y"], {"w": w, "v": v})

    def sparse(coords, features):
        size = (BATCHES, *(SIDE + 2,) * dims, 4)
        return torch.sparse_coo_tensor(
            torch.from_numpy(np.array(coords)).T.long(), torch.from_numpy(np.array(features)), size
        )

    made, made_coords = outputs["made"]
    expected = (sparse(made_coords, made) + sparse(x.coords, x.features)).coalesce()
    found, coords = outputs["y"]
    np.testing.assert_array_equal(coords, expected.indices().T.numpy())
    np.testing.assert_allclose(found, expected.values().numpy(), rtol=1e-6)
    eager = vs.union_add(vs.SparseTensor(made_coords, made), vs.SparseTensor(x.coords, x.features))
    np.testing.assert_array_equal(found, eager.features)


def test_pixels_equal_torch_indexing():
    x, w = cloud(3), weights(7, 15, 3, 3)
    nodes = [
        node("view", "bird_eye_view", ["input"], shape=[8, 9, 5]),
        node("map", "conv2d", ["view"], "w", padding=1),
        node("y", "from_dense", ["map", "input"]),
    ]
    outputs = run(x, nodes, ["map", "y"], {"w": w})
    image, found = torch.from_numpy(outputs["map"][0]), outputs["y"][0]
    b, h, v, _ = torch.from_numpy(np.array(x.coords)).long().T
    padded = F.pad(image, (0, 0, 0, SIDE - 9, 0, SIDE - 8))  # what lies outside is 0
    np.testing.assert_array_equal(found, padded[b, h, v].numpy())
    assert (found == 0).all(1).any() and not (found == 0).all()


@pytest.mark.parametrize("dims", [1, 2, 3, 4])
def test_pruned_voxels_equal_masks(dims):
    x, w = cloud(4, dims), weights(1, 4)
    nodes = [node("score", "linear", ["input"], "w"), node("y", "prune", ["input", "score"], threshold=0.25)]
    [(found, coords)] = run(x, nodes, ["y"], {"w": w}).values()
    mask = (torch.from_numpy(np.array(x.features)) @ torch.from_numpy(w).T)[:, 0] > 0.25
    assert 0 < mask.sum() < len(mask)
    np.testing.assert_array_equal(found, np.array(x.features)[mask])
    np.testing.assert_array_equal(coords, np.array(x.coords)[mask])


@pytest.mark.parametrize("count", [1, 12, 1000])
def test_highest_voxels_equal_topk(count):
    x = cloud(4)
    nodes = [node("score", "columns", ["input"], first=1, count=1), node("y", "top_k", ["input", "score"], count=count)]
    [(found, coords)] = run(x, nodes, ["y"]).values()
    batches, scores = np.array(x.coords)[:, 0], torch.from_numpy(np.array(x.features)[:, 1])
    rows = []
    for b in range(BATCHES):
        own = np.flatnonzero(batches == b)
        rows += sorted(own[scores[own].topk(min(count, len(own))).indices.numpy()])
    np.testing.assert_array_equal(found, np.array(x.features)[rows])
    np.testing.assert_array_equal(coords, np.array(x.coords)[rows])


def test_convolutions_and_pooling_after_a_selection_equal_torch():
    x, w, v = cloud(4), weights(27, 4, 6), weights(8, 6, 5)
    nodes = [
        node("score", "columns", ["input"], first=0, count=1),
        node("kept", "prune", ["input", "score"]),
        node("y", "conv", ["kept"], "w", kernel_size=3),
        node("half", "conv", ["y"], "v", kernel_size=2, stride=2),
        node("best", "pool", ["y"], kernel_size=2, stride=2),
    ]
    outputs = run(x, nodes, ["y", "half", "best"], {"w": w, "v": v})
    mask = np.array(x.features)[:, 0] > 0
    coords = np.array(x.coords)[mask]
    present = dense(coords, np.ones((len(coords), 1), np.float32))
    full = F.conv3d(dense(coords, np.array(x.features)[mask]), window(w, 3, 3, "oi"), padding=1) * present
    np.testing.assert_array_equal(outputs["y"][1], coords)
    np.testing.assert_allclose(outputs["y"][0], at(full, coords), rtol=1e-4, atol=1e-5)
    half = F.conv3d(full, window(v, 3, 2, "oi"), stride=2)
    cells = torch.nonzero(F.max_pool3d(present, 2)[:, 0]).numpy()
    np.testing.assert_array_equal(outputs["half"][1], cells)
    np.testing.assert_allclose(outputs["half"][0], at(half, cells), rtol=1e-4, atol=1e-5)
    best = F.max_pool3d(torch.where(present > 0, full, torch.tensor(-torch.inf)), 2)
    np.testing.assert_allclose(outputs["best"][0], at(best, cells), rtol=1e-4, atol=1e-5)


def test_selected_outputs_are_no_labels_of_points():
    x = cloud(4)
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "outputs": ["y"]}
    graph["nodes"] = [node("score", "columns", ["input"], first=0, count=1), node("y", "prune", ["input", "score"])]
    model = vs.Model.from_graph(graph, {}, classes=4)
    assert len(model.forward(x)) == (np.array(x.features)[:, 0] > 0).sum()
    with pytest.raises(ValueError, match=r"\[segment\].*other coordinates"):
        model.segment(np.zeros((5, 4), np.float32))


@pytest.mark.parametrize("groups", [1, 4])
def test_networks_of_torch_take_groups_and_generated_voxels(groups):
    from voxshift.torch.network import Network
    from voxshift.torch.sparse_tensor import SparseTensor

    x, w = cloud(4), weights(27, 4 // groups, 4)
    graph = {"input": "voxels", "dims": 3, "in_channels": 4, "outputs": ["y"]}
    for op in ("conv", "generative_conv_transpose"):
        graph["nodes"] = [node("y", op, ["input"], "w", kernel_size=3, groups=groups)]
        model = vs.Model.from_graph(graph, {"w": w}, profile=None, classes=0)
        network = Network(model)
        given = SparseTensor(torch.from_numpy(np.array(x.features)), np.array(x.coords))
        np.testing.assert_allclose(network(given).detach().numpy(), model.forward(x), rtol=1e-5, atol=1e-6)


def test_four_axes_are_not_interpolated():
    graph = {"input": "voxels", "dims": 4, "in_channels": 4, "outputs": ["y"]}
    for op, inputs in (("voxelize", ["input", "half"]), ("devoxelize", ["half", "input"])):
        graph["nodes"] = [node("half", "pool", ["input"], kernel_size=2, stride=2), node("y", op, inputs)]
        with pytest.raises(ValueError, match=rf'node "y" \({op}\) needs voxels on up to 3 axes, the network has 4'):
            vs.Model.from_graph(graph, {}, profile=None, classes=0)


def test_modules_that_generate_voxels_become_models():
    import voxshift.torch as vst

    x = cloud(4)
    torch.manual_seed(1)
    module = torch.nn.Sequential(
        vst.Conv3d(4, 6, 2, stride=2), vst.Conv3d(6, 5, 2, stride=2, transposed=True, generative=True), vst.Conv3d(5, 3, 3)
    )
    example = vst.SparseTensor(torch.from_numpy(np.array(x.features)), np.array(x.coords))
    model = vst.to_model(module, example)
    assert [n["op"] for n in model.graph["nodes"]] == ["conv", "generative_conv_transpose", "conv"]
    np.testing.assert_allclose(model.forward(x), module(example).feats.detach().numpy(), rtol=1e-4, atol=1e-5)


def test_voxels_of_bounded_convolutions_at_finer_ones_and_back(random):
    """A voxel at the far end of an odd extent lies in no coarser one."""
    coords = np.unique(np.vstack([random.integers((0, 0, 0, 0), (2, 5, 7, 9), (150, 4)), (1, 4, 6, 8)]), axis=0).astype(
        np.int32
    )
    x = vs.SparseTensor(coords, random.standard_normal((len(coords), 3)).astype(np.float32), shape=(5, 7, 9))
    window = {"kernel_size": [2, 2, 2], "stride": [2, 2, 2], "semantics": "bounded"}
    weight = random.standard_normal((8, 3, 3)).astype(np.float32)
    nodes = [
        {"name": "down", "op": "conv", "inputs": ["input"], "parameters": {"weight": "w"}, **window},
        {"name": "points", "op": "devoxelize", "inputs": ["down", "input"]},
        {"name": "back", "op": "voxelize", "inputs": ["points", "down"]},
    ]
    graph = {"input": "voxels", "dims": 3, "in_channels": 3, "nodes": nodes, "outputs": ["points", "back"]}
    found = vs.Model.from_graph(graph, {"w": weight}, None, 0).run(x)
    down = vs.conv(x, weight, **window)
    assert down.coords[:, 1:].max(0).tolist() == [1, 2, 3]
    points = vs.interpolate(down.feats, vs.trilinear(down.coordinates, coords.astype(np.float32)))
    np.testing.assert_allclose(found["points"][0], points, atol=1e-5)
    parents = [np.flatnonzero((down.coords == np.concatenate([row[:1], row[1:] // 2])).all(1)) for row in coords]
    sums, counts = np.zeros_like(down.feats), np.zeros(len(down.feats))
    for row, parent in enumerate(parents):
        sums[parent] += points[row]
        counts[parent] += 1
    np.testing.assert_allclose(found["back"][0], sums / np.maximum(counts, 1)[:, None], atol=1e-5)
    assert any(len(parent) == 0 for parent in parents)
