"""Any module as a model file: recorded once, and compared with the module on two examples."""

import os
import tempfile
from os import PathLike
from typing import Any, Sequence, Union

import numpy as np
from torch import nn

import voxshift as vs
from voxshift.torch.recording.examples import second
from voxshift.torch.recording.record import Recording, difference, record

Classes = Union[int, Sequence, None]
Profile = Union[str, dict, None]

_TOLERANCE = 1e-3  # of the largest number; rounding stays far below, what a graph got wrong does not
_TOLERANCE_OF_HALVES = 3e-2


def export(
    module: nn.Module,
    example: Any = None,
    path: Union[str, PathLike, None] = None,
    *,
    classes: Classes = None,
    profile: Profile = None,
    half: bool = False,
    check: Any = True,
) -> vs.Model:
    """The voxshift.Model of a module, which is run once in evaluation mode on the example; written to path, if there
    is one.

    A Network is written as it is, without an example. Any other module may be made of this package's layers, of those
    of voxshift.torch.spconv, torchsparse and minkowski, and of torch's modules and functions on rows, points [B, C,
    L] and images [N, C, H, W], as far as graphs have ops for them; its control flow is that of the run. example: a
    sparse tensor of one of these libraries; a tensor float32, images [N, C, H, W], points [N, C], [B, C, L] or [B, L,
    C]; or what forward takes, a tuple its arguments and a dict its one argument. The float tensors that are used are
    the inputs, named after the arguments or keys, one alone "input". Values are named as the modules that give them,
    the outputs of a module with several as their places in its result: "box.heatmap", "0". Images are [N, H, W, C] in
    a model file, points one after the other.

    The file is run and compared with the module, on the example and on another that is made from it: half its rows,
    twice in a batch. check: False leaves that out; another example takes the place of the one that is made.

    classes and profile are for networks that label points, as to_model has them; half as save. Raises ValueError that
    names the module and the torch function that a model file has no op for, the first value that differs, or what
    does not fit; and OSError. Nothing is written then, and what was there stays. What the module itself raises passes
    through.
    """
    from voxshift.torch.network import Network

    if path is not None:
        _check_path(path)
    if isinstance(module, Network):
        model = to_model_of(module, classes, profile)
        if path is not None:
            model.save(path, half=half)
        return model
    recording = record(module, example, "export")
    model = vs.Model.from_graph(recording.graph, recording.parameters, profile, classes or 0)
    if path is None:
        _check(model, recording, module, example, check, _TOLERANCE)
        return model
    with tempfile.TemporaryDirectory() as folder:
        unchecked = os.path.join(folder, "unchecked.safetensors")
        model.save(unchecked, half=half)
        model = vs.Model.load(unchecked)
    _check(model, recording, module, example, check, _TOLERANCE_OF_HALVES if half else _TOLERANCE)
    model.save(path, half=half)
    return model


def _check_path(path):
    suffix = os.path.splitext(os.fsdecode(path))[1]
    if suffix == ".onnx":
        raise vs.InvalidArgument("[export] writes a model file, .safetensors; vs.save_onnx(model, path) writes ONNX")


def to_model_of(network: Any, classes: Classes, profile: Profile) -> vs.Model:
    """The Model of a Network with its present weights, with other classes or another profile if they are given."""
    model = network.to_model()
    if classes is None and profile is None:
        return model
    return vs.Model.from_graph(
        model.graph,
        model.parameters(),
        profile or model.profile,
        classes or model.classes,
        model.arch,
        detection=model.detection,
    )


def recorded_model(module: nn.Module, example: Any, classes: Classes = None, profile: Profile = None) -> vs.Model:
    """The Model of a module that labels rows of a SparseTensor, checked on the example. Raises ValueError."""
    recording = record(module, example, "save")
    logits = recording.outputs[0].tensor
    model = vs.Model.from_graph(recording.graph, recording.parameters, profile or "spvnas", classes or logits.shape[1])
    compare(model, recording, "save", "the example", _TOLERANCE)
    return model


def _check(model, recording, module, example, check, tolerance):
    if check is False:
        return
    compare(model, recording, "export", "the example", tolerance)
    other = second(example) if check is True else check
    _compare_other(model, recording, record(module, other, "export"), tolerance)


def _compare_other(model, first, other, tolerance):
    what = "another example"
    try:
        compare(model, other, "export", what, tolerance)
    except vs.InvalidArgument as error:
        changed = _first_change(first.graph, other.graph)
        raise vs.InvalidArgument(f"{error}{changed}") from None


def _first_change(graph, other):
    """What the two recordings have in different ways, for an error."""
    for node, another in zip(graph["nodes"], other["nodes"]):
        for key in node:
            if node[key] != another.get(key):
                return f"; on it {node['name']} has {key} {another.get(key)}, on the first {node[key]}"
    return ""


def compare(model: vs.Model, recording: Recording, op: str, what: str, tolerance: float) -> None:
    """Raises ValueError unless the model gives what the module gave when it was recorded."""
    try:
        found = recording.run(model)
    except vs.InvalidArgument as error:
        raise vs.InvalidArgument(f"[{op}] the file does not run on {what}: {error}") from None
    for output in recording.outputs:
        array, coords = found[output.name]
        if output.tensor.numel() and not output.tensor.isfinite().any():
            raise vs.InvalidArgument(f"[{op}] on {what} the module gives no finite number, so that nothing is compared")
        error = difference(array, output.value, output.tensor)
        if _is_apart(error, output.tensor, tolerance):
            raise vs.InvalidArgument(
                f"[{op}] on {what} the recorded graph gives other {'logits' if op == 'save' else 'numbers'} than the "
                f"module, {_distance(error, array, output)} at {output.place or output.name}"
                f"{_first_difference(model, recording)}: "
                "features were put on coordinates that they were not computed on, or depend on the example"
            )
        given = output.value.order.coordinates
        if coords is not None and given is not None and not np.array_equal(coords, given.coords):
            raise vs.InvalidArgument(f"[{op}] on {what} {output.place or output.name} lies on other coordinates")


def _is_apart(error, tensor, tolerance):
    """Whether a difference is more than this part of the tensor's largest finite number."""
    numbers = tensor.detach().numpy()
    largest = np.abs(numbers[np.isfinite(numbers)]).max(initial=1e-3)
    return error is None or not error <= tolerance * float(largest)


def _distance(error, array, output):
    if error is None:
        return f"{list(array.shape)} for {list(output.tensor.shape)}"
    return f"up to {error:.1e} apart"


def _first_difference(model, recording):
    """The first value whose numbers differ, for an error."""
    names = [node["name"] for node in recording.graph["nodes"]]
    try:
        everything = vs.Model.from_graph({**model.graph, "outputs": names}, model.parameters(), None, 0)
        found = recording.run(everything)
    except vs.InvalidArgument:
        return ""
    for name in names:
        tensor, version, value = recording.seen.get(name, (None, 0, None))
        if tensor is None or tensor._version != version:
            continue
        if _is_apart(difference(found[name][0], value, tensor), tensor, _TOLERANCE):
            return f" (first at {name})"
    return ""
