"""The recorder: nodes and values of the graph that a run writes down."""

import inspect
from contextlib import contextmanager

import numpy as np
import torch
from torch.overrides import TorchFunctionMode

import voxshift as vs
from voxshift.torch import recording
from voxshift.torch.gradients import OPS
from voxshift.torch.recording import activations, arithmetic, masks, pictures, products, reductions, structure  # noqa: F401
from voxshift.torch.recording.shifts import Shifts
from voxshift.torch.recording.table import FUNCTIONS, NOT_DERIVED, Refused
from voxshift.torch.recording.values import Value, dense_value, rows_value

# Ops whose value does not lie on the rows of their first input: of one per cloud, on rows of its own, on those of the second.
_POOLS = {"avg_pool", "max_pool", "sum_pool"}
_ON_SECOND = {"broadcast", "devoxelize", "devoxelize_dense", "voxelize", "from_dense", "three_nearest"}
_OWN_ROWS = {
    "conv",
    "conv_transpose",
    "generative_conv_transpose",
    "pool",
    "union_add",
    "prune",
    "top_k",
    "voxelize_points",
}
# Ops that no module of a network is, but that others' values need.
_BESIDE = {"bird_eye_view", "broadcast", "columns"}


def tensors_in(given) -> list:
    """The tensors among arguments, those in lists of them too."""
    found = []
    for value in given:
        if isinstance(value, torch.Tensor):
            found.append(value)
        elif isinstance(value, (list, tuple)):
            found += tensors_in(value)
    return found


class Call:
    """One call of a torch function, for the function that writes it down."""

    def __init__(self, recorder, function, known, result):
        self.recorder, self.function, self.known, self.result = recorder, function, known, result

    def find(self, x):
        """The Value that an argument was before the call, None for numbers and constants."""
        if not isinstance(x, torch.Tensor):
            return None
        if id(x) in self.known:
            return self.known[id(x)]
        if id(x) in self.recorder.values:
            raise Refused(maker="a tensor that was changed in place")
        if id(x) in self.recorder.makers:
            raise Refused(maker=self.recorder.makers[id(x)])
        return None

    def value(self, x) -> Value:
        """The Value that an argument was before the call."""
        value = self.find(x)
        if value is None:
            raise Refused("on a tensor that no operation of the network gives")
        return value

    def node(self, op, inputs, **named) -> str:
        """Adds a node and gives its name. inputs: values or names; named: tensors by role and attributes."""
        return self.recorder.add(op, [x.name if isinstance(x, Value) else x for x in inputs], named)


