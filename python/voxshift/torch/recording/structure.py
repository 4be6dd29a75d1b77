"""What moves numbers about: views, permutations, slices, concatenations."""

import math

import torch

from voxshift.torch.recording.table import Refused, place_of, records
from voxshift.torch.recording.values import IMAGE, REPEATED, Atom, Value, merged, reshaped


def image_form(call, value) -> Value:
    """Sparse tensors in dense form as images: bird_eye_view folds one axis into the channels. Other values as they
    are.
    """
    if not value.is_dense:
        return value
    sizes = [value.groups[str(axis)] for axis in range(len(value.groups) - 2)]
    if len(sizes) != 3:
        raise Refused(f"in dense form, of {len(sizes)} dimensions")
    beside = [
        atom.group for dim in value.dims if any(a.group == "c" for a in dim) for atom in dim if atom.group.isdigit()
    ]
    folded = int(beside[0]) if beside else 0
    y, x = (axis for axis in range(3) if axis != folded)
    depth = sizes[folded]
    name = call.node("bird_eye_view", [value], shape=sizes, axis=folded)

    def moved(atom):
        if atom.group == "c":
            return atom._replace(stride=atom.stride * depth)
        return atom._replace(group={str(folded): "c", str(y): "h", str(x): "w"}.get(atom.group, atom.group))

    groups = dict(zip(IMAGE, (value.groups["m"], sizes[y], sizes[x], value.channels * depth)))
    return Value(name, groups, [[moved(atom) for atom in dim] for dim in value.dims])


def channels_in_order(call, value, dim) -> Value:
    """The value with dimension `dim` all of its channels, in their order. Refused where it holds others, or not all."""
    dim = place_of(dim, value)
    atoms = value.dims[dim]
    if value.is_channels(dim):
        return value
    size = math.prod(atom.size for atom in atoms)
    if size != value.channels or any(atom.group != "c" for atom in atoms):
        raise Refused("where the channels are another dimension")
    permutation = torch.zeros(size, size)
    permutation[torch.arange(size), places(atoms)] = 1
    dims = list(value.dims)
    dims[dim] = value.whole("c")
    return value.but(name=call.node("linear", [value], weight=permutation), dims=dims)


def channels_as_read(call, value) -> Value:
    """The value with its channels in the order in which the tensor's dimensions have them."""
    atoms = [atom for dim in value.dims for atom in dim if atom.group == "c"]
    if merged(atoms) == value.whole("c"):
        return value
    moved, stride = {}, value.channels
    for atom in atoms:
        stride //= atom.size
        moved[atom] = atom._replace(stride=stride)
    name = chosen_channels(call, value, places(atoms))
    return value.but(name=name, dims=[[moved.get(atom, atom) for atom in dim] for dim in value.dims])


def places(atoms) -> torch.Tensor:
    """The place along their group of each element of a dimension."""
    result = torch.zeros(1, dtype=torch.long)
    for atom in atoms:
        result = (result[:, None] + torch.arange(atom.size) * atom.stride).reshape(-1)
    return result


def chosen_channels(call, value, numbers) -> str:
    """The name of these channels of the value, one after the other."""
    numbers = [int(n) for n in numbers]
    if not numbers:
        raise Refused("that leaves no channels")
    first, count = numbers[0], len(numbers)
    if numbers == list(range(value.channels)):
        return value.name
    if numbers == list(range(first, first + count)):
        return call.node("columns", [value], first=first, count=count)
    weight = torch.zeros(count, value.channels)
    weight[torch.arange(count), torch.tensor(numbers)] = 1
    return call.node("linear", [value], weight=weight)


def selected(call, value, dim, chosen) -> Value:
    """The value with a range (or list of numbers) of the elements of one dimension."""
    chosen, atoms = list(chosen), value.dims[dim]
    size = math.prod(atom.size for atom in atoms)
    if chosen == list(range(size)):
        return value
    if all(atom.group == REPEATED for atom in atoms):
        dims = list(value.dims)
        dims[dim] = (Atom(REPEATED, 0, len(chosen)),)
        return value.but(dims=dims)
    if any(atom.group != "c" for atom in atoms):
        return _every(call, value, dim, chosen)
    value = image_form(call, value)
    atoms = value.dims[dim]
    if any(atom.group != "c" for atom in atoms):
        raise Refused("of channels and heights together")
    # The other channel dimensions stay as they are, and come before this one in the new order of the channels.
    others = [(i, atom) for i, own in enumerate(value.dims) for atom in own if i != dim and atom.group == "c"]
    base = places([atom for _, atom in others])
    wanted = (base[:, None] + places(atoms)[torch.tensor(chosen, dtype=torch.long)]).reshape(-1)
    name = chosen_channels(call, value, wanted)
    dims, stride = [list(own) for own in value.dims], len(wanted)
    for i, own in enumerate(value.dims):
        if i != dim:
            dims[i] = []
            for atom in own:
                if atom.group == "c":
                    stride //= atom.size
                dims[i].append(atom._replace(stride=stride) if atom.group == "c" else atom)
    dims[dim] = [Atom("c", 1, len(chosen))]
    return value.but(name=name, dims=dims, groups={**value.groups, "c": len(wanted)})


