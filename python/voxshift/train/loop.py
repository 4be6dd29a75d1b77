"""The training loop: schedule, averaged weights, checkpoints, metrics.

A program gives `train` a Task: a network, batches by step, a loss and an evaluation. All data are a pure function of
(seed, step), so a run that is resumed, or has another number of worker processes or threads, gives the same bits.
"""

import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import torch

import voxshift as vs
import voxshift.torch as vst
from voxshift.train import place as places
from voxshift.train.ahead import ahead
from voxshift.train.files import Failure, serialized, write_atomically, write_metrics
from voxshift.train.place import Place, mapped
from voxshift.train.progress import Losses, bar


def initial_model(given: Path) -> vs.Model:
    """The model of a file, or the shipped one of this name. Raises Failure, and OSError for a file that is no model."""
    if given.exists() or given.suffix or len(given.parts) != 1:
        return vs.Model.load(given)
    try:
        return vs.Model.pretrained(str(given))
    except vs.InvalidArgument as error:
        raise Failure(f"{given}: no such file, nor a shipped model: {error}") from None


def unchanged(batch):
    return batch


@dataclass
class Task:
    """What is trained.

    network: a torch module, at its place. dataset: item i is one example, a pure function of i; a batch of step s has the items
    s * B .. s * B + B - 1. collate: list of examples -> batch. loss: (forward, batch) -> a scalar tensor, or several by name,
    whose sum it is; forward computes the network, tensors of the batch are on its device. evaluate: network -> {name: number},
    called with the averaged weights in evaluation mode. export: (network, path) writes the model file. score: the name of the
    metric that the progress line shows. prepare: batch -> batch, what of a step can be done on the CPU before it, in the order
    of the steps. finish: network -> None, called once with the averaged weights after the last step, before its evaluation.
    """

    network: torch.nn.Module
    dataset: Any
    collate: Callable
    loss: Callable
    evaluate: Callable
    export: Callable
    score: str
    prepare: Callable = unchanged
    finish: Optional[Callable] = None


QUANTIZED_STEPS, QUANTIZED_LR = 1000, 2e-4  # a network that is trained already only moves its weights by a few roundings


def add_arguments(parser, steps, lr, batch_size):
    """The options that all programs share. What --quantize sets otherwise, `complete` fills in."""
    add = parser.add_argument
    parser.set_defaults(usual={"steps": steps, "lr": lr})
    add("--out", type=Path, required=True, metavar="DIR", help="where the model, checkpoints and metrics go")
    add("--steps", type=positive, help=f"optimiser steps (default {steps}, with --quantize {QUANTIZED_STEPS})")
    add("--batch-size", type=positive, default=batch_size, help="examples per step (default %(default)s)")
    add("--lr", type=float, help=f"highest learning rate (default {lr:g}, with --quantize {QUANTIZED_LR:g})")
    add("--weight-decay", type=float, default=0.01, help="of AdamW (default %(default)s)")
    add("--warmup", type=float, default=0.05, help="share of the steps until --lr (default %(default)s)")
    add("--ema", type=float, default=0.998, help="decay of the averaged weights, 0 for none (default %(default)s)")
    add("--clip", type=float, default=10.0, help="largest norm of the gradient (default %(default)s)")
    add("--seed", type=int, default=0, help="of weights and data (default %(default)s)")
    add("--workers", type=int, default=1, help="processes that make data, 0 for none (default %(default)s)")
    add("--threads", type=positive, default=vs.num_threads(), help="of the operators (default %(default)s)")
    add("--prefetch", type=natural, default=2, metavar="N",
        help="batches that a thread prepares while a step computes, 0 for none (default %(default)s)")
    places.add_arguments(parser)
    add("--eval-every", type=positive, default=1000, metavar="STEPS", help="(default %(default)s)")
    add("--checkpoint-every", type=positive, default=500, metavar="STEPS", help="(default %(default)s)")
    add("--resume", action="store_true", help="go on from DIR/checkpoint.pt, to the bit as if never interrupted")
    add("--quantize", choices=["i8"],
        help="fine-tune --init's network as it computes in i8, and write an i8 model; batch norm keeps its statistics")
    add("--keep", action="append", metavar="NAME", help="with --quantize: a product that stays in float32; repeatable")
    add("--calibration", type=positive, default=32, metavar="N",
        help="with --quantize: examples whose values the scales start from (default %(default)s)")


