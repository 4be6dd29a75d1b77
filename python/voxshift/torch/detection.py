"""Targets and losses of detectors, from what Model.detection says of their maps.

CenterPoint's (Yin et al., CVPR 2021) for heads that find boxes by their centres, SECOND's (Yan et al., Sensors 2018) for
heads with anchors. Boxes are float32 [M, 7] or [M, 9]: x y z of the centre, length, width, height, yaw, and vx vy; maps float32
[scans, W, H, channels], cell (i, j) at x = lowest + (i + 0.5) step.
"""

from itertools import product
from typing import NamedTuple, Optional, Sequence, Union

import numpy as np
import torch
from torch.nn import functional

import voxshift as vs

IGNORED = -2  # anchors that are neither: their label
BACKGROUND = -1


class CenterTargets(NamedTuple):
    """Of a head that finds boxes by their centres, for B scans with P boxes on the map, with a spread P cells of boxes.

    heatmap: float32 [B, W, H, classes of the head], 1 at centres. cells: int64 [P, 3], scan, i and j of each. maps: by
    the head's keys "offset", "height", "size", "rotation" and perhaps "velocity", float32 [P, channels].
    """

    heatmap: torch.Tensor
    cells: torch.Tensor
    maps: dict[str, torch.Tensor]


class AnchorTargets(NamedTuple):
    """Of a head with A anchors a cell, for one scan. labels: int64 [W, H, A], a class, BACKGROUND or IGNORED. boxes: float32
    [W, H, A, 7 or 9], relative to the anchors, 0 where there is no class. directions: int64 [W, H, A], 0 likewise.
    """

    labels: torch.Tensor
    boxes: torch.Tensor
    directions: torch.Tensor


def gaussian_radius(length: float, width: float, min_overlap: float = 0.1) -> float:
    """How far, in the unit of the sides, corners may move for the IoU to stay min_overlap: the least of CornerNet's three
    cases, with the larger root over 2 that CenterNet, CenterPoint and their successors take.
    """
    total, area, o = length + width, length * width, min_overlap
    cases = [(1, total, area * (1 - o) / (1 + o)), (4, 2 * total, area * (1 - o)), (4 * o, -2 * o * total, area * (o - 1))]
    return min((b + np.sqrt(max(b * b - 4 * a * c, 0))) / 2 for a, b, c in cases)


def _steps(head, extent):
    """Metres a cell along x and y, of a map of this extent."""
    lowest, highest = (np.array(head["range"][side], np.float64) for side in ("lowest", "highest"))
    return lowest, (highest - lowest) / np.array(extent)


def _draw(heatmap, i, j, radius):
    """The maximum of the map float32 [W, H] and a bell of deviation (2 radius + 1) / 6 around cell (i, j), within the radius."""
    left, right = max(i - radius, 0), min(i + radius + 1, heatmap.shape[0])
    low, high = max(j - radius, 0), min(j + radius + 1, heatmap.shape[1])
    sigma = (2 * radius + 1) / 6
    x, y = np.ogrid[left - i : right - i, low - j : high - j]
    bell = np.exp(-(x * x + y * y) / (2 * sigma * sigma)).astype(np.float32)
    np.maximum(heatmap[left:right, low:high], bell, out=heatmap[left:right, low:high])


def center_targets(
    head: dict,
    extent: Sequence[int],
    boxes: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    min_overlap: float = 0.1,
    min_radius: int = 2,
    spread: int = 0,
) -> CenterTargets:
    """The targets of one of Model.detection's heads, on maps of W, H cells, for the boxes and their classes of each scan.

    Boxes whose centre is outside the map, of other heads' classes or without an extent take no part. spread: cells this far from
    a centre give its box, too (as AFDet, Ge et al., 2020, has offsets), which few scans want; they are in `cells`.
    """
    lowest, step = _steps(head, extent)
    heatmap = np.zeros((len(boxes), *extent, len(head["classes"])), np.float32)
    cells, kept = [], []
    for scan, (of_scan, class_of) in enumerate(zip(boxes, classes)):
        for box, class_ in zip(np.asarray(of_scan, np.float64), class_of):
            place = (box[:2] - lowest) / step
            i, j = np.floor(place).astype(int)
            if class_ not in head["classes"] or not (box[3:6] > 0).all():
                continue
            if not (0 <= i < extent[0] and 0 <= j < extent[1]):
                continue
            radius = max(min_radius, int(gaussian_radius(box[3] / step[0], box[4] / step[1], min_overlap)))
            _draw(heatmap[scan, :, :, head["classes"].index(class_)], i, j, radius)
            for near in product(range(i - spread, i + spread + 1), range(j - spread, j + spread + 1)):
                if 0 <= near[0] < extent[0] and 0 <= near[1] < extent[1]:
                    cells.append((scan, *near))
                    kept.append((*(place - near), *box[2:]))
    kept = np.array(kept, np.float32).reshape(len(cells), -1) if cells else np.zeros((0, 9), np.float32)
    sine, cosine = np.sin(kept[:, 6]), np.cos(kept[:, 6])
    maps = {
        "offset": kept[:, :2],
        "height": kept[:, 2:3],
        "size": np.log(kept[:, 3:6]),
        "rotation": np.stack((sine, cosine) if head["rotation_is"] == "sin_cos" else (cosine, sine), 1),
    }
    if head.get("velocity"):
        maps["velocity"] = kept[:, 7:9]
    maps = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in maps.items()}
    return CenterTargets(torch.from_numpy(heatmap), torch.tensor(cells, dtype=torch.long).reshape(-1, 3), maps)