def _every(call, value, dim, chosen):
    """Every s-th line of images from the first on, as pooling of windows of one pixel makes it."""
    if value.is_rows and sorted(chosen) == list(range(math.prod(atom.size for atom in value.dims[dim]))):
        raise Refused("of all rows in another order; Cylinder3D's checkpoints are for `voxshift convert`")
    value = image_form(call, value)
    group = {value.whole("h"): "h", value.whole("w"): "w"}.get(value.dims[dim]) if value.is_images else None
    step = chosen[1] - chosen[0] if len(chosen) > 1 else 0
    if group is None or step < 0 or chosen != list(range(0, value.groups[group], step or 1)):
        raise Refused("of a part of what are not the channels")
    stride = [step if g == group else 1 for g in "hw"]
    dims = list(value.dims)
    dims[dim] = (Atom(group, 1, len(chosen)),)
    name = call.node("avg_pool2d", [value], kernel_size=1, stride=stride)
    return value.but(name=name, dims=dims, groups={**value.groups, group: len(chosen)})


def _viewed(call, value, shape):
    dims = reshaped(value.dims, shape)
    if dims is None:
        raise Refused(f"from {list(value.shape)} to {list(shape)}")
    return value.but(dims=dims)


@records(
    "view", "reshape", "flatten", "unflatten", "squeeze", "squeeze_", "unsqueeze", "unsqueeze_", "view_as", "reshape_as"
)
def _view(call, input, *args, **kwargs):
    if any(isinstance(value, torch.dtype) for value in (*args, *kwargs.values())):
        raise Refused("as another type")
    return _viewed(call, call.value(input), call.result.shape)


@records("permute")
def _permute(call, input, *dims, **named):
    value = call.value(input)
    order = named.get("dims", dims[0] if len(dims) == 1 and not isinstance(dims[0], int) else dims)
    return value.but(dims=[value.dims[place_of(dim, value)] for dim in order])


@records("transpose", "transpose_", "swapaxes", "swapdims")
def _transpose(call, input, dim0=None, dim1=None, **named):
    value = call.value(input)
    first, second = (dim0, dim1) if not named else tuple(named.values())
    dims = list(value.dims)
    first, second = place_of(first, value), place_of(second, value)
    dims[first], dims[second] = dims[second], dims[first]
    return value.but(dims=dims)


@records("movedim", "moveaxis")
def _move(call, input, source, destination):
    value = call.value(input)
    source, destination = ([d] if isinstance(d, int) else list(d) for d in (source, destination))
    source, destination = ([place_of(d, value) for d in dims] for dims in (source, destination))
    order = [d for d in range(len(value.dims)) if d not in source]
    for place, dim in sorted(zip(destination, source)):
        order.insert(place, dim)
    return value.but(dims=[value.dims[d] for d in order])


@records("t", "t_", "T", "mT")
def _turned(call, input):
    value = call.value(input)
    return value.but(dims=value.dims[:-2] + value.dims[-2:][::-1])


@records(
    "detach",
    "detach_",
    "contiguous",
    "clone",
    "requires_grad_",
    "data",
    "alias",
    "cpu",
    "cuda",
    "float",
    "to",
    "type_as",
    "type",
)
def _identity(call, input, *args, **kwargs):
    value = call.value(input)
    if call.result.dtype != torch.float32:
        raise Refused(f"as {str(call.result.dtype)[6:]}")
    return value


