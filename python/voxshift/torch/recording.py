"""Modules of any composition as voxshift models: one run on an example writes down the graph.

Functions of this package tell what they did by `note`. Plain torch functions on features are seen too, those that a model
file has an op for; the result of any other is remembered as made by it, and using it is an error.
"""

from contextlib import contextmanager
from typing import Any, Callable, Optional, Sequence, Union

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

import voxshift as vs
from voxshift.torch.gradients import OPS

_recorder: Optional["_Recorder"] = None


def note(
    op: str, inputs: Sequence[Union[torch.Tensor, str]], output: Optional[torch.Tensor] = None, **named: Any
) -> Optional[str]:
    """Tells a recording, if there is one, that `output` is the value of a node of the graph; gives the node's name.

    inputs: tensors that were noted, or names. named: the op's tensors by role, parameters and buffers of the module or None
    for one that is not used, and its attributes. An op that graphs have not is refused.
    """
    return _recorder.note(op, inputs, output, named) if _recorder else None


def refuse(op: str, output: torch.Tensor) -> None:
    """Tells a recording that no node of a graph can give `output`."""
    if _recorder:
        _recorder.taint(op, output)


def same(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """Tells a recording that `out` holds the rows of x, in this or another order, so that both are one value; gives out.

    Ops of a graph know rows by their coordinates, in the library's order; what keeps its user's order says so by this.
    """
    if _recorder:
        _recorder.same(x, out)
    return out


def derived(parameter: torch.Tensor, tensor: torch.Tensor) -> torch.Tensor:
    """Tells a recording that `tensor` is the module's parameter or buffer in the layout that graphs have; gives tensor.

    The file then holds the tensor's numbers under the parameter's name.
    """
    if _recorder:
        _recorder.derived(parameter, tensor)
    return tensor


def _columns(x, index):
    if not (isinstance(index, tuple) and len(index) == 2 and all(isinstance(part, slice) for part in index)):
        return None
    rows, columns = index
    first, last, step = columns.indices(x.shape[1])
    return ("columns", (x,), {"first": first, "count": last - first}) if rows == slice(None) and step == 1 else None


def _batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    tensors = {"weight": weight, "bias": bias, "running_mean": running_mean, "running_var": running_var}
    return None if training or None in tensors.values() else ("batch_norm", (x,), {**tensors, "eps": eps})


# Torch's functions on features by name: the arguments of a call -> (op, inputs, tensors and attributes as the op has them),
# None where these arguments have no op.
_TORCH_FUNCTIONS: dict[tuple[str, ...], Callable] = {
    ("relu", "relu_"): lambda x, inplace=False: ("relu", (x,), {}),
    ("relu6",): lambda x, inplace=False: ("relu6", (x,), {}),
    ("hardtanh", "hardtanh_"): lambda x, min_val=-1.0, max_val=1.0, inplace=False: (
        ("relu6", (x,), {}) if (min_val, max_val) == (0, 6) else None
    ),
    ("leaky_relu", "leaky_relu_"): lambda x, negative_slope=0.01, inplace=False: (
        ("leaky_relu", (x,), {"slope": negative_slope})
    ),
    ("sigmoid",): lambda x: ("sigmoid", (x,), {}),
    ("add", "add_", "__add__", "__radd__", "__iadd__"): lambda a, b, alpha=1: (
        ("add", (a, b), {}) if isinstance(b, torch.Tensor) and alpha == 1 else None
    ),
    ("cat", "concat", "concatenate"): lambda tensors, dim=0: ("cat", tuple(tensors), {}) if dim in (1, -1) else None,
    ("linear",): lambda x, weight, bias=None: ("linear", (x,), {"weight": weight, "bias": bias}),
    ("batch_norm",): _batch_norm,
    ("__getitem__",): _columns,
}
_CALLS = {name: call for names, call in _TORCH_FUNCTIONS.items() for name in names}
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
            call = _CALLS[name](*args, **kwargs)
        except (KeyError, TypeError):
            call = None
        # An operand may be no value of the graph: then the call is a part of an operation that `note` tells as a whole.
        if call is None or any(id(x) not in known for x in call[1]):
            foreign = [self.makers[id(tensor)] for tensor in given if id(tensor) in self.makers]
            self.taint(foreign[0] if foreign else name, result)
        else:
            op, inputs, named = call
            self.note(op, [known[id(x)] for x in inputs], result, named)
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

    def same(self, x, out):
        name = self._find(x)
        if name is not None:
            self._keep(out, name)
        elif id(x) in self.makers:
            self.taint(self.makers[id(x)], out)

    def derived(self, parameter, tensor):
        name = self.tensors.get(id(parameter))
        if name is not None:
            self.kept.append(tensor)
            self.tensors[id(tensor)] = name

    def note(self, op, inputs, output, named):
        if op not in OPS:
            return self.taint(op, output)
        path = self.path[-1]
        user = f"{op} in {path or 'the module'}"
        names = [self.name_of(tensor, user) for tensor in inputs]
        roles, attributes = {}, {}
        for key, value in named.items():
            if key not in OPS[op]["parameters"]:
                attributes[key] = value
            elif value is not None:
                roles[key] = self._parameter(value, f"{key} of {user}")
        node = {"name": self._new_name(path, op), "op": op, "inputs": names, **attributes}
        if roles:
            node["parameters"] = roles
        self.nodes.append(node)
        if output is not None:
            self._keep(output, node["name"])
        return node["name"]

    def _parameter(self, tensor, user):
        if id(tensor) not in self.tensors:
            raise vs.InvalidArgument(f"[save] {user} is no parameter or buffer of the module")
        name = self.tensors[id(tensor)]
        values = tensor.detach().contiguous().numpy()
        number = 1
        while name in self.used and not _equal(self.used[name], values):  # in another layout
            number += 1
            name = f"{self.tensors[id(tensor)]}.{number}"
        self.used[name] = values
        return name

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


def _equal(a, b):
    return a is b or (a.shape == b.shape and np.array_equal(a, b, equal_nan=True))


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
        "dims": example.coordinates.dims,
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


def recorded_model(
    module: nn.Module,
    example: Any,
    classes: Union[int, Sequence, None] = None,
    profile: Union[str, dict, None] = None,
) -> vs.Model:
    """The voxshift.Model of a module, checked to give the module's logits on the example. Raises ValueError."""
    graph, parameters, logits = record(module, example)
    copies = {name: values.copy() for name, values in parameters.items()}
    model = vs.Model.from_graph(graph, copies, profile or "spvnas", classes or logits.shape[1])
    found = model.forward(vs.SparseTensor(example.coordinates, example.feats.detach().contiguous().numpy()))
    error = np.abs(found - logits.numpy()).max(initial=0)
    if found.shape != tuple(logits.shape) or error > 1e-3 * np.abs(logits.numpy()).max(initial=1e-3):
        raise vs.InvalidArgument(
            f"[save] the recorded graph gives other logits than the module, up to {error:.1e} apart: features were put on "
            "coordinates that they were not computed on, or depend on the example"
        )
    return model
