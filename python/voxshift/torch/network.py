"""Whole networks: the graph of a voxshift model, run with gradients."""

from os import PathLike
from typing import Optional, Sequence, Union

import numpy as np
import torch
from torch import nn

import voxshift as vs
from voxshift.torch import functional, video
from voxshift.torch.clouds import Clouds
from voxshift.torch.convolutions import refinement
from voxshift.torch.export import recorded_model, to_model_of
from voxshift.torch.gradients import OPS, gradient_of
from voxshift.torch.library import Library
from voxshift.torch.memory import last_batch, on_host
from voxshift.torch.sparse_tensor import SparseTensor, check_together
from voxshift.torch.values import Images, Points

Classes = Union[int, Sequence, None]
Profile = Union[str, dict, None]

_KINDS = {"voxels": SparseTensor, "images": Images, "points": Points}


class Step:
    """A node of the graph, and what was fused into it: batch_norm with a sum and an activation."""

    def __init__(self, node):
        self.op, self.inputs, self.output = node["op"], list(node["inputs"]), node["name"]
        self.node, self.parameters = node, node.get("parameters", {})
        self.attributes = {name: node[name] for name in OPS[self.op]["attributes"]}
        self.last_used = []  # values that no later step reads


def _fuse(nodes, outputs):
    """Steps in the nodes' order. batch_norm -> [add] -> activation becomes one step, at the place of its last node."""
    users = {output: [None] for output in outputs}
    for node in nodes:
        for value in node["inputs"]:
            users.setdefault(value, []).append(node)
    only_user = {value: users[value][0] for value in users if len(users[value]) == 1}
    fused, steps = set(), {}
    for node in nodes:
        if node["name"] in fused:
            continue
        step = Step(node)
        if node["op"] == "batch_norm":
            following = only_user.get(node["name"])
            if following and following["name"] in fused:  # the other term of a sum
                following = None
            after = following and only_user.get(following["name"])
            if following and following["op"] == "add" and after and after["op"] in functional.ACTIVATIONS:
                step.inputs.append(next(value for value in following["inputs"] if value != node["name"]))
                fused.add(following["name"])
                following = after
            if following and following["op"] in functional.ACTIVATIONS:
                step.attributes["activation"] = following["op"]
                if "slope" in following:
                    step.attributes["negative_slope"] = following["slope"]
                step.output = following["name"]
                fused.add(following["name"])
        steps[step.output] = step
    order = [steps[node["name"]] for node in nodes if node["name"] in steps]
    return order


def _kind_of(inputs):
    """What all of them are, in the words of `gradient`."""
    first = "points" if isinstance(inputs[0], Points) else "rows"
    return next((kind for kind, type_ in _KINDS.items() if all(isinstance(x, type_) for x in inputs)), first)


def _clouds_of(given):
    """How many clouds or frames a network's input has; of voxels the batches up to the last that has any."""
    if isinstance(given, Points):
        return len(given.clouds)
    if isinstance(given, Images):
        return len(given.images)
    return last_batch(given.coordinates) + 1