def add_distillation(parser):
    """The option of programs whose networks give classes."""
    parser.add_argument("--distill", type=float, metavar="WEIGHT",
        help="with --quantize: weight of how far the classes are from the float32 network's, beside that of the labels (default 1)")


def complete(options):
    """Fills in what the other options decide. Raises Failure for options that do not go together."""
    quantized = options.quantize is not None
    for name in ("keep", "distill"):
        if getattr(options, name, None) is not None and not quantized:
            raise Failure(f"--{name} belongs to --quantize")
    if quantized and not options.init:
        raise Failure("--quantize fine-tunes a trained network: --init names its model")
    usual = {"steps": QUANTIZED_STEPS, "lr": QUANTIZED_LR, "distill": 1.0} if quantized else {**options.usual, "distill": 0.0}
    for name, value in usual.items():
        if getattr(options, name, None) is None:
            setattr(options, name, value)


def for_i8(network, options, place, dataset, collate, run):
    """The network as --quantize wants it, at its place: as it is without; else its FakeQuantized, with scales for examples.

    They are found on the CPU, of those of the dataset after the last that training takes. run: (network, batch) -> anything, a forward pass.
    """
    if not options.quantize:
        return network.to(place.device)
    quantized = vst.prepare_qat(network, options.keep or ())
    if options.resume:  # the checkpoint has the scales
        return quantized.to(place.device)
    first, size = options.steps * options.batch_size, options.batch_size
    with quantized.calibrate():
        for start in range(0, options.calibration, size):
            count = min(size, options.calibration - start)
            run(quantized, collate([dataset[first + start + i] for i in range(count)]))
    return quantized.to(place.device)


def save(network, path, options):
    """The model file of --out: float16 unless --float32 or --quantize say otherwise."""
    vst.save(network, path, half=not options.float32 and not options.quantize)


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def natural(text):
    return positive(text) if int(text) else 0


class _Batches:
    """Indices of the batches of the steps first .. last - 1: a batch_sampler."""

    def __init__(self, first, last, size):
        self.first, self.last, self.size = first, last, size

    def __iter__(self):
        return (list(range(s * self.size, (s + 1) * self.size)) for s in range(self.first, self.last))

    def __len__(self):
        return self.last - self.first


def learning_rate(step, options):
    """Linear to the top during the warm-up, then half a cosine down to 1 % of it."""
    warmup = max(1, round(options.warmup * options.steps))
    if step < warmup:
        return options.lr * (step + 1) / warmup
    done = (step - warmup) / max(1, options.steps - warmup)
    return options.lr * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


class _Average:
    """Exponentially averaged weights; running statistics are those of the network."""

    def __init__(self, network, decay):
        self.decay = decay
        self.weights = {name: p.detach().clone() for name, p in network.named_parameters()}

    @torch.no_grad()
    def update(self, network, step):
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        pairs = [(self.weights[name], p) for name, p in network.named_parameters()]
        if hasattr(torch, "_foreach_lerp_"):  # few kernels for all of them
            torch._foreach_lerp_(*map(list, zip(*pairs)), share)
            return
        for average, p in pairs:
            average.lerp_(p, share)

    def applied(self, network):
        """Within the context the network has the averaged weights."""
        return _Swapped(network, self.weights)