def anchors_of(head: dict, extent: Sequence[int]) -> np.ndarray:
    """float32 [W, H, A, 7]: the anchors of all cells of maps of W, H cells, of a head of Model.detection that has anchors."""
    lowest, step = _steps(head, extent)
    axes = []
    for axis, cells in enumerate(extent):
        if head["anchors_at"] == "edges":
            axes.append(np.linspace(lowest[axis], head["range"]["highest"][axis], cells))
        else:
            axes.append(lowest[axis] + (np.arange(cells) + 0.5) * step[axis])
    result = np.empty((*extent, len(head["anchors"]), 7), np.float32)
    result[..., 0], result[..., 1] = axes[0][:, None, None], axes[1][None, :, None]
    for a, anchor in enumerate(head["anchors"]):
        result[:, :, a, 2:] = (anchor["z"], *anchor["size"], anchor["yaw"])
    return result


def _upright(boxes):
    """[N, 4] lowest and highest x and y of the axis-aligned box nearest to each box: its sides swap beyond 45 degrees."""
    turned = np.abs(np.sin(boxes[:, 6])) > np.sqrt(0.5)
    sides = np.where(turned[:, None], boxes[:, [4, 3]], boxes[:, 3:5])
    return np.concatenate([boxes[:, :2] - sides / 2, boxes[:, :2] + sides / 2], 1)


