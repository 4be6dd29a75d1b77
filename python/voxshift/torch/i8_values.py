"""Which values and weights of a network become i8: batch norm folded, and a scale for each value that a product reads."""

from typing import NamedTuple, Optional, Sequence

import voxshift as vs
from voxshift.torch.functional import ACTIVATIONS
from voxshift.torch.gradients import OPS

# Where a product's weight [.., ..] has its output channels; its input channels lie on the other of the two.
PRODUCTS = {"conv": -1, "conv_transpose": -1, "generative_conv_transpose": -1, "conv2d": 0, "linear": 0}
FOLDS = {**PRODUCTS, "conv_transpose2d": 1}
_TIES = ("temporal_shift", "max_pool2d")  # results have the scale of their input
_FEW_ROWS = ("avg_pool", "sum_pool")  # one of each cloud or frame: i8 saves nothing there
# Ops whose result has the channels of their first input.
_KEEPS = {*ACTIVATIONS, *_TIES, "add", "avg_pool", "avg_pool2d", "batch_norm", "devoxelize", "elu", "gelu", "hard_sigmoid"}
_KEEPS |= {"hard_swish", "max_pool", "multiply", "pad", "pool", "prelu", "prune", "scale", "sigmoid", "silu", "subtract"}
_KEEPS |= {"sum_pool", "tanh", "union_add", "upsample", "voxelize", "voxelize_points"}


class Choice(NamedTuple):
    """What of a network is i8.

    nodes: the graph's, without the batch norms that are folded, which are `norms` by the product that they follow. products:
    the nodes with weights of i8. scales: for every value of i8 the one that its scale is of, itself or the one whose numbers
    it passes on; a tuple of such for the parts of a concatenation. channels: how many, of all those. per_channel: the values
    that have a scale for every channel.
    """

    nodes: list
    norms: dict
    products: set
    scales: dict
    channels: dict
    per_channel: set

    @property
    def ranged(self) -> list:
        """The values that have a scale of their own."""
        return [value for value, of in self.scales.items() if of == value]


def out_axis(node: dict) -> int:
    """The axis of output channels in the weight of a product."""
    return FOLDS[node["op"]]


def choose(graph: dict, shapes: dict, keep: Sequence[str] = ()) -> Choice:
    """The i8 values of a graph. shapes: of its tensors by name. keep: products that stay in f32.

    Raises ValueError for a name in `keep` that no product has.
    """
    nodes, norms = _folded(graph)
    products = {node["name"]: node for node in nodes if _is_product(node, shapes)}
    for name in keep:
        if name not in products:
            raise vs.InvalidArgument(f"[prepare_qat] keep names \"{name}\", which is no product of the network")
    channels = _channels(graph, nodes, shapes)
    wanted = _wanted(graph, nodes, [node for name, node in products.items() if name not in keep], shapes)
    wanted &= channels.keys()
    wanted = _passed_on(nodes, wanted)
    whole = {name for name, node in products.items() if name not in keep and node["inputs"][0] in wanted}
    scales = _scales(nodes, wanted)
    channels = {value: channels[value] for value in scales}
    return Choice(nodes, norms, whole, scales, channels, _per_channel(nodes, scales, shapes))


def _users(nodes):
    users = {}
    for node in nodes:
        for value in node["inputs"]:
            users.setdefault(value, []).append(node)
    return users


def _folded(graph):
    """(nodes, norms): the value of a product followed by batch norm alone takes its place."""
    users, outputs = _users(graph["nodes"]), set(graph["outputs"])
    norms, renamed, nodes = {}, {}, []
    for node in graph["nodes"]:
        following = users.get(node["name"], [])
        alone = len(following) == 1 and node["name"] not in outputs
        if node["op"] in FOLDS and alone and following[0]["op"] == "batch_norm" and following[0]["name"] not in outputs:
            norms[node["name"]] = following[0]
            renamed[following[0]["name"]] = node["name"]
    for node in graph["nodes"]:
        if node["name"] not in renamed:
            nodes.append({**node, "inputs": [renamed.get(value, value) for value in node["inputs"]]})
    return nodes, norms


def is_depthwise(node: dict, shapes: dict) -> bool:
    """Whether the node is a convolution of images in which every channel is by itself."""
    return node["op"] == "conv2d" and node["groups"] > 1 and shapes[node["parameters"]["weight"]][1] == 1


def _is_product(node, shapes):
    plain = node["op"] in PRODUCTS and node.get("groups", 1) == 1
    if not plain and not (node["op"] == "conv2d" and is_depthwise(node, shapes)):
        return False
    weight = shapes[node["parameters"]["weight"]]
    return node["op"] != "conv2d" or not is_depthwise(node, shapes) or weight[0] == node["groups"]


