"""One run of a module as a graph with its tensors, and what the run gave."""

from contextlib import contextmanager
from typing import Any, NamedTuple, Optional

import numpy as np
import torch
from torch import nn

import voxshift as vs
from voxshift.torch.recording.examples import Example, Given, GivenField, features_of, is_sparse
from voxshift.torch.recording.recorder import Call, Recorder
from voxshift.torch.recording.structure import channels_as_read, image_form
from voxshift.torch.recording.values import Value, rows_value


class Output(NamedTuple):
    """What the module gave at a place of its result. name: of the graph's value; tensor: in the module's layout."""

    place: str
    name: str
    tensor: torch.Tensor
    value: Value


class Recording(NamedTuple):
    graph: dict
    parameters: dict
    inputs: list
    outputs: list
    seen: dict  # by the name of a value (tensor, its version, Value)
    clip: Optional[int]  # frames of a clip, where there are temporal shifts

    def run(self, model: vs.Model) -> dict:
        """What Model.run gives for the example, clips one after the other."""
        operands = {}
        for given, own in zip(self.inputs, self.graph["inputs"]):
            operands[own["name"]] = given.array() if "rows_of" in own else given.operand()
        if not self.clip:
            return model.run(operands)
        frames = next(iter(operands.values()))
        clips = [
            model.run({name: x[i : i + self.clip] for name, x in operands.items()})
            for i in range(0, len(frames), self.clip)
        ]
        return {name: (np.concatenate([clip[name][0] for clip in clips]), None) for name in clips[0]}


@contextmanager
def evaluating(module: nn.Module):
    """The module in evaluation mode, each of its modules in its own again afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _leaves(x: Any, own: set, place: str = "") -> list:
    """(place, tensor) of the tensors in a result that are none of the arguments."""
    if id(x) in own:
        return []
    if is_sparse(x):
        return [(place, features_of(x))]
    if isinstance(x, torch.Tensor):
        return [(place, x)]
    parts = x.items() if isinstance(x, dict) else enumerate(x) if isinstance(x, (list, tuple)) else ()
    return [leaf for key, part in parts for leaf in _leaves(part, own, f"{place}.{key}" if place else str(key))]


def _check_given(module, example, op):
    if not isinstance(module, nn.Module) or isinstance(module, torch.jit.ScriptModule):
        raise vs.InvalidArgument(f"[{op}] expects a module of Python code, found {type(module).__name__}")
    if example is None:
        raise vs.InvalidArgument(f"[{op}] expects an example of what the module's forward takes")
    for name, tensor in module.named_parameters():
        kind = tensor.dtype if tensor.is_floating_point() else torch.float32
        if tensor.device.type != "cpu" or kind != torch.float32:
            found = f"{str(tensor.dtype).removeprefix('torch.')} on {tensor.device}"
            raise vs.InvalidArgument(
                f"[{op}] expects parameters in float32 on the CPU, found {found} in {name}: module.float().cpu()"
            )


def record(module: nn.Module, example: Any, op: str) -> Recording:
    """What the module does in evaluation mode with an example. Raises ValueError that names what no file can hold."""
    _check_given(module, example, op)
    recorder = Recorder(module, op)
    with evaluating(module):
        given = Example(module, example)
        if not given.inputs and not given.others:
            raise vs.InvalidArgument(f"[{op}] the example holds no float tensor, found {type(example).__name__}")
        for tensor, value in given.kept:
            recorder.keep(tensor, value)
        for name, tensor in given.others:
            recorder.taint(f"the input {name}", tensor)
        recorder.names |= {one.name for one in given.inputs}
        for one in given.inputs:
            if isinstance(one, GivenField):
                options = {"first": 3, "count": one.feats.shape[1]}
                value = rows_value(recorder.add("columns", [one.name], options), one.feats)
                recorder.keep(one.feats, value.but(order=one.value.order))
        with recorder.watching(module):
            result = module(*given.arguments)
            outputs = _outputs(recorder, result, given.own, isinstance(result, dict) and result is given.arguments[0])
    if not outputs and not _leaves(result, set()):
        raise vs.InvalidArgument(
            f"[{op}] the module gives {type(result).__name__}, expected a SparseTensor or its features"
        )
    unchanged = [output.place for output in outputs if output.name in {one.name for one in given.inputs}]
    if unchanged or not outputs:
        place = unchanged[0] if unchanged else ""
        raise vs.InvalidArgument(f"[{op}] the module gives an input as it is{place and f', as {place}'}")
    nodes = _needed(recorder.nodes, {output.name for output in outputs})
    outputs, names = _named(outputs, nodes, recorder.names)
    inputs, names_of_inputs = _inputs(given.inputs, nodes, op)
    names.update(names_of_inputs)
    return _recording(recorder, nodes, inputs, outputs, names)


def _outputs(recorder, result, own, is_argument):
    found = []
    for place, tensor in _leaves(result, own if not is_argument else own - {id(result)}):
        value = recorder.find(tensor)
        if value is None and (not tensor.is_floating_point() or (is_argument and id(tensor) not in recorder.makers)):
            continue
        value = recorder.value_of(tensor, "the module", f"gives{f' as {place}' if place else ''}")
        if value.is_dense and any(len(dim) > 1 for dim in value.dims):
            value = image_form(Call(recorder, "view", {}, tensor), value)
        elif value.is_dense:
            tensor, value = _sparse_again(recorder, tensor, value)
        value = channels_as_read(Call(recorder, "permute", {}, tensor), value)
        found.append(Output(place, value.name, tensor, value))
    return found


def _sparse_again(recorder, tensor, value):
    """A dense form's numbers at its voxels, which is what a model file gives: (tensor [N, C], its Value)."""
    groups = [dim[0].group if dim else "" for dim in value.dims]
    order = ["m" if value.groups["m"] > 1 else "", *(str(axis) for axis in range(len(groups) - 2))]
    if value.order.coordinates is None or not set(groups) >= {*order, "c"}:
        raise vs.InvalidArgument(
            f"[{recorder.op}] the module gives a dense form in another layout: give the sparse tensor"
        )
    cells = torch.from_numpy(value.order.coordinates.coords.astype(np.int64)).t()
    rows = tensor.permute([groups.index(group) for group in (*order, "c")])[tuple(cells)]
    made = rows_value(value.name, rows)
    made.order.coordinates = value.order.coordinates
    return rows, made


