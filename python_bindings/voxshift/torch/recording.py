"""Modules of any composition as voxshift models: one run on an example writes down the graph.

Functions of this package tell what they did by `note`. Plain torch functions on features are seen too, those that a model
file has an op for; the result of any other is remembered as made by it, and using it is an error.
"""

import json
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Optional, Sequence, Union

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import voxshift as vs

_recorder: Optional["_Recorder"] = None


def note(
    op: str,
    inputs: Sequence[Union[torch.Tensor, str]],
    output: Optional[torch.Tensor] = None,
    parameters: Optional[dict[str, Optional[torch.Tensor]]] = None,
    **attributes: Any,
) -> Optional[str]:
    """Tells a recording, if there is one, that `output` is the value of a node of the graph; gives the node's name.

    inputs: tensors that were noted, or names. parameters: tensors of the module by role, None for one that is not used.
    """
    return _recorder.note(op, inputs, output, parameters or {}, attributes) if _recorder else None


def refuse(op: str, output: torch.Tensor) -> None:
    """Tells a recording that no node of a graph can give `output`."""
    if _recorder:
        _recorder.taint(op, output)


# What a model file has an op for: name of the torch function -> (args, kwargs) of a call -> (op, inputs, parameters,
# attributes), None where these arguments have none.
def _activation(op):
    return lambda x, inplace=False: (op, (x,), {}, {})


def _hardtanh(x, min_val=-1.0, max_val=1.0, inplace=False):
    return ("relu6", (x,), {}, {}) if (min_val, max_val) == (0, 6) else None


def _leaky_relu(x, negative_slope=0.01, inplace=False):
    return "leaky_relu", (x,), {}, {"slope": negative_slope}


def _add(a, b, alpha=1):
    return ("add", (a, b), {}, {}) if isinstance(b, torch.Tensor) and alpha == 1 else None


def _cat(tensors, dim=0):
    return ("cat", tuple(tensors), {}, {}) if dim in (1, -1) else None


def _linear(x, weight, bias=None):
    return "linear", (x,), {"weight": weight, "bias": bias}, {}


def _batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    roles = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    return None if training or None in roles.values() else ("batch_norm", (x,), roles, {"eps": eps})


def _columns(x, index):
    if not (isinstance(index, tuple) and len(index) == 2 and all(isinstance(part, slice) for part in index)):
        return None
    rows, columns = index
    first, last, step = columns.indices(x.shape[1])
    if rows != slice(None) or step != 1:
        return None
    return "columns", (x,), {}, {"first": first, "count": last - first}


_TORCH_FUNCTIONS: dict[str, Callable] = {
    **{name: _activation("relu") for name in ("relu", "relu_")},
    "relu6": _activation("relu6"),
    "hardtanh": _hardtanh,
    "hardtanh_": _hardtanh,
    "leaky_relu": _leaky_relu,
    "leaky_relu_": _leaky_relu,
    "sigmoid": _activation("sigmoid"),
    **{name: _add for name in ("add", "add_", "__add__", "__radd__", "__iadd__")},
    **{name: _cat for name in ("cat", "concat", "concatenate")},
    "linear": _linear,
    "batch_norm": _batch_norm,
    "__getitem__": _columns,
}
_IDENTITIES = {"detach", "contiguous", "clone", "requires_grad_"}


