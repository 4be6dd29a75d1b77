"""Trains CenterPoint on pillars to find boxes in LiDAR scans: on simulated ones, or on a folder in KITTI's layout."""

import json
from pathlib import Path

import numpy as np
import torch

import voxshift as vs
import voxshift.torch as vst
from voxshift.torch.detection import detection_targets, loss_of_targets
from voxshift.train import boxes, loop, scans
from voxshift.train.place import Place

SUMMARY = "train a network that finds boxes in LiDAR scans"
CLASSES = [
    ("car", 10, (100, 150, 245)),
    ("truck", 18, (80, 30, 180)),
    ("pedestrian", 30, (255, 30, 30)),
    ("cyclist", 31, (255, 40, 200)),
]
PASTED = {"car": 12, "truck": 3, "pedestrian": 6, "cyclist": 5}  # objects of other scans in one at most
SETTLING = 100  # batches whose statistics the trained network has
LOSSES = {"heatmap": 1.0, "offset": 1.0, "height": 1.0, "size": 1.0, "rotation": 0.2, "axis": 1.0}


def add_arguments(parser):
    loop.add_arguments(parser, steps=10000, lr=3e-3, batch_size=4)
    add = parser.add_argument
    add("--width", type=float, default=0.25, help="factor of all channel counts (default %(default)s)")
    add("--init", type=Path, metavar="MODEL", help="start from this model file, or shipped model, instead of random weights")
    add("--data", type=Path, action="append", metavar="DIR", help="scans with boxes in KITTI's layout; repeatable")
    add("--val-data", type=Path, action="append", metavar="DIR", help="scans with boxes to evaluate on")
    add("--camera-only", action="store_true", help="of --data's scans only what the camera sees: KITTI labels no more")
    add("--val-scans", type=loop.positive, default=24, help="scans an evaluation uses (default %(default)s)")
    add("--reuse", type=loop.positive, default=8, help="examples made of each scan (default %(default)s)")
    add("--crop", type=float, default=40.96, metavar="METRES",
        help="side of the squares that examples are; 0: the whole range (default %(default)s)")
    add("--fade", type=float, default=0.25, help="share of the steps, the last, without pasted objects (default %(default)s)")
    add("--no-paste", action="store_true", help="paste no objects of other scans into examples")
    add("--float32", action="store_true", help="write the weights as float32 instead of float16")


def new_model(options):
    """CenterPoint on pillars of 0.32 m within 51.2 m, with one head for CLASSES."""
    model = vs.Model.new("centerpoint", profile="lidar", classes=len(CLASSES), width=options.width, seed=options.seed)
    detection = model.detection
    detection["selection"].update(score_threshold=0.3, overlap=0.1, candidates=500, most=200)
    return vs.Model.from_graph(
        model.graph, model.parameters(), model.profile, CLASSES, model.arch, detection=detection
    )


def position_weights(model):
    """The name of the linear layer's weight [C, 4 + 3 ..] that pillars' points go through, x and y its first columns; or None."""
    nodes = {node["name"]: node for node in model.graph["nodes"]}
    for node in model.graph["nodes"]:
        before = nodes.get(node["inputs"][0])
        if node["op"] == "linear" and before and before["op"] == "cat" and before["inputs"][0] not in nodes:
            return node["parameters"]["weight"]
    return None


def with_range(model, lowest, highest):
    """The model of pillars on another range: x and y of its corners in metres, multiples of the pillars."""
    graph, detection = model.graph, model.detection
    cells = [0, 0]
    for node in graph["nodes"]:
        if node["op"] == "voxelize_points":
            node["lowest"][:2], node["highest"][:2] = [list(map(float, corner[:2])) for corner in (lowest, highest)]
            cells = [round((highest[axis] - lowest[axis]) / node["voxel_size"][axis]) for axis in range(2)]
        if node["op"] == "bird_eye_view":
            node["shape"] = [*cells, node["shape"][2]]
    for head in detection["heads"]:
        head["range"] = {"lowest": [float(v) for v in lowest[:2]], "highest": [float(v) for v in highest[:2]]}
    return vs.Model.from_graph(
        graph, model.parameters(), model.profile, model.classes, model.arch, detection=detection
    )