class _Swapped:
    def __init__(self, network, weights):
        self.network, self.weights = network, weights

    @torch.no_grad()
    def _swap(self):
        for name, p in self.network.named_parameters():
            own = p.detach().clone()
            p.copy_(self.weights[name])
            self.weights[name].copy_(own)

    def __enter__(self):
        self.training = self.network.training
        self.network.eval()
        self._swap()

    def __exit__(self, *_):
        self._swap()
        self.network.train(self.training)


def adamw(parameters, **options):
    """torch's AdamW, fused where this torch has that for the device: on the CPU a third of the time."""
    parameters = list(parameters)
    on_cpu = all(p.device.type == "cpu" for p in parameters)
    fused = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= ((2, 4) if on_cpu else (2, 0))
    return torch.optim.AdamW(parameters, **options, **({"fused": True} if fused else {}))


class Distillation:
    """How far classes are from those of the network in float32: --distill times the Kullback-Leibler divergence (Hinton et al.
    2015), 0 where that is 0.
    """

    def __init__(self, network, options, place):
        self.weight = options.distill
        self.teacher = vst.Network(network.model).to(place.device).eval() if self.weight else None

    def __call__(self, logits, *given, **options):
        if not self.teacher:
            return 0.0
        with torch.no_grad():
            wanted = self.teacher(*given, **options).log_softmax(1)
        divergence = torch.nn.functional.kl_div(logits.log_softmax(1), wanted, reduction="batchmean", log_target=True)
        return self.weight * divergence


