"""Trains MinkUNet or SPVCNN to label LiDAR scans: on simulated ones, or on a folder in SemanticKITTI's layout."""

import json
from pathlib import Path

import numpy as np
import torch

import voxshift as vs
import voxshift.torch as vst
from voxshift.train import loop, scans
from voxshift.train.lovasz import known_and_present, lovasz_of_known
from voxshift.train.place import Place

SUMMARY = "train a network that labels LiDAR scans"


def add_arguments(parser):
    loop.add_arguments(parser, steps=11000, lr=2e-3, batch_size=2)
    loop.add_distillation(parser)
    add = parser.add_argument
    add("--arch", choices=["minkunet", "spvcnn"], default="minkunet", help="(default %(default)s)")
    add("--width", type=float, default=0.25, help="factor of all channel counts (default %(default)s)")
    add("--init", type=Path, metavar="MODEL", help="start from this model file, or shipped model, instead of random weights")
    add("--data", type=Path, action="append", metavar="DIR", help="labelled scans in SemanticKITTI's layout; repeatable")
    add("--val-data", type=Path, action="append", metavar="DIR", help="labelled scans to evaluate on")
    add("--val-scans", type=loop.positive, default=8, help="scans an evaluation uses (default %(default)s)")
    add("--reuse", type=loop.positive, default=4, help="sectors taken of each simulated scan (default %(default)s)")
    add("--sector", type=float, default=0.25, help="share of a scan's turn in an example (default %(default)s)")
    add("--trainable", choices=["all", "bias", "head", "bias+head"], default="all",
        help="tensors that change: the others need no gradient and less memory (default %(default)s)")
    add("--freeze-norm", action="store_true", help="keep batch norm's statistics and weights")
    add("--float32", action="store_true", help="write the weights as float32 instead of float16")


def new_network(options):
    if options.init:
        return vst.Network(loop.initial_model(options.init))
    return vst.Network(vs.Model.new(options.arch, width=options.width, seed=options.seed)).reset_statistics()


def choose_trainable(network, options):
    """requires_grad as --trainable and --freeze-norm say; batch norm without gradient also keeps its statistics.

    Scales of values are always trained.
    """
    head = network.steps[-1].parameters.values()
    nodes = network.model.graph["nodes"]
    norms = {name for node in nodes if node["op"] == "batch_norm" for name in node["parameters"].values()}
    wanted = options.trainable.split("+")
    for name, p in network.named_parameters():
        chosen = "all" in wanted or name.endswith(".log_scale") or ("bias" in wanted and name.endswith(".bias")) or ("head" in wanted and name in head)
        p.requires_grad_(chosen and not (options.freeze_norm and name in norms))


def class_weights(dataset, classes, scans_used=12):
    """Inverse square root of each class's share of the labels, 1 on average; 0 for classes without a label."""
    counts = np.zeros(256)
    for i in range(min(scans_used, len(dataset)) if hasattr(dataset, "__len__") else scans_used):
        counts += np.bincount(dataset[i][1], minlength=256)
    counts = counts[:classes]
    weights = np.where(counts > 0, 1 / np.sqrt(np.maximum(counts, 1) / max(counts.sum(), 1) + 1e-3), 0)
    return torch.tensor(weights / weights[weights > 0].mean(), dtype=torch.float32)


def evaluation(validation, count, classes, deployed=loop.unchanged):
    """network -> mIoU over the classes present, accuracy, and each class's IoU, on whole scans. deployed: model -> the one that runs."""

    def evaluate(network):
        model = deployed(network.to_model())
        matrix = np.zeros((len(classes), len(classes)), np.int64)  # truth, prediction
        for i in range(count):
            points, labels = validation[i]
            predicted = model.segment(points)
            known = (labels != scans.IGNORED) & (predicted != scans.IGNORED)
            pairs = labels[known].astype(np.int64) * len(classes) + predicted[known]
            matrix += np.bincount(pairs, minlength=matrix.size).reshape(matrix.shape)
        right, truth = np.diag(matrix), matrix.sum(axis=1)
        union = truth + matrix.sum(axis=0) - right
        present = truth > 0
        iou = right[present] / union[present]
        metrics = {"miou": float(iou.mean()), "accuracy": float(right.sum() / max(truth.sum(), 1))}
        metrics.update({c.name: round(float(v), 4) for c, v in zip(np.array(classes, object)[present], iou)})
        return metrics

    return evaluate


def run(options):
    place = Place(options)
    torch.manual_seed(options.seed)
    network = new_network(options)
    profile = network.model.profile or {}
    if "voxel_size" not in profile or len(profile["scale"]) != 4 or not profile["scale"][3]:
        raise loop.Failure(f"{options.init}: a network on voxels with x, y, z and remission is wanted")
    classes = network.model.classes
    source = (scans.FolderScans(options.data, classes) if options.data
              else scans.SimulatedScans(options.seed << 24, classes))
    validation = (scans.FolderScans(options.val_data, classes) if options.val_data
                  else scans.SimulatedScans(scans.HELD_OUT, classes, vary_sensor=False))
    count = min(options.val_scans, len(validation)) if options.val_data else options.val_scans
    weights = class_weights(source, len(classes))
    dataset = scans.Examples(source, options.seed, 1 if options.data else options.reuse, options.sector, profile)
    network = loop.for_i8(network, options, place, dataset, scans.collate,
                          lambda net, batch: net(vst.SparseTensor(batch[1], batch[0])))
    choose_trainable(network, options)
    distillation = loop.Distillation(network, options, place)
    cross_entropy = torch.nn.CrossEntropyLoss(weights.to(place.device), ignore_index=scans.IGNORED)

    is_first = True

    def prepare(batch):
        nonlocal is_first
        coords, feats, labels = batch
        if is_first:
            scans.warn_of_remission(feats, profile)
        is_first = False
        return place.coordinates(coords), feats, labels, *known_and_present(labels, scans.IGNORED)

    def loss(forward, batch):
        coords, feats, labels, known, present = batch
        x = vst.SparseTensor(feats, coords)
        logits = forward(x)
        return cross_entropy(logits, labels) + lovasz_of_known(logits, labels, known, present) + distillation(logits, x)

    held = [validation[i] for i in range(count)]
    rows = loop.train(
        loop.Task(network, dataset, scans.collate, loss, evaluation(held, count, classes, place.deployed),
                  lambda net, path: loop.save(net, path, options), "miou", prepare),
        options,
        place,
    )
    if rows:
        loop.write_atomically(options.out / "metrics.json",
                              lambda path: path.write_text(json.dumps(rows[-1], indent=2) + "\n"))
        print(f"\n{options.out / 'model.safetensors'}: {rows[-1]['step']} steps, {rows[-1]['seconds'] / 60:.0f} minutes")
        for name, value in rows[-1].items():
            if name in {c.name for c in classes} | {"miou", "accuracy"}:
                print(f"  {name:15s} {100 * value:5.1f} %")