def whole_range(model):
    """((x, y, z), (x, y, z)): what the pillars of the model cover."""
    for node in model.graph["nodes"]:
        if node["op"] == "voxelize_points":
            return tuple(np.broadcast_to(np.float32(node[side]), 3).tolist() for side in ("lowest", "highest"))
    raise loop.Failure("a detector on pillars of points is wanted, as centerpoint is")


def with_scores_from(model, threshold):
    """The model with boxes of scores above the threshold."""
    detection = model.detection
    detection["selection"]["score_threshold"] = threshold
    return vs.Model.from_graph(
        model.graph, model.parameters(), model.profile, model.classes, model.arch, detection=detection
    )


def evaluation(scenes, model, reach=40.0, deployed=loop.unchanged):
    """network -> AP of boxes seen from above within `reach` metres, of each of KITTI's classes, as evaluate of a loop.Task.

    Objects of 5 points and more count: `hard` of vs.evaluate_detections. Boxes are those of scores above 0.1. deployed: model ->
    the one that runs.
    """
    model = with_scores_from(model, 0.1)
    names = [c.name for c in model.classes]
    truths = [{"boxes": s.boxes, "classes": [names[c] for c in s.classes], "points": s.counts()} for s in scenes]

    def evaluate(network):
        detector = vs.Detector(deployed(trained_model(model, network)))
        found = [detector.detect(scene.points) for scene in scenes]
        scores = vs.evaluate_detections(found, truths, max_distance=reach, class_names=names)["classes"]
        metrics = {name: scores[name.capitalize()]["bev"]["hard"] if name.capitalize() in scores else float("nan") for name in names}
        known = [value for value in metrics.values() if np.isfinite(value)]
        first = metrics.get("car", float("nan"))
        return {"ap": first if np.isfinite(first) else float(np.mean(known or [0])),
                **{name: round(value, 4) if np.isfinite(value) else None for name, value in metrics.items()}}

    return evaluate


def network_of(model, crop):
    """(network, side of the windows): on a window where the weights know no places, else on the model's range."""
    name = position_weights(model)
    if not crop or not name:
        return vst.Network(model), 0
    # A window is moved to the origin: the network must not know where it was.
    network = vst.Network(with_range(model, [-crop / 2] * 2, [crop / 2] * 2))
    with torch.no_grad():
        network.tensor(name)[:, :2] = 0
    return network, crop


def hold_positions(network, name):
    """The weights of x and y stay 0."""
    weight = network.tensor(name)
    mask = torch.ones_like(weight)
    mask[:, :2] = 0
    weight.register_hook(lambda grad: grad * mask)


def trained_model(model, network):
    """The model, of another range, with the network's weights; of i8 where that computes so."""
    if not isinstance(network, vst.FakeQuantized):
        return model.with_parameters({n: network.tensor(n).detach().cpu().numpy().copy() for n in model.parameters()})
    whole = vst.prepare_qat(model, network.kept)
    whole.load_state_dict(network.state_dict())
    return whole.to_model()


def settle(network, batches):
    """Running statistics of the batches, (points, row_splits, ..), with the weights as they are: training's are those of its
    last few batches, and of other weights than the averaged ones.
    """
    norms = [step.parameters for step in network.steps if step.op == "batch_norm"]
    names = [(norm["running_mean"], norm["running_var"]) for norm in norms]
    sums = {name: 0 for pair in names for name in pair}
    was_training, count = network.training, 0
    network.train()
    with torch.no_grad():
        for points, splits, *_ in batches:
            for name in sums:
                network.tensor(name).zero_()
            network(points, row_splits=splits)
            for mean_name, var_name in names:  # a tenth of the batch's, as momentum 0.1 leaves it
                mean, variance = (10 * network.tensor(name) for name in (mean_name, var_name))
                sums[mean_name] += mean
                sums[var_name] += variance + mean * mean
            count += 1
        for mean_name, var_name in names:
            mean = sums[mean_name] / count
            network.tensor(mean_name).copy_(mean)
            network.tensor(var_name).copy_(sums[var_name] / count - mean * mean)
    network.train(was_training)