def _nearest_overlaps(anchors, boxes):
    """[N, M]: intersection over union, from above, of the axis-aligned boxes nearest to anchors and boxes."""
    a, b = _upright(anchors)[:, None], _upright(boxes)[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.maximum(sides, 0).prod(-1)
    return shared / ((a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared)


def _relative(boxes, anchors):
    """Boxes as the head's channels give them."""
    diagonal = np.hypot(anchors[:, 3], anchors[:, 4])
    return np.concatenate(
        [
            (boxes[:, :2] - anchors[:, :2]) / diagonal[:, None],
            (boxes[:, 2:3] - anchors[:, 2:3]) / anchors[:, 5:6],
            np.log(boxes[:, 3:6] / anchors[:, 3:6]),
            boxes[:, 6:7] - anchors[:, 6:7],
            boxes[:, 7:],
        ],
        1,
    )


def anchor_targets(
    head: dict,
    extent: Sequence[int],
    boxes: np.ndarray,
    classes: np.ndarray,
    class_count: int,
    positive: Union[float, Sequence[float]] = 0.6,
    negative: Union[float, Sequence[float]] = 0.45,
    columns: int = 7,
) -> AnchorTargets:
    """The targets of one scan for a head of Model.detection that has anchors, on maps of W, H cells.

    Anchors are of the classes in their order, as many of each. By the overlap with boxes of its class (axis-aligned, from
    above) an anchor is a box's from `positive` on, nothing below `negative`, ignored between; the anchors with the largest
    overlap of a box are its own if that is above 0. The two are numbers, or one per class. columns: 9 with velocities.
    """
    positive, negative = (np.broadcast_to(np.float32(value), class_count) for value in (positive, negative))
    boxes = np.asarray(boxes, np.float32).reshape(-1, max(np.shape(boxes)[-1], 7))
    anchors = anchors_of(head, extent).reshape(-1, len(head["anchors"]), 7)
    labels = np.full(anchors.shape[:2], BACKGROUND, np.int64)
    relative = np.zeros((*anchors.shape[:2], columns), np.float32)
    directions = np.zeros(anchors.shape[:2], np.int64)
    period = 2 * np.pi / head["direction_bins"]
    per_class = anchors.shape[1] // class_count
    for class_ in range(class_count):
        own = boxes[np.asarray(classes) == class_]
        if not len(own):
            continue
        kinds = slice(class_ * per_class, (class_ + 1) * per_class)
        of_class = anchors[:, kinds].reshape(-1, 7)
        overlaps = _nearest_overlaps(of_class, own)
        best, box_of = overlaps.max(1), overlaps.argmax(1)
        label = np.where(best >= positive[class_], class_, np.where(best < negative[class_], BACKGROUND, IGNORED))
        highest = overlaps.max(0)
        anchor, box = np.nonzero((overlaps == highest) & (highest > 0))
        label[anchor], box_of[anchor] = class_, box
        chosen = np.flatnonzero(label == class_)
        found = own[box_of[chosen]]
        values = np.zeros((len(of_class), columns), np.float32)
        values[chosen] = _relative(found[:, :columns], of_class[chosen])
        bins = np.zeros(len(of_class), np.int64)
        turn = np.mod(found[:, 6] - head["direction_offset"], 2 * np.pi)
        bins[chosen] = np.minimum(turn / period, head["direction_bins"] - 1).astype(np.int64)
        labels[:, kinds] = label.reshape(-1, per_class)
        relative[:, kinds] = values.reshape(-1, per_class, columns)
        directions[:, kinds] = bins.reshape(-1, per_class)
    shape = (*extent, len(head["anchors"]))
    return AnchorTargets(
        torch.from_numpy(labels.reshape(shape)),
        torch.from_numpy(relative.reshape(*shape, columns)),
        torch.from_numpy(directions.reshape(shape)),
    )


def gaussian_focal_loss(logits: torch.Tensor, heatmap: torch.Tensor, alpha: float = 2, beta: float = 4) -> torch.Tensor:
    """CornerNet's loss of a heat map, over the number of its ones: -(1 - p)^alpha log p there, elsewhere
    -(1 - h)^beta p^alpha log(1 - p).
    """
    p = torch.sigmoid(logits)
    is_center = heatmap == 1
    at_centers = functional.logsigmoid(logits) * (1 - p) ** alpha * is_center
    elsewhere = functional.logsigmoid(-logits) * p**alpha * (1 - heatmap) ** beta * ~is_center
    return -(at_centers.sum() + elsewhere.sum()) / is_center.sum().clamp(min=1)


def sigmoid_focal_loss(logits: torch.Tensor, is_one: torch.Tensor, alpha: float = 0.25, gamma: float = 2) -> torch.Tensor:
    """RetinaNet's loss of each logit (Lin et al., ICCV 2017): -a (1 - p)^gamma log p, with p the probability of what is."""
    cross_entropy = functional.binary_cross_entropy_with_logits(logits, is_one, reduction="none")
    missing = (is_one - torch.sigmoid(logits)).abs()
    return (alpha * is_one + (1 - alpha) * (1 - is_one)) * missing**gamma * cross_entropy


def smooth_l1(difference: torch.Tensor, beta: float = 1 / 9) -> torch.Tensor:
    """x^2 / (2 beta) below beta, else |x| - beta / 2, of each element."""
    size = difference.abs()
    return torch.where(size < beta, size * size / (2 * beta), size - beta / 2)


def center_loss(head: dict, maps: dict, targets: CenterTargets, weights: Optional[dict] = None) -> dict:
    """The losses of a head's maps by key: "heatmap", and for the others the sum of L1 over channels, the mean over boxes.

    weights: factors by key; 1 for the heat map and 0.25 for the others unless given (mmdetection3d's), 0.05 for velocities. "axis",
    0 unless given: the rotation's L1 to the heading or its opposite, whichever is nearer. Where scans do not tell front from
    back, L1 to the heading alone is the same for everything between the two, and teaches nothing.
    """
    factors = {"heatmap": 1.0, "velocity": 0.05, "axis": 0.0, **(weights or {})}
    losses = {"heatmap": factors["heatmap"] * gaussian_focal_loss(maps[head["heatmap"]], targets.heatmap)}
    scan, i, j = targets.cells.unbind(1)
    for key, wanted in targets.maps.items():
        error = (maps[head[key]][scan, i, j] - wanted).abs()
        losses[key] = factors.get(key, 0.25) * error.sum() / max(len(wanted), 1)
        if key == "rotation" and factors["axis"]:
            opposite = (maps[head[key]][scan, i, j] + wanted).abs()
            nearer = torch.minimum(error.sum(1), opposite.sum(1))
            losses["axis"] = factors["axis"] * nearer.sum() / max(len(wanted), 1)
    return losses


def anchor_loss(head: dict, maps: dict, targets: Sequence[AnchorTargets], weights: Optional[dict] = None) -> dict:
    """The losses of a head's maps by key, over the number of anchors that are boxes: "scores" (focal), "boxes" (smooth L1,
    of the yaw's difference its sine) and "directions" (cross entropy).

    weights: factors by key; 1, 2 and 0.2 unless given, OpenPCDet's.
    """
    factors = {"scores": 1.0, "boxes": 2.0, "directions": 0.2, **(weights or {})}
    labels = torch.stack([t.labels for t in targets])
    count = (labels >= 0).sum().clamp(min=1)
    scores = maps[head["scores"]].reshape(*labels.shape, -1)
    is_one = labels[..., None] == torch.arange(scores.shape[-1], device=labels.device)
    counted = (labels != IGNORED)[..., None]
    losses = {"scores": (sigmoid_focal_loss(scores, is_one.to(scores.dtype)) * counted).sum() / count}
    is_box = labels >= 0
    wanted = torch.stack([t.boxes for t in targets])[is_box]
    difference = maps[head["boxes"]].reshape(*labels.shape, -1)[is_box] - wanted
    turned = torch.cat([difference[:, :6], torch.sin(difference[:, 6:7]), difference[:, 7:]], 1)
    losses["boxes"] = smooth_l1(turned).sum() / count
    if head.get("directions"):
        bins = maps[head["directions"]].reshape(*labels.shape, -1)[is_box]
        wanted_bins = torch.stack([t.directions for t in targets])[is_box]
        losses["directions"] = functional.cross_entropy(bins, wanted_bins, reduction="sum") / count
    return {key: factors[key] * value for key, value in losses.items()}


def _on(device, targets):
    """Targets on the device of the maps, in lists, tuples and dicts of any depth."""
    if isinstance(targets, torch.Tensor):
        return targets.to(device)
    if isinstance(targets, dict):
        return {key: _on(device, value) for key, value in targets.items()}
    parts = [_on(device, value) for value in targets]
    return parts if isinstance(targets, list) else type(targets)(*parts)


def detection_loss(
    detection: dict,
    maps: dict[str, torch.Tensor],
    boxes: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    weights: Optional[dict] = None,
    **targets,
) -> dict[str, torch.Tensor]:
    """The losses of a detector's maps by key, summed over its heads: their sum is what training makes small.

    detection: Model.detection. maps: what Network gives, [scans, W, H, channels] by name. boxes, classes: of each scan float32
    [M, 7] or [M, 9] in the frame of the scan, and int [M]. weights: of the losses, as center_loss and anchor_loss have them;
    further options are those of center_targets or anchor_targets. Raises ValueError for another number of scans.
    """
    shapes = {name: tuple(map_.shape) for name, map_ in maps.items()}
    found = detection_targets(detection, shapes, boxes, classes, **targets)
    return loss_of_targets(detection, maps, _on(next(iter(maps.values())).device, found), weights)


def detection_targets(
    detection: dict,
    shapes: dict[str, Sequence[int]],
    boxes: Sequence[np.ndarray],
    classes: Sequence[np.ndarray],
    **targets,
) -> list:
    """detection_loss's targets by head, on the CPU, for maps of these shapes, (scans, W, H, channels) by name.

    The other arguments are detection_loss's. A list of CenterTargets, and of lists of AnchorTargets, one of each scan.
    """
    found = []
    for head in detection["heads"]:
        scans, *extent, channels = shapes[head["heatmap" if "heatmap" in head else "scores"]]
        if not scans == len(boxes) == len(classes):
            raise vs.InvalidArgument(
                f"[detection_loss] expects boxes and classes of {scans} scans, found {len(boxes)} and {len(classes)}"
            )
        if "heatmap" in head:
            found.append(center_targets(head, extent, boxes, classes, **targets))
            continue
        anchors = len(head["anchors"])
        options = {"class_count": channels // anchors, "columns": shapes[head["boxes"]][3] // anchors, **targets}
        found.append([anchor_targets(head, extent, b, c, **options) for b, c in zip(boxes, classes)])
    return found


def loss_of_targets(
    detection: dict, maps: dict[str, torch.Tensor], targets: Sequence, weights: Optional[dict] = None
) -> dict[str, torch.Tensor]:
    """detection_loss, given the targets of the heads on the device of the maps."""
    total = {}
    for head, of_head in zip(detection["heads"], targets):
        loss = center_loss if "heatmap" in head else anchor_loss
        for key, value in loss(head, maps, of_head, weights).items():
            total[key] = total.get(key, 0) + value
    return total
