"""Training for i8: networks whose values and weights are rounded as those of an i8 model are, with gradients."""

from contextlib import contextmanager
from typing import Iterator, Sequence, Union

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

import voxshift as vs
from voxshift.torch.i8_values import FOLDS, choose, out_axis
from voxshift.torch.memory import on_host
from voxshift.torch.network import Network, Step

MOST = 127
_SAMPLED_ROWS = 4096  # of each value and input that a range is found from
_CLIPS = 2 ** (-torch.arange(33) / 8.0)  # ranges that are tried, of the largest number


class _Whole(Function):
    """x * inverse rounded to whole numbers -127..127, ties to even. Gradients are those without the rounding."""

    @staticmethod
    def forward(ctx, x, log_scale, inverse):
        scaled = x * inverse
        ctx.save_for_backward(scaled, inverse)
        ctx.of_one = log_scale.shape[0] == 1
        return scaled.clamp(-MOST, MOST).round_()

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        scaled, inverse = ctx.saved_tensors
        inside = grad * (scaled.abs() <= MOST)
        of_scale = None
        if ctx.needs_input_grad[1]:
            product = -(inside * scaled)
            of_scale = product.sum().reshape(1) if ctx.of_one else product.sum(0)
        return inside * inverse, of_scale, None


class _Rounded(Function):
    """Rounded to whole numbers, ties to even, with the gradient of the identity."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, grad):
        return grad


class _GradientTimes(Function):
    """The identity, whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.factor, None