@records("dropout", "dropout_", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_dropout")
def _dropout(call, input, p=0.5, training=True, inplace=False):
    if training and p:
        raise Refused("in training mode")
    return call.value(input)


@records("expand", "expand_as", "broadcast_to", "repeat", "tile")
def _expand(call, input, *args, **kwargs):
    value = call.value(input)
    shape = tuple(call.result.shape)
    dims = ((),) * (len(shape) - len(value.dims)) + value.dims
    sizes = [math.prod(atom.size for atom in dim) for dim in dims]
    repeated = [dim if n == size else (Atom(REPEATED, 0, size),) for dim, n, size in zip(dims, sizes, shape)]
    if any(n not in (1, size) for n, size in zip(sizes, shape)):
        raise Refused("of more than one element")
    return value.but(dims=repeated)


@records("cat", "concat", "concatenate")
def _cat(call, tensors, dim=0):
    from voxshift.torch.recording.arithmetic import spread

    if len(tensors) == 1:
        return call.value(tensors[0])
    values = [image_form(call, call.value(x)) for x in tensors]
    dim = place_of(dim, values[0])
    values = [_with_channels(call, value, dim) for value in values]
    likes = [value for value in values if not value.is_pooled and not value.has_repeats()] or values
    like = likes[0]
    names = []
    for value in values:
        own = [d for i, d in enumerate(value.dims) if i != dim]
        others = [d for i, d in enumerate(like.dims) if i != dim]
        rows = {k: v for k, v in value.groups.items() if k != "c"}
        if own == others and rows == {k: v for k, v in like.groups.items() if k != "c"}:
            names.append(value.name)
            continue
        dims = list(like.dims)
        dims[dim] = value.whole("c")
        names.append(spread(call, value, like.but(dims=dims, groups={**like.groups, "c": value.channels})))
    total = sum(value.channels for value in values)
    dims = list(like.dims)
    dims[dim] = (Atom("c", 1, total),)
    return like.but(name=call.node("cat", names), dims=dims, groups={**like.groups, "c": total})


def _with_channels(call, value, dim):
    return value if value.channels == 1 and not value.dims[dim] else channels_in_order(call, value, dim)


def _parts(call, value, dim, sizes):
    dim, first, result = place_of(dim, value), 0, []
    for size in sizes:
        result.append(selected(call, value, dim, range(first, first + size)))
        first += size
    return result


@records("chunk", "split", "split_with_sizes", "tensor_split", "unsafe_chunk", "unsafe_split")
def _split(call, input, *args, **named):
    value = call.value(input)
    dim = named.get("dim", args[1] if len(args) > 1 else 0)
    return _parts(call, value, dim, [part.shape[dim] for part in call.result])


@records("unbind")
def _unbind(call, input, dim=0):
    value = call.value(input)
    dim = place_of(dim, value)
    parts = _parts(call, value, dim, [1] * len(call.result))
    return [part.but(dims=part.dims[:dim] + part.dims[dim + 1 :]) for part in parts]


@records("narrow")
def _narrow(call, input, dim, start, length):
    value = call.value(input)
    return selected(call, value, place_of(dim, value), range(start, start + length))


@records("select")
def _select(call, input, dim, index):
    value = call.value(input)
    dim = place_of(dim, value)
    part = selected(call, value, dim, [index % value.shape[dim]])
    return part.but(dims=part.dims[:dim] + part.dims[dim + 1 :])


@records("index_select")
def _index_select(call, input, dim, index):
    value = call.value(input)
    dim = place_of(dim, value)
    if dim == 0 and value.is_pooled:
        return rows_of_batches(call, value, index)
    return selected(call, value, dim, index.tolist())


@records("flip")
def _flip(call, input, *dims, **named):
    value = call.value(input)
    for dim in named.get("dims", dims[0] if isinstance(dims[0], (list, tuple)) else dims):
        dim = place_of(dim, value)
        value = selected(call, value, dim, range(value.shape[dim])[::-1])
    return value


def rows_of_batches(call, value, index) -> Value:
    """The row of its batch for each row of voxels, where the index is those of voxels that are known."""
    if value.dims != (value.whole("m"), value.whole("c")):
        raise Refused("of rows in another layout")
    index = index.reshape(-1).long().numpy()
    for coordinates, like in reversed(call.recorder.placements):
        if len(index) == coordinates.size and (like.sorted_rows(index) == coordinates.coords[:, 0]).all():
            rows = {"n": len(index), "c": value.channels}
            dims = ((Atom("n", 1, len(index)),), value.whole("c"))
            return Value(call.node("broadcast", [value, like]), rows, dims, like.order, like.rows)
    raise Refused("of rows that are no batches of voxels")


@records("__getitem__")
def _item(call, input, index):
    value = call.value(input)
    index = index if isinstance(index, tuple) else (index,)
    if len(index) == 1 and isinstance(index[0], torch.Tensor) and value.is_pooled and index[0].dtype == torch.long:
        return rows_of_batches(call, value, index[0])
    if Ellipsis in [part if part is Ellipsis else None for part in index]:
        at = next(i for i, part in enumerate(index) if part is Ellipsis)
        taken = sum(part is not None for part in index) - 1
        index = (*index[:at], *[slice(None)] * (len(value.dims) - taken), *index[at + 1 :])
    if sum(isinstance(part, torch.Tensor) for part in index) > 1:
        raise Refused("of rows by tables of indices; PointNet++'s checkpoints are for `voxshift convert`")
    dim = 0
    for part in index:
        if part is None:
            value = value.but(dims=(*value.dims[:dim], (), *value.dims[dim:]))
            dim += 1
            continue
        chosen = _chosen(part, value.shape[dim])
        value = selected(call, value, dim, chosen)
        if isinstance(part, int):
            value = value.but(dims=value.dims[:dim] + value.dims[dim + 1 :])
        else:
            dim += 1
    return value


def _chosen(part, size):
    if isinstance(part, slice):
        return range(*part.indices(size))
    if isinstance(part, int) and not isinstance(part, bool):
        return [part % size]
    if isinstance(part, (list, torch.Tensor)) and not isinstance(part, bool):
        numbers = torch.as_tensor(part)
        if numbers.dim() == 1 and numbers.dtype == torch.long:
            return (numbers % size).tolist()
    raise Refused("with such an index")