class Network(nn.Module):
    """The network of a voxshift.Model as a module with gradients.

    state_dict has the names of the model file: weights and biases are parameters, running statistics buffers. forward
    takes what the network takes and gives its output, float32, of a network with several a dict of them by name: for
    networks on voxels a SparseTensor, and a tensor [N, classes] with rows in the order of x's; for networks on points
    float32 [N, C], x y z first, of which rows [row_splits[b], row_splits[b + 1]) are cloud b, and [N, classes]; for
    networks on frames float32 [clips * n_segment, H, W, 3], normalised, the frames of each clip one after the
    other, and [clips * n_segment, classes]. Images are [images, H, W, channels]. What it takes is on its own device.

    Every op of graphs has a gradient (docs/support.md). One that had none would run through the library, and backward()
    through it raise ValueError, which names the op.
    """

    def __init__(self, model: vs.Model):
        super().__init__()
        self.model = model
        self._graph = graph = model.graph
        whole = [name for name, values in model.parameters().items() if values.dtype != np.float32]
        if whole:
            raise vs.InvalidArgument(
                f"[Network] expects weights of f32, found weights of i8, such as {whole[0]}: start from the model that was quantised"
            )
        inputs = graph.get("inputs", [{"name": "input", "kind": graph.get("input")}])
        if len(inputs) > 1:
            names = [given["name"] for given in inputs]
            raise vs.InvalidArgument(f"[Network] expects a network with one input, found {names}")
        self.input, self.outputs = inputs[0], list(graph["outputs"])
        self._finest = refinement(graph)
        self._places = {}
        statistics = {
            name
            for node in graph["nodes"]
            for role, name in node.get("parameters", {}).items()
            if role.startswith("running_")
        }
        for name, values in model.parameters().items():
            self._register(name, torch.from_numpy(values.copy()), name in statistics)
        self.steps = _fuse(graph["nodes"], self.outputs)
        # Nodes whose value is the library's. Those that their attributes or rows decide join when they are reached.
        self._of_library = {node["name"] for node in graph["nodes"] if gradient_of(node["op"], None) is None}
        self._find_last_uses()

    def _register(self, name, values, is_buffer):
        *path, leaf = name.split(".")
        module = self
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]
        if is_buffer:
            module.register_buffer(leaf, values)
        else:
            module.register_parameter(leaf, nn.Parameter(values))
        self._places[name] = (module, leaf)

    def _find_last_uses(self):
        seen = set(self.outputs)
        for step in reversed(self.steps):
            step.last_used = [value for value in dict.fromkeys(step.inputs) if value not in seen]
            seen.update(step.inputs)

    def tensor(self, name: str) -> torch.Tensor:
        """The parameter or buffer of this name."""
        module, leaf = self._places[name]
        return getattr(module, leaf)

    def reset_statistics(self) -> "Network":
        """Running means 0 and variances 1, as before training."""
        for step in self.steps:
            if step.op == "batch_norm":
                self.tensor(step.parameters["running_mean"]).zero_()
                self.tensor(step.parameters["running_var"]).fill_(1)
        return self

    def forward(
        self,
        x: Union[SparseTensor, torch.Tensor],
        n_segment: int = 1,
        row_splits: Union[torch.Tensor, np.ndarray, None] = None,
    ) -> Union[torch.Tensor, dict[str, torch.Tensor]]:
        given = self._input(x, n_segment, row_splits)
        values = {self.input["name"]: given}
        operands = (given, row_splits)
        library = Library(self._graph, self.tensor, operands, self._trained(), self._of_library)
        for step in self.steps:
            inputs = [values[name] for name in step.inputs]
            values[step.output] = self._run(step, inputs, library, given)
            values.update(zip(step.inputs, inputs))
            for name in step.last_used:
                del values[name]
        found = {name: values[name] for name in self.outputs}
        found = {name: x.images if isinstance(x, Images) else x.feats for name, x in found.items()}
        return found if len(found) > 1 else found[self.outputs[0]]

    def _input(self, x, n_segment, row_splits):
        takes = self.input["kind"]
        if isinstance(x, SparseTensor) != (takes == "voxels"):
            raise vs.InvalidArgument(f"[Network] the network takes {takes}, found {type(x).__name__}")
        if row_splits is not None and takes != "points":
            raise vs.InvalidArgument(f"[Network] row_splits belong to points, the network takes {takes}")
        if takes == "frames":
            return Images.of(x, n_segment)
        if takes == "points" and x.dim() != 2:
            raise vs.InvalidArgument(f"[Network] expects points [N, C], found {tuple(x.shape)}")
        if takes == "points":
            return Points(x, Clouds(x, row_splits, self._finest))
        if set(self._finest) == {1}:
            return x
        strides = [stride * finest for stride, finest in zip(x.stride, self._finest)]
        return SparseTensor(x.feats, vs.Coordinates(x.coordinates.coords, strides, x.coordinates.shape))

    def _trained(self):
        """The batch norms, by node, that normalise by their rows."""
        norms = [step for step in self.steps if step.op == "batch_norm" and self.training]
        return {step.node["name"] for step in norms if self.tensor(step.parameters["weight"]).requires_grad}

    def _tensors(self, step):
        """What the step computes with, by role."""
        return {role: self.tensor(name) for role, name in step.parameters.items()}

    def _run(self, step, inputs, library, given):
        """The value of a step; an input that later steps shall take instead is changed in the list."""
        tensors = self._tensors(step)
        kind = _kind_of(inputs)
        found = gradient_of(step.op, kind)
        if found is None:
            return library.value(step, inputs, tensors.values())
        named = {**tensors, **step.attributes}
        if step.op == "batch_norm":
            named["training"] = library.normalizes(step.node["name"], inputs[0].feats)
        if found.of == "rows":
            if kind == "voxels":
                check_together(step.op, inputs)
            return inputs[0].with_feats(found.function(*(x.feats for x in inputs), **named))
        if found.counts_clouds:
            named["clouds"] = _clouds_of(given)
        value = found.function(*inputs, **named)
        if value is NotImplemented:
            return library.value(step, inputs, tensors.values())
        if isinstance(value, tuple):
            value, inputs[0] = value
        return value

    def to_model(self) -> vs.Model:
        """A voxshift.Model with the present weights."""
        return self.model.with_parameters({name: on_host(self.tensor(name)).copy() for name in self._places})