def _needed(nodes, wanted):
    """The nodes that values depend on, in order."""
    wanted = set(wanted)
    for node in reversed(nodes):
        if node["name"] in wanted:
            wanted.update(node["inputs"])
    return [node for node in nodes if node["name"] in wanted]


def _named(outputs, nodes, taken):
    """Outputs with names of their places, if there are several or a key says, and the new names of nodes by the old."""
    own, names = {node["name"] for node in nodes}, {}
    for output in outputs:
        is_named = len(outputs) > 1 or bool(output.place.strip("0123456789."))
        if is_named and output.name in own and output.name not in names:
            name = output.place
            while name in taken and name != output.name:
                name += ".out"
            names[output.name] = name
    return [output._replace(name=names.get(output.name, output.name)) for output in outputs], names


def _inputs(given, nodes, op):
    """The inputs that nodes use, and their new names by the old: one alone is "input"."""
    used = {name for node in nodes for name in node["inputs"]}
    inputs = [one for one in given if one.name in used]
    if not inputs:
        raise vs.InvalidArgument(f"[{op}] the result follows from no float tensor of the example")
    return inputs, {inputs[0].name: "input"} if len(inputs) == 1 else {}


def _graph_inputs(inputs, names):
    result = []
    for i, one in enumerate(inputs):
        name, channels = names.get(one.name, one.name), one.value.channels
        before = [other for other in inputs[:i] if one.kind == other.kind == "voxels" and _on_same_cells(one, other)]
        if before:
            result.append({"name": name, "rows_of": names.get(before[0].name, before[0].name), "channels": channels})
        else:
            result.append({"name": name, "kind": one.kind, "channels": channels})
    return result


def _on_same_cells(one: Given, other: Given) -> bool:
    return one.value.order.coordinates.same_coordinates(other.value.order.coordinates)


def _recording(recorder, nodes, inputs, outputs, names):
    graph = {"inputs": _graph_inputs(inputs, names)}
    dims = {one.value.order.coordinates.dims for one in inputs if one.kind == "voxels"}
    graph["dims"] = dims.pop() if dims else 2 if inputs[0].kind == "frames" else 3
    graph["nodes"] = [
        {**node, "name": names.get(node["name"], node["name"]), "inputs": [names.get(n, n) for n in node["inputs"]]}
        for node in nodes
    ]
    graph["outputs"] = list(dict.fromkeys(output.name for output in outputs))
    used = {name for node in nodes for name in node.get("parameters", {}).values()}
    parameters = {name: values.copy() for name, values in recorder.used.items() if name in used}
    seen = {names.get(name, name): entry for name, entry in recorder.tensors_of.items()}
    return Recording(graph, parameters, inputs, outputs, seen, recorder.clip)


def difference(found: np.ndarray, output_value: Value, tensor: torch.Tensor) -> Optional[float]:
    """The largest difference of a graph's value and the tensor that it stands for, of numbers that are none infinite unless both
    are the same; None where shapes differ.
    """
    if int(np.prod(found.shape)) != int(np.prod(tuple(output_value.groups.values()))):
        return None
    expected = tensor.detach().numpy()
    if output_value.is_rows and output_value.dims and output_value.dims[0] == output_value.whole("n"):
        expected = output_value.sorted_rows(expected)
    found = output_value.view_of(found)
    with np.errstate(invalid="ignore"):
        error = np.abs(found - expected)
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    return float(np.where(same, 0, np.nan_to_num(error, nan=np.inf, posinf=np.inf)).max(initial=0))