def whole_weight(weight: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(whole numbers -127..127, multiplier [Cout]) of a weight, symmetric per output channel, which lies along the axis.

    Their product is the weight but for the rounding, whose gradient is the identity's. A channel of zeros has multiplier 1.
    """
    others = [a for a in range(weight.dim()) if a != axis % weight.dim()]
    with torch.no_grad():
        multiplier = weight.abs().amax(others) / MOST
        multiplier = torch.where(multiplier < 1e-30, torch.ones_like(multiplier), multiplier)
    return _Rounded.apply(weight / _along(multiplier, axis, weight)), multiplier


def range_of(rows: torch.Tensor, per_channel: bool) -> torch.Tensor:
    """The scale [1] or [channels] with which rows float32 [N, channels] lose least by i8, by their squared error.

    A channel of zeros has the largest scale of the others, or 1. Raises ValueError for numbers that are not finite.
    """
    if not torch.isfinite(rows).all():
        raise vs.InvalidArgument("[calibrate] values expect finite numbers, found infinite ones or NaN")
    channels = rows.shape[1]
    rows = rows if per_channel else rows.reshape(-1, 1)
    if not len(rows):
        return rows.new_ones(channels if per_channel else 1)
    largest = rows.abs().amax(0)
    best, least = largest / MOST, torch.full_like(largest, torch.inf)
    for clip in _CLIPS.tolist():
        scale = (largest * clip / MOST).clamp(min=1e-30)
        error = ((rows * (1 / scale)).clamp(-MOST, MOST).round() * scale - rows).square().sum(0)
        best, least = torch.where(error < least, scale, best), torch.minimum(error, least)
    usual = best[largest > 0].max() if (largest > 0).any() else largest.new_ones(())
    return torch.where(largest > 0, best, usual)


class FakeQuantized(Network):
    """A Network that computes as its i8 model does, for training: prepare_qat makes one.

    Weights are symmetric per output channel; values that products read are symmetric with a scale each, around depthwise
    convolutions one of every channel. Both are whole numbers -127..127, rounded to nearest, ties to even, and products sum
    whole numbers: forward gives the bits of to_model()'s while sums stay below 2^24 and what is left in float32 is summed
    in the same order. Gradients pass roundings unchanged and stop where a value is clipped (Bengio et al. 2013); scales
    are parameters, as logarithms (LSQ, Esser et al., ICLR 2020; TQT, Jain et al., MLSys 2020).

    Batch norm behind a product is folded into its weights with its statistics as they are, in training, too; its weight
    and bias go on being trained. The network's inputs, the products that read them and its outputs stay float32.

    state_dict has the Network's names and `VALUE.log_scale` of every value with a scale. to_model and vst.save give the i8
    model.
    """

    def __init__(self, network: Union[Network, vs.Model], keep: Sequence[str] = ()):
        super().__init__(network.to_model() if isinstance(network, Network) else network)
        self._floats, self.kept = list(self._places), tuple(keep)
        self.choice = choose(self._graph, {name: tuple(self.tensor(name).shape) for name in self._floats}, keep)
        self.steps = [Step(node) for node in self.choice.nodes]
        self._find_last_uses()
        for value in self.choice.ranged:
            count = self.choice.channels[value] if value in self.choice.per_channel else 1
            self._register(f"{value}.log_scale", torch.full((count,), torch.nan), False)
        self._scales = {}  # of the values of a forward pass
        self._whole = None  # the weight of the product that runs
        self._observed = None  # rows of values while scales are found
        if isinstance(network, Network):
            self.to(next(iter(network.state_dict().values()), torch.empty(0)).device)

    def scale(self, value: str) -> torch.Tensor:
        """The scale of a value of i8, float32 [1] or [channels]: what one of its whole numbers stands for."""
        of = self.choice.scales[value]
        if of == value:
            return self.tensor(f"{value}.log_scale").exp()
        if isinstance(of, str):
            return self.scale(of)
        return torch.cat([self.scale(part).expand(self.choice.channels[part]) for part in of])

    @contextmanager
    def calibrate(self) -> Iterator[None]:
        """Within the context forward computes in float32; at its end scales are those of the values seen, least squares.

            with network.calibrate():
                for x in inputs:
                    network(x)

        Raises ValueError where nothing was seen or a value is not finite; the scales stay as they were then.
        """
        self._observed = {value: [] for value in self.choice.ranged}
        try:
            with torch.no_grad():
                yield
                for value, scale in self._found_scales().items():
                    self.tensor(f"{value}.log_scale").copy_(scale.log())
        finally:
            self._observed = None

    def _found_scales(self):
        found = {}
        for value, rows in self._observed.items():
            if not rows:
                raise vs.InvalidArgument(f"[calibrate] expects inputs, found none for the value \"{value}\"")
            found[value] = range_of(torch.cat(rows), value in self.choice.per_channel)
        return found

    def forward(self, x, n_segment=1, row_splits=None):
        self._scales = {}
        if self._observed is None:
            self._check_scales()
        try:
            return super().forward(x, n_segment, row_splits)
        finally:
            self._scales = {}

    forward.__doc__ = Network.forward.__doc__

    def _check_scales(self):
        for value in self.choice.ranged:
            if not torch.isfinite(self.tensor(f"{value}.log_scale")).all():
                raise vs.InvalidArgument(f"[Network] the value \"{value}\" has no scale yet: calibrate() finds them")

    def _trained(self):
        return set()

    def _folded(self, step):
        """(weight, bias or None) of a product with its batch norm."""
        weight = self.tensor(step.parameters["weight"])
        bias = self.tensor(step.parameters["bias"]) if "bias" in step.parameters else None
        norm = self.choice.norms.get(step.node["name"])
        if norm is None:
            return weight, bias
        named = {role: self.tensor(name) for role, name in norm["parameters"].items()}
        factor = named["weight"] * torch.rsqrt(named["running_var"] + norm["eps"])
        shift = -named["running_mean"] if bias is None else bias - named["running_mean"]
        return weight * _along(factor, out_axis(step.node), weight), named["bias"] + shift * factor

    def _whole_product(self, step, scale):
        """(whole weight, multiplier [Cout], bias or None) of a product that reads a value of this scale."""
        weight, bias = self._folded(step)
        axis = out_axis(step.node)
        of_input = 0 if step.node["op"] == "conv2d" and step.node["groups"] > 1 else 1 if axis == 0 else -2
        return *whole_weight(weight * _along(scale, of_input, weight), axis), bias

    def _tensors(self, step):
        if step.op not in FOLDS:
            return super()._tensors(step)
        if self._observed is None and step.node["name"] in self.choice.products:
            return {"weight": self._whole}
        weight, bias = self._folded(step)
        return {"weight": weight} if bias is None else {"weight": weight, "bias": bias}

    def _run(self, step, inputs, library, given):
        if self._observed is not None:
            return self._observe(step.output, super()._run(step, inputs, library, given))
        if step.node["name"] in self.choice.products:
            value = self._run_product(step, inputs, library, given)
        elif self.choice.scales.get(step.output, step.output) != step.output:
            return self._run_on_whole(step, inputs, library, given)
        else:
            reals = [self._real(name, x) for name, x in zip(step.inputs, inputs)]
            value = super()._run(step, reals, library, given)
            for i, name in enumerate(step.inputs):
                if name not in self._scales:
                    inputs[i] = reals[i]
        return self._quantized(step.output, value) if step.output in self.choice.scales else value

    def _run_product(self, step, inputs, library, given):
        self._whole, multiplier, bias = self._whole_product(step, self._scales[step.inputs[0]])
        value = super()._run(step, inputs, library, given)
        self._whole = None
        feats = value.feats * multiplier
        return value.with_feats(feats if bias is None else feats + bias)

    def _run_on_whole(self, step, inputs, library, given):
        """An op that passes whole numbers on."""
        scales = [self._scales[name] for name in step.inputs]
        widths = [x.feats.shape[1] for x in inputs]
        value = super()._run(step, inputs, library, given)
        if step.op == "cat":
            self._scales[step.output] = torch.cat([s.expand(width) for s, width in zip(scales, widths)])
        else:
            self._scales[step.output] = scales[0]
        return value

    def _real(self, name, x):
        """The numbers that a value of i8 stands for; any other as it is."""
        return x.with_feats(x.feats * self._scales[name]) if name in self._scales else x

    def _quantized(self, name, x):
        log_scale = self.tensor(f"{name}.log_scale")
        log_scale = _GradientTimes.apply(log_scale, (max(x.feats.numel(), 1) / len(log_scale) * MOST) ** -0.5)  # LSQ's
        scale = self._scales[name] = log_scale.exp()
        return x.with_feats(_Whole.apply(x.feats, log_scale, (1 / scale).detach()))

    def _observe(self, name, x):
        if name in self._observed:
            every = max(1, len(x.feats) // _SAMPLED_ROWS)
            self._observed[name].append(x.feats[::every].detach().clone())
        return x

    def to_model(self) -> vs.Model:
        """The i8 model with the present weights and scales. Raises ValueError where a scale was not found yet."""
        self._check_scales()
        with torch.no_grad():
            graph, parameters = self._i8_graph()
        model = self.model
        return vs.Model.from_graph(
            graph, parameters, model.profile, model.classes or 0, model.arch, detection=model.detection
        )

    def _i8_graph(self):
        parameters = {name: self.tensor(name) for name in self._floats}
        nodes, used = [], set()
        for step in self.choice.nodes:
            node = {**step, "parameters": dict(step.get("parameters", {}))}
            if node["op"] in FOLDS:
                self._write_product(node, parameters)
            used.update(node["parameters"].values())
            nodes.append(node)
        scales = {value: self._scale_name(value) for value in self.choice.scales}
        for value, name in scales.items():
            parameters[name] = self.scale(value)
        kept = {name: on_host(parameters[name]).copy() for name in used | set(scales.values())}
        return {**self._graph, "nodes": nodes, "scales": scales}, kept

    def _scale_name(self, value):
        of = self.choice.scales[value]
        return f"{of if isinstance(of, str) else value}.scale"

    def _write_product(self, node, parameters):
        """Gives the node's weight, multiplier and bias their places among the parameters."""
        step, name = Step(node), node["name"]
        if name in self.choice.products:
            whole, multiplier, bias = self._whole_product(step, self.scale(node["inputs"][0]))
            tensors = {"weight": whole.to(torch.int8), "weight_scale": multiplier, "bias": bias}
        else:
            tensors = dict(zip(("weight", "bias"), self._folded(step)))
        for role, tensor in tensors.items():
            if tensor is None:
                continue
            place = node["parameters"].get(role, f"{name}.{role}")
            if role != "weight_scale" and self._is_shared(place):
                place = f"{name}.{role} of its own"
            node["parameters"][role] = place
            parameters[place] = tensor

    def _is_shared(self, tensor):
        users = [node for node in self._graph["nodes"] if tensor in node.get("parameters", {}).values()]
        return len(users) > 1


def _along(values, axis, weight):
    """Values of an axis of the weight, spread over it."""
    shape = [1] * weight.dim()
    shape[axis] = -1
    return values.reshape(shape)


def prepare_qat(network: Union[Network, vs.Model], keep: Sequence[str] = ()) -> FakeQuantized:
    """The network as its i8 model computes, for training; as torch.ao's function of this name prepares modules.

    network: a Network or a voxshift.Model in float32; it stays as it is. keep: names of products, as in the graph, whose
    weights stay float32. Its scales are found by calibrate() or come with load_state_dict. Raises ValueError for a name that no
    product has, for a network of i8 and for one with several inputs.
    """
    return FakeQuantized(network, keep)