def _wanted(graph, nodes, products, shapes):
    """Values that are worth i8: products read them, by way of ops that keep numbers as they are, or sums do."""
    given_by = {node["name"]: node for node in nodes}
    hosts = _hosts(nodes, given_by, graph["outputs"], shapes)
    wanted = {node["inputs"][0] for node in products}
    for node in reversed(nodes):
        if node["op"] in (*_TIES, "cat") and node["name"] in wanted:
            wanted.update(node["inputs"])
        if node["name"] in hosts:  # a residual
            wanted.update(value for value in node["inputs"] if value != hosts[node["name"]])
    wanted -= set(graph["outputs"])
    given_by = {value: node for value, node in given_by.items() if node["op"] not in _FEW_ROWS}
    return {value for value in wanted if value in given_by and _is_narrow(value, given_by, _users(nodes))}


def _is_narrow(value, given_by, users):
    """Whether the value may be i8 where the library joins its node with those before it, too."""
    node = given_by.get(value)
    if node is None or not OPS[node["op"]]["narrow"]:
        return node is None
    joins = node["op"] in (*ACTIVATIONS, "batch_norm", "add")
    return all(_is_narrow(x, given_by, users) for x in node["inputs"] if len(users[x]) == 1) if joins else True


def _passed_on(nodes, wanted):
    """The values but for those of ops that pass numbers on which are not i8."""
    kept = set(wanted)
    for node in nodes:
        if node["op"] in (*_TIES, "cat") and not kept.issuperset(node["inputs"]):
            kept.discard(node["name"])
    return kept


def _channels(graph, nodes, shapes):
    """Of the values for which that is known."""
    inputs = graph.get("inputs", [{"name": "input", "channels": graph.get("in_channels")}])
    found = {given["name"]: given["channels"] for given in inputs}
    for node in nodes:
        of = [found.get(value) for value in node["inputs"]]
        if node["op"] in PRODUCTS:
            found[node["name"]] = shapes[node["parameters"]["weight"]][out_axis(node)]
        elif node["op"] == "cat" and None not in of:
            found[node["name"]] = sum(of)
        elif node["op"] in FOLDS:
            found[node["name"]] = shapes[node["parameters"]["weight"]][1] * node["groups"]
        elif node["op"] == "bird_eye_view" and of[0]:
            found[node["name"]] = of[0] * node["shape"][node["axis"]]
        elif node["op"] in _KEEPS and of[0]:
            found[node["name"]] = of[0]
    return found


def _hosts(nodes, given_by, outputs, shapes):
    """Sums -> the value of their product, which need not be kept: they are made in its pass."""
    users, hosts = _users(nodes), {}
    for node in nodes:
        if node["op"] != "add":
            continue
        best = None
        for value in node["inputs"]:
            source = _product_of(given_by, users, value) if len(users[value]) == 1 and value not in outputs else None
            if source is not None and (best is None or _taps(source, shapes) > best[0]):
                best = _taps(source, shapes), value
        if best is not None:
            hosts[node["name"]] = best[1]
    return hosts


def _product_of(given_by, users, value) -> Optional[dict]:
    """The product that gives the value, or gives it by way of an activation."""
    node = given_by.get(value)
    if node and node["op"] in ACTIVATIONS and len(users[node["inputs"][0]]) == 1:
        node = given_by.get(node["inputs"][0])
    return node if node and node["op"] in FOLDS else None


def _taps(product, shapes):
    weight = shapes[product["parameters"]["weight"]]
    return weight[0] if product["op"] not in ("conv2d", "linear") and len(weight) == 3 else 1


def _scales(nodes, wanted):
    scales = {}
    for node in nodes:
        if node["name"] not in wanted:
            continue
        of = [scales[value] for value in node["inputs"] if value in scales]
        if node["op"] in _TIES:
            scales[node["name"]] = of[0]
        elif node["op"] == "cat":
            scales[node["name"]] = tuple(node["inputs"])  # looked up one by one
        else:
            scales[node["name"]] = node["name"]
    return scales


def _per_channel(nodes, scales, shapes):
    """Values around a depthwise convolution: its channels never meet, so each may have a scale."""
    found = set()
    for node in nodes:
        if node["op"] == "conv2d" and is_depthwise(node, shapes):
            found.add(scales.get(node["inputs"][0]))
            found.add(scales.get(node["name"]))
        elif node["op"] in ACTIVATIONS:
            source = next((n for n in nodes if n["name"] == node["inputs"][0]), None)
            if source and source["op"] == "conv2d" and is_depthwise(source, shapes):
                found.add(scales.get(node["name"]))
    return {value for value in found if isinstance(value, str)}