def MinkUNet(width: float = 1.0, classes: int = 19, seed: int = 0) -> Network:
    """MinkUNet with random weights (Choy et al., CVPR 2019; spvnas' blocks), channels `width` times the published ones."""
    return Network(vs.Model.new("minkunet", width=width, classes=classes, seed=seed)).reset_statistics()


def SPVCNN(width: float = 1.0, classes: int = 19, seed: int = 0) -> Network:
    """SPVCNN with random weights (Tang et al., ECCV 2020), channels `width` times the published ones."""
    return Network(vs.Model.new("spvcnn", width=width, classes=classes, seed=seed)).reset_statistics()


def TSMMobileNetV2(
    width: float = 1.0,
    classes: Union[int, Sequence] = 27,
    seed: int = 0,
    shift: Optional[str] = "online",
    profile: str = "jester",
    shift_div: int = 8,
) -> Network:
    """MobileNetV2 with temporal shift (Lin et al., ICCV 2019) and random weights.

    classes: their number, or a list of names or of (name, raw_id, (r, g, b)). shift: "online", "offline", or None for a network that
    sees every frame by itself. shift_div: one in so many channels moves; narrow networks want a smaller number.
    """
    count = classes if isinstance(classes, int) else len(classes)
    model = vs.Model.new(
        "tsm-mobilenetv2", width=width, classes=count, seed=seed, shift=shift or "online", profile=profile
    )
    graph = model.graph if shift else video.without_shift(model.graph)
    for node in graph["nodes"]:
        if node["op"] == "temporal_shift":
            node["shift_div"] = shift_div
    model = vs.Model.from_graph(graph, model.parameters(), profile, classes, "tsm-mobilenetv2")
    return Network(model).reset_statistics()


def load(path: Union[str, PathLike]) -> Network:
    """The network of a model file. Raises OSError for a file that is no such model."""
    return Network(vs.Model.load(path))


def to_model(
    module: nn.Module, example: Optional[SparseTensor] = None, classes: Classes = None, profile: Profile = None
) -> vs.Model:
    """The voxshift.Model of a Network with its present weights, or of any module that is made of operators it has.

    A module that is no Network is run once, in evaluation mode, on `example`, a SparseTensor, and what it does is written
    down, as export has it. Its own control flow is not. Tensors have the names of state_dict, values those of the modules.
    The model is checked to give the module's logits on the example; export checks more, and takes more than one tensor.

    classes: their number, or a list of names, of (name, raw_id, (r, g, b)) or of ClassInfo in the order of the logits. profile:
    preprocessing, a known name, the path of a JSON file, or a dict like Model.profile. Unless given they are the Network's
    own, and for other modules the number of logits and "spvnas". Raises ValueError that names the operation for a module
    with one that a model file has not, and for classes or a profile that do not fit.
    """
    if not isinstance(module, Network):
        if not isinstance(example, SparseTensor):
            raise vs.InvalidArgument("[save] a module that is no Network needs example=, a SparseTensor")
        return recorded_model(module, example, classes, profile)
    return to_model_of(module, classes, profile)


def save(
    module: nn.Module,
    path: Union[str, PathLike],
    example: Optional[SparseTensor] = None,
    classes: Classes = None,
    profile: Profile = None,
    half: bool = False,
) -> None:
    """Writes a model file that runs with the module's logits, whole or not at all. The other arguments are to_model's.

    half: weights as float16, which halves the file; logits then differ by their rounding, and weights that are float16
    numbers already are kept to the bit. Raises OSError, and ValueError for weights beyond float16's range.
    """
    to_model(module, example, classes, profile).save(path, half=half)