class _Run:
    """A training between its first and last step."""

    STEPS_PER_READ = 16  # of losses on a CUDA device

    def __init__(self, task, options, place):
        self.task, self.options, self.place = task, options, place
        self.network = task.network.train()
        self.forward = place.forward(self.network)
        self.trained = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = adamw(self.trained, lr=options.lr, weight_decay=options.weight_decay)
        self.average = _Average(self.network, options.ema)
        self.checkpoint = options.out / "checkpoint.pt"
        self.first, seconds, self.rows, losses = 0, 0.0, [], (None, {})
        if options.resume:
            self.first, seconds, self.rows, losses = self._restored()
        self.losses = Losses(self.first, self.STEPS_PER_READ if place.is_cuda else 1, self.checkpoint, *losses)
        self.began = time.monotonic() - seconds
        self.bar = bar(self.first, options.steps)

    def run(self):
        options = self.options
        if options.quantize and not options.resume:
            self._score_before()
        with ahead(self._batches(), options.prefetch) as batches:
            for step, batch in enumerate(batches, self.first):
                self._step(step, self.place.arrived(batch))
                self.bar.update(1)
                if self.losses.smooth is not None:
                    self.bar.set_postfix(loss=f"{self.losses.smooth:.3f}", refresh=False)
                self._after(step + 1)
        self.bar.close()
        return self.rows

    def _score_before(self):
        for what, scored in (("float32", vst.Network(self.network.model)), ("i8 before training", self.network)):
            score = self.task.evaluate(scored.eval())[self.task.score]
            self.bar.write(f"{what}: {self.task.score} {100 * score:.1f} %")
        self.network.train()

    def _batches(self):
        options, task = self.options, self.task
        loader = torch.utils.data.DataLoader(
            task.dataset,
            batch_sampler=_Batches(self.first, options.steps, options.batch_size),
            collate_fn=task.collate,
            num_workers=options.workers,
            worker_init_fn=_one_thread,
            **({"multiprocessing_context": "spawn", "prefetch_factor": 4} if options.workers else {}),
        )
        batches = iter(loader)  # here, not in the thread: it takes a number of torch's generator
        return (self.place.sent(task.prepare(batch)) for batch in _plain_errors(batches))

    def _step(self, step, batch):
        place, optimizer = self.place, self.optimizer
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, self.options)
        optimizer.zero_grad(set_to_none=True)
        try:
            found = self.task.loss(self.forward, batch)
        except vs.Error:
            self.losses.read()  # what no number began
            raise
        parts = found if isinstance(found, dict) else {}
        loss = sum(parts.values()) if parts else found
        self.losses.add(loss, parts)
        place.scaler.scale(loss).backward()
        place.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(self.trained, self.options.clip)
        place.scaler.step(optimizer)
        place.scaler.update()
        self.average.update(self.network, step)

    def _after(self, done):
        """What comes after `done` steps."""
        options, is_last = self.options, done == self.options.steps
        if is_last and self.task.finish:
            with self.average.applied(self.network):
                self.task.finish(self.network)
        if done % options.eval_every == 0 or is_last:
            self._evaluate(done)
        if done % options.checkpoint_every == 0 or is_last:
            self._save(done)

    def _evaluate(self, done):
        self.losses.read()
        with self.average.applied(self.network):
            metrics = self.task.evaluate(self.network)
        metrics.update({f"loss {key}": round(value, 4) for key, value in self.losses.parts.items()})
        seconds, lr, score = round(time.monotonic() - self.began, 1), learning_rate(done - 1, self.options), self.task.score
        self.rows.append({"step": done, "seconds": seconds, "lr": lr, "loss": round(self.losses.smooth, 5), **metrics})
        self.bar.write(f"step {done}: loss {self.losses.smooth:.3f}, {score} {100 * metrics[score]:.1f} %")
        write_metrics(self.options.out, self.rows, score)

    def _save(self, done):
        self.losses.read()
        state = {
            "step": done,
            "seconds": time.monotonic() - self.began,
            "rows": self.rows,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "scaler": self.place.scaler.state_dict(),
            "losses": (self.losses.smooth, self.losses.parts),
        }
        state = mapped(state, lambda tensor: tensor.cpu())  # goes on on any device
        write_atomically(self.checkpoint, lambda path: path.write_bytes(serialized(state)))
        with self.average.applied(self.network):
            self.task.export(self.network, self.options.out / "model.safetensors")

    def _restored(self):
        checkpoint, optimizer = self.checkpoint, self.optimizer
        try:
            state = torch.load(checkpoint, map_location="cpu")
            self.network.load_state_dict(state["network"])
            for group, own in zip(state["optimizer"]["param_groups"], optimizer.param_groups):
                group.update({name: own[name] for name in ("fused", "foreach", "capturable") if name in own})  # the device's
            optimizer.load_state_dict(state["optimizer"])
            self.average.weights = mapped(state["average"], lambda tensor: tensor.to(self.place.device))
        except FileNotFoundError as error:
            raise Failure(f"{checkpoint}: there is no checkpoint to resume from") from error
        except (RuntimeError, KeyError, ValueError, EOFError) as error:
            raise Failure(f"{checkpoint}: not a checkpoint of this network: {str(error).splitlines()[0]}") from error
        if self.place.scaler.is_enabled() and state.get("scaler"):
            self.place.scaler.load_state_dict(state["scaler"])
        return state["step"], state["seconds"], state["rows"], state.get("losses", (None, {}))


def train(task, options, place: Place):
    """Trains to the last step and writes model.safetensors, checkpoint.pt, metrics.csv and metrics.png in options.out.

    With --quantize also says what the network scores before, in float32 and with the scales that were found.
    """
    torch.set_num_threads(1)  # torch's sums depend on its threads; voxshift's operators have their own
    vs.set_num_threads(options.threads)
    vs.set_memory_cache(1 << 30)
    random.seed(options.seed)
    np.random.seed(options.seed % 2**32)
    torch.manual_seed(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        with place.exact():
            return _Run(task, options, place).run()
    finally:
        place.free()


def _one_thread(_):
    """A worker is one of several processes already."""
    vs.set_num_threads(1)


def _plain_errors(batches):
    """The loader's batches; of a worker process' error the message alone, which torch puts after the process' traceback."""
    try:
        yield from batches
    except (Failure, vs.Error, OSError) as error:
        if str(error).startswith("Caught "):
            raise type(error)(str(error).strip().rsplit(f"{type(error).__name__}: ", 1)[-1]) from None
        raise