class _Recorder(TorchFunctionMode):
    def __init__(self, module):
        super().__init__()
        self.nodes, self.values, self.makers = [], {}, {}
        self.kept = []  # tensors whose ids are known; they must live as long
        self.names = {"input"}
        self.path = [""]
        self.tensors = {id(tensor): name for name, tensor in (*module.named_parameters(), *module.named_buffers())}
        self.used = {}

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, torch.Tensor)]
        for value in (*args, *kwargs.values()):
            if isinstance(value, (list, tuple)):
                given += [part for part in value if isinstance(part, torch.Tensor)]
        known = {id(tensor): name for tensor in given if (name := self._find(tensor))}  # before a change in place
        result = func(*args, **kwargs)
        if not isinstance(result, torch.Tensor) or not (known or any(id(tensor) in self.makers for tensor in given)):
            return result
        name = func.__name__
        if known and (name in _IDENTITIES or (name == "dropout" and not self._is_training(args, kwargs))):
            self._keep(result, next(iter(known.values())))
            return result
        try:
            call = _TORCH_FUNCTIONS[name](*args, **kwargs)
        except (KeyError, TypeError):
            call = None
        # An operand may be no value of the graph: then the call is a part of an operation that `note` tells as a whole.
        if call is None or any(id(x) not in known for x in call[1]):
            foreign = [self.makers[id(tensor)] for tensor in given if id(tensor) in self.makers]
            self.taint(foreign[0] if foreign else name, result)
        else:
            op, inputs, parameters, attributes = call
            self.note(op, [known[id(x)] for x in inputs], result, parameters, attributes)
        return result

    @staticmethod
    def _is_training(args, kwargs):
        return kwargs.get("training", args[2] if len(args) > 2 else True)

    def _keep(self, tensor, name):
        self.kept.append(tensor)
        self.values[id(tensor)] = (name, tensor._version)

    def _find(self, tensor):
        name, version = self.values.get(id(tensor), (None, 0))
        return name if name is not None and tensor._version == version else None

    def taint(self, op, tensor):
        self.kept.append(tensor)
        self.values.pop(id(tensor), None)  # changed in place
        self.makers[id(tensor)] = op

    def name_of(self, tensor, user):
        """The value that a tensor is. Raises ValueError that tells where it comes from, if it is none."""
        if isinstance(tensor, str):
            return tensor
        name = self._find(tensor)
        if name is not None:
            return name
        if id(tensor) in self.values:
            found = "a tensor that was changed in place"
        elif id(tensor) in self.makers:
            found = f"the result of {self.makers[id(tensor)]}, which a model file has no op for"
        else:
            found = "a tensor that no operation of the network gives"
        raise vs.InvalidArgument(f"[save] {user} takes {found}")

    def note(self, op, inputs, output, parameters, attributes):
        path = self.path[-1]
        user = f"{op} in {path or 'the module'}"
        names = [self.name_of(tensor, user) for tensor in inputs]
        roles = {}
        for role, tensor in parameters.items():
            if tensor is None:
                continue
            if id(tensor) not in self.tensors:
                raise vs.InvalidArgument(f"[save] {role} of {user} is no parameter or buffer of the module")
            roles[role] = self.tensors[id(tensor)]
            self.used[roles[role]] = tensor.detach().numpy()
        node = {"name": self._new_name(path, op), "op": op, "inputs": names, **attributes}
        if roles:
            node["parameters"] = roles
        self.nodes.append(node)
        if output is not None:
            self._keep(output, node["name"])
        return node["name"]

    def _new_name(self, path, op):
        base = f"{path}.{op}" if path else op
        name, number = path or op, 1
        while name in self.names:
            name = base if number == 1 else f"{base}.{number}"
            number += 1
        self.names.add(name)
        return name

    def _leave(self, module, inputs, output):
        self.path.pop()

    @contextmanager
    def following(self, module):
        """Knows within the context which of the module's modules runs."""
        hooks = []
        for name, part in module.named_modules():
            hooks.append(part.register_forward_pre_hook(lambda *_, name=name: self.path.append(name)))
            hooks.append(part.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


@contextmanager
def _evaluating(module):
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def record(module: nn.Module, example: Any) -> tuple[dict[str, Any], dict[str, np.ndarray], torch.Tensor]:
    """(graph, parameters, logits) of one run of the module in evaluation mode on a SparseTensor."""
    global _recorder
    if _recorder:
        raise vs.InvalidArgument("[save] a recording is under way")
    recorder = _Recorder(module)
    feats = example.feats.detach()
    recorder._keep(feats, "input")
    with _evaluating(module), recorder.following(module), torch.no_grad():
        _recorder = recorder
        try:
            with recorder:
                result = module(example.with_feats(feats))
        finally:
            _recorder = None
    logits = getattr(result, "feats", result)
    if not isinstance(logits, torch.Tensor):
        raise vs.InvalidArgument(f"[save] the module gives {type(result).__name__}, expected a SparseTensor or its features")
    output = recorder.name_of(logits, "the result")
    nodes = _needed(recorder.nodes, output)
    used = {name for node in nodes for name in node.get("parameters", {}).values()}
    graph = {
        "input": "voxels",
        "dims": example.base.dims,
        "in_channels": feats.shape[1],
        "nodes": nodes,
        "outputs": [output],
    }
    return graph, {name: values for name, values in recorder.used.items() if name in used}, logits


def _needed(nodes, output):
    """The nodes that the output depends on, in order."""
    wanted = {output}
    for node in reversed(nodes):
        if node["name"] in wanted:
            wanted.update(node["inputs"])
    return [node for node in nodes if node["name"] in wanted]


def profile_word(profile: Union[str, dict], folder: str) -> str:
    """A profile's name or path as it is; one like Model.profile written to a file in the folder."""
    if not isinstance(profile, dict):
        return str(profile)
    document = dict(profile)
    if "reduce" in document:
        document["features"] = document.pop("reduce")
    if document.get("range") is not None and not isinstance(document["range"], dict):
        lowest, highest = document["range"]
        document["range"] = {"lowest": list(lowest), "highest": list(highest)}
    path = Path(folder) / "profile.json"
    path.write_text(json.dumps(document))
    return str(path)


def model_from_graph(graph, parameters, classes, profile, arch):
    """voxshift.Model.from_graph, for classes as a number, as tuples or as ClassInfo, and profiles as word or dict."""
    if not isinstance(classes, int):
        classes = [(c.name, c.raw_id, c.rgb) if isinstance(c, vs.ClassInfo) else tuple(c) for c in classes]
    with tempfile.TemporaryDirectory() as folder:
        return vs.Model.from_graph(graph, parameters, profile_word(profile, folder), classes, arch)


def recorded_model(
    module: nn.Module,
    example: Any,
    classes: Union[int, Sequence, None] = None,
    profile: Union[str, dict, None] = None,
) -> vs.Model:
    """The voxshift.Model of a module, checked to give the module's logits on the example. Raises ValueError."""
    graph, parameters, logits = record(module, example)
    copies = {name: values.copy() for name, values in parameters.items()}
    model = model_from_graph(graph, copies, classes or logits.shape[1], profile or "spvnas", "custom")
    found = model.forward(example.base.with_features(example.feats.detach().contiguous().numpy()))
    error = np.abs(found - logits.numpy()).max(initial=0)
    if found.shape != tuple(logits.shape) or error > 1e-3 * np.abs(logits.numpy()).max(initial=1e-3):
        raise vs.InvalidArgument(
            f"[save] the recorded graph gives other logits than the module, up to {error:.1e} apart: features were put on "
            "coordinates that they were not computed on, or depend on the example"
        )
    return model