class Recorder(TorchFunctionMode):
    """Sees a run of the module. op: what the errors are of."""

    def __init__(self, module, op):
        super().__init__()
        self.op = op
        self.nodes, self.values, self.makers = [], {}, {}
        self.masks = {}  # by id (Mask, version)
        self.tensors_of = {}  # of nodes and inputs, the tensors that were seen first
        self.kept = []  # tensors whose ids are known; they must live as long
        self.busy = False
        self.names = set()
        self.path = [""]
        self.tensors = {id(tensor): name for name, tensor in (*module.named_parameters(), *module.named_buffers())}
        self.used = {}
        self.shifts, self.clip = Shifts(self), None  # clip: frames of a clip, where there are temporal shifts
        self.placements = []  # (coordinates, value) of what was placed

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if self.busy:
            return func(*args, **(kwargs or {}))
        self.busy = True
        try:
            return self._see(func, args, kwargs or {})
        finally:
            self.busy = False

    def _see(self, func, args, kwargs):
        """The result of a call, which is written down."""
        given = tensors_in((*args, *kwargs.values()))
        name = func.__name__ if func.__name__ != "__get__" else func.__self__.__name__
        if self.shifts.assemblies and name != "__setitem__":
            self.shifts.finish(given)
        known = {id(tensor): value for tensor in given if (value := self.find(tensor))}  # before a change in place
        foreign = [self.makers[id(tensor)] for tensor in given if id(tensor) in self.makers]
        result = func(*args, **kwargs)
        if not (known or foreign) or name in NOT_DERIVED or self.shifts.see(name, args, kwargs, known, result):
            return result
        made = tensors_in([result])
        if not made:
            return result
        try:
            values = self._masked(name, known, result, args, kwargs)
            values = values or self._values(name, Call(self, name, known, result), args, kwargs)
        except Refused as refused:
            own = f"{name}{refused.reason and f' ({refused.reason})'}{self.place()}"
            values = [refused.maker or (foreign[0] if foreign else own)] * len(made)
        for tensor, value in zip(made, values):
            if isinstance(value, str):
                self.taint(value, tensor)
            elif isinstance(value, masks.Mask):
                self.taint(f"{name}{self.place()}", tensor)
                self.masks[id(tensor)] = (value, tensor._version)
            else:
                self.keep(tensor, value)
        return result

    def _values(self, name, call, args, kwargs):
        """What the tensors of the result are, a Value or who made it."""
        function = FUNCTIONS.get(name)
        if function is None:
            raise Refused()
        try:
            inspect.signature(function).bind(call, *args, **kwargs)
        except TypeError:
            raise Refused("with such arguments") from None
        values = function(call, *args, **kwargs)
        return values if isinstance(values, list) else [values]

    def _masked(self, name, known, result, args, kwargs):
        """The mask that a call makes of another; None of other calls."""
        mask = self.mask_of(args[0]) if args and name in masks.MOVES | masks.KEEPS else None
        if mask is None:
            return None
        call = Call(self, name, {**known, id(args[0]): mask.value}, result)
        return [masks.moved(mask, FUNCTIONS.get(name), call, args, kwargs)]

    def mask_of(self, tensor):
        """The masks.Mask that a tensor is."""
        mask, version = self.masks.get(id(tensor), (None, 0))
        return mask if mask is not None and tensor._version == version else None

    def place(self):
        """Where the run is, for a message."""
        return f" in {self.path[-1]}" if self.path[-1] else ""

    def keep(self, tensor, value):
        self.kept.append(tensor)
        self.makers.pop(id(tensor), None)
        self.values[id(tensor)] = (value, tensor._version)
        self.tensors_of.setdefault(value.name, (tensor, tensor._version, value))

    def find(self, tensor):
        value, version = self.values.get(id(tensor), (None, 0))
        return value if value is not None and tensor._version == version else None

    def taint(self, maker, tensor):
        self.kept.append(tensor)
        self.values.pop(id(tensor), None)  # changed in place
        self.makers[id(tensor)] = maker

    def refused(self, user, found, verb="takes"):
        return vs.InvalidArgument(f"[{self.op}] {user} {verb} {found}")

    def value_of(self, tensor, user, verb="takes"):
        """The value that a tensor is. Raises ValueError that tells where it comes from, if it is none."""
        value = self.find(tensor)
        if value is not None:
            return value
        if id(tensor) in self.values:
            raise self.refused(user, "a tensor that was changed in place", verb)
        if id(tensor) in self.makers:
            maker = self.makers[id(tensor)]
            raise self.refused(user, f"the result of {maker}, which a model file has no op for", verb)
        raise self.refused(user, "a tensor that no operation of the network gives", verb)

    def note(self, op, inputs, output, named):
        if op not in OPS:
            return self.taint(f"{op}{self.place()}", output)
        user = f"{op} in {self.path[-1] or 'the module'}"
        values = [x if isinstance(x, str) else self.value_of(x, user) for x in inputs]
        name = self.add(op, [x if isinstance(x, str) else x.name for x in values], named)
        if output is not None:
            keeps_rows = op == "conv" and set(named.get("stride", ())) <= {1} and named.get("semantics") == "floor"
            self.keep(output, self._noted("linear" if keeps_rows else op, name, values, output))
        return name

    def _noted(self, op, name, values, output):
        like = values[1 if op in _ON_SECOND and len(values) > 1 else 0]
        if op in _POOLS:
            return rows_value(name, output, "m")
        if op in _OWN_ROWS or isinstance(like, str):
            return rows_value(name, output)
        value = rows_value(name, output, next(iter(like.groups)))
        return value.but(order=like.order, rows=like.rows)

    def add(self, op, inputs, named):
        """Adds a node of these inputs by name; gives its name."""
        node = {"name": self._new_name(op), "op": op, "inputs": inputs}
        roles = {}
        for key, value in named.items():
            if key not in OPS[op]["parameters"]:
                node[key] = value
            elif value is not None:
                roles[key] = self.parameter(value, f"{node['name']}.{key}")
        if roles:
            node["parameters"] = roles
        self.nodes.append(node)
        return node["name"]

    def parameter(self, tensor, otherwise):
        """The name of a tensor in the file: the module's, or `otherwise` for a constant."""
        base = self.tensors.get(id(tensor), otherwise)
        self.find_maker(tensor, otherwise)
        values = tensor.detach().float().contiguous().numpy()
        name, number = base, 1
        while name in self.used and not _equal(self.used[name], values):  # in another layout
            number += 1
            name = f"{base}.{number}"
        self.used[name] = values
        return name

    def find_maker(self, tensor, user):
        """Raises ValueError for a tensor that follows from the network's input, where a constant is expected."""
        if self.find(tensor) is not None or id(tensor) in self.makers:
            raise self.refused(
                user, "a tensor that the network makes of its input, which a model file holds as a constant"
            )

    def _new_name(self, op):
        path = self.path[-1]
        base = f"{path}.{op}" if path else op
        name, number = base if op in _BESIDE else path or op, 1
        while name in self.names:
            name = base if number == 1 else f"{base}.{number}"
            number += 1
        self.names.add(name)
        return name

    def same(self, x, out, rows):
        value = self.find(x)
        if value is not None:
            if rows is not None:
                value = value.but(rows=rows if value.rows is None else value.rows[rows])
            self.keep(out, value)
        elif id(x) in self.makers:
            self.taint(self.makers[id(x)], out)

    def derived(self, parameter, tensor):
        name = self.tensors.get(id(parameter))
        if name is not None:
            self.kept.append(tensor)
            self.tensors[id(tensor)] = name

    def placed(self, feats, coordinates):
        value = self.find(feats)
        if value is None or not value.is_rows:
            return
        known = value.order.coordinates
        if known is None:
            value.order.coordinates, value.order.sorted = coordinates, value.rows
        elif known.shape is None and coordinates.shape is not None and coordinates.same_coordinates(known):
            value.order.coordinates = coordinates
        self.placements.append((coordinates, value))

    def dense(self, feats, out, channels_last):
        value = self.value_of(feats, f"dense in {self.path[-1] or 'the module'}")
        channels, *extents = out.shape[1:] if not channels_last else (out.shape[-1], *out.shape[1:-1])
        made = dense_value(value.name, (out.shape[0], channels, *extents)).but(order=value.order)
        self.keep(out, made.but(dims=(made.dims[0], *made.dims[2:], made.dims[1])) if channels_last else made)

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
    def watching(self, module):
        """Sees what happens within the context. Raises ValueError where another recording is under way."""
        if recording._recorder:
            raise vs.InvalidArgument(f"[{self.op}] a recording is under way")
        with self.following(module), torch.no_grad(), _indexing_seen(self):
            recording._recorder = self
            try:
                with self:
                    yield
            finally:
                recording._recorder = None


@contextmanager
def _indexing_seen(recorder):
    """torch 1 tells modes of tuples as indices only."""
    if not torch.__version__.startswith("1."):
        yield
        return
    original = torch.Tensor.__getitem__

    def getitem(tensor, index):
        return recorder.__torch_function__(original, (), (tensor, index))

    torch.Tensor.__getitem__ = getitem
    try:
        yield
    finally:
        del torch.Tensor.__getitem__


def _equal(a, b):
    return a is b or (a.shape == b.shape and np.array_equal(a, b, equal_nan=True))