def run(options):
    place = Place(options)
    torch.manual_seed(options.seed)
    model = loop.initial_model(options.init) if options.init else new_model(options)
    if not model.detection or model.graph.get("input") != "points":
        raise loop.Failure(f"{options.init}: a detector on pillars of points is wanted, as centerpoint is")
    whole = whole_range(model)
    crop = options.crop
    name = position_weights(model)
    if options.init and name and np.any(model.parameters()[name][:, :2]):
        crop = 0  # it knows places
    network, side = network_of(model, crop)
    if not options.init:
        network.reset_statistics()
    names = [c.name for c in model.classes]
    source = (boxes.FolderScenes(options.data, names, options.camera_only) if options.data
              else boxes.SimulatedScenes(options.seed << 24, names, fixed_sensor=0.2))
    held = (boxes.FolderScenes(options.val_data, names, options.camera_only) if options.val_data
            else boxes.SimulatedScenes(scans.HELD_OUT, names, fixed_sensor=1.0))
    count = min(options.val_scans, len(held)) if options.val_data else options.val_scans
    wanted = [0 if options.no_paste else PASTED.get(name, 5) for name in names]
    pasted = round(options.steps * (1 - options.fade)) * options.batch_size
    dataset = boxes.Examples(source, options.seed, options.reuse, model.profile, whole, side, wanted, pasted)
    network = loop.for_i8(network, options, place, dataset, boxes.collate, lambda net, batch: net(batch[0], row_splits=batch[1]))
    if side:
        hold_positions(network, name)
    detection = network.model.detection
    spread = {"spread": 1} if all("heatmap" in head for head in detection["heads"]) else {}
    shapes = {name: map_.shape[1:] for name, (map_, _) in network.model.run(np.zeros((1, len(model.profile["scale"])), np.float32)).items()}
    is_first = True

    def prepare(batch):
        nonlocal is_first
        points, splits, of_scans, classes = batch
        if is_first:
            scans.warn_of_remission(points, model.profile)
        is_first = False
        of_batch = {name: (len(of_scans), *shape) for name, shape in shapes.items()}
        return points, splits, detection_targets(detection, of_batch, of_scans, classes, **spread)

    def loss(forward, batch):
        points, splits, targets = batch
        return loss_of_targets(detection, forward(points, row_splits=splits), targets, LOSSES)

    evaluate = evaluation([held[i] for i in range(count)], model, deployed=place.deployed)

    def export(net, path):
        trained_model(model, net).save(path, half=not options.float32 and not options.quantize)

    def finish(net):
        first, size = options.steps * options.batch_size, options.batch_size
        indices = [range(first + size * b, first + size * (b + 1)) for b in range(min(SETTLING, options.steps))]
        settle(net, (place.brought(boxes.collate([dataset[i] for i in batch])) for batch in indices))

    task = loop.Task(network, dataset, boxes.collate, loss, evaluate, export, "ap", prepare,
                     None if options.quantize else finish)
    rows = loop.train(task, options, place)
    if rows:
        loop.write_atomically(options.out / "metrics.json",
                              lambda path: path.write_text(json.dumps(rows[-1], indent=2) + "\n"))
        print(f"\n{options.out / 'model.safetensors'}: {rows[-1]['step']} steps, {rows[-1]['seconds'] / 60:.0f} minutes")
        for name in names:
            if rows[-1][name] is not None:
                print(f"  {name:15s} AP {100 * rows[-1][name]:5.1f} %")
