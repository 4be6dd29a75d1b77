"""The training loop: schedule, averaged weights, checkpoints, metrics.

A program gives `train` a Task: a network, batches by step, a loss and an evaluation. All data are a pure function of
(seed, step), so a run that is resumed, or has another number of worker processes or threads, gives the same bits.
"""

import csv
import io
import math
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Optional

import numpy as np
import torch

import voxshift as vs
import voxshift.torch as vst


class Failure(Exception):
    """What ends a program with status 1 and one line."""


def initial_model(given: Path) -> vs.Model:
    """The model of a file, or the shipped one of this name. Raises Failure, and OSError for a file that is no model."""
    if given.exists() or given.suffix or len(given.parts) != 1:
        return vs.Model.load(given)
    try:
        return vs.Model.pretrained(str(given))
    except vs.InvalidArgument as error:
        raise Failure(f"{given}: no such file, nor a shipped model: {error}") from None


@dataclass
class Task:
    """What is trained.

    network: a torch module. dataset: item i is one example, a pure function of i; a batch of step s has the items s * B ..
    s * B + B - 1. collate: list of examples -> batch. loss: (network, batch) -> scalar tensor. evaluate: network -> {name:
    number}, called with the averaged weights in evaluation mode. export: (network, path) writes the model file.
    score: the name of the metric that the progress line shows. finish: network -> None, called once with the averaged weights after
    the last step, before its evaluation.
    """

    network: torch.nn.Module
    dataset: Any
    collate: Callable
    loss: Callable
    evaluate: Callable
    export: Callable
    score: str
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


def for_i8(network, options, dataset, collate, run):
    """The network as --quantize wants it: as it is without; else its FakeQuantized, with scales for examples of the dataset.

    They are those after the last ones that training takes. run: (network, batch) -> anything, a forward pass.
    """
    if not options.quantize:
        return network
    quantized = vst.prepare_qat(network, options.keep or ())
    if options.resume:  # the checkpoint has the scales
        return quantized
    first, size = options.steps * options.batch_size, options.batch_size
    with quantized.calibrate():
        for start in range(0, options.calibration, size):
            count = min(size, options.calibration - start)
            run(quantized, collate([dataset[first + start + i] for i in range(count)]))
    return quantized


def save(network, path, options):
    """The model file of --out: float16 unless --float32 or --quantize say otherwise."""
    vst.save(network, path, half=not options.float32 and not options.quantize)


def positive(text):
    value = int(text)
    if value < 1:
        raise ValueError
    return value


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
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, p in network.named_parameters():
            self.weights[name].lerp_(p, 1 - decay)

    def applied(self, network):
        """Within the context the network has the averaged weights."""
        return _Swapped(network, self.weights)


class _Swapped:
    def __init__(self, network, weights):
        self.network, self.weights = network, weights

    def _swap(self):
        for name, p in self.network.named_parameters():
            own = p.data
            p.data = self.weights[name]
            self.weights[name] = own

    def __enter__(self):
        self.training = self.network.training
        self.network.eval()
        self._swap()

    def __exit__(self, *_):
        self._swap()
        self.network.train(self.training)


def serialized(state):
    """The bytes of torch.save. It writes to memory: on a full disk torch 1.13 ends the process."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def write_atomically(path, write):
    """write(temporary path), then a rename: a failure leaves what was there. Raises Failure."""
    temporary = path.with_name(path.name + ".part")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        kept = ", the one before is kept" if path.exists() else ""
        raise Failure(f"{path}: cannot be written: {str(error).splitlines()[0]}{kept}") from error


def adamw(parameters, **options):
    """torch's AdamW, fused where this torch has that for the CPU: a third of the time."""
    fused = tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 4)
    return torch.optim.AdamW(parameters, **options, **({"fused": True} if fused else {}))


class Distillation:
    """How far classes are from those of the network in float32: --distill times the Kullback-Leibler divergence (Hinton et al.
    2015), 0 where that is 0.
    """

    def __init__(self, network, options):
        self.weight = options.distill
        self.teacher = vst.Network(network.model).eval() if self.weight else None

    def __call__(self, logits, *given, **options):
        if not self.teacher:
            return 0.0
        with torch.no_grad():
            wanted = self.teacher(*given, **options).log_softmax(1)
        divergence = torch.nn.functional.kl_div(logits.log_softmax(1), wanted, reduction="batchmean", log_target=True)
        return self.weight * divergence


def train(task, options):
    """Trains to the last step and writes model.safetensors, checkpoint.pt, metrics.csv and metrics.png in options.out.

    With --quantize also says what the network scores before, in float32 and with the scales that were found.
    """
    torch.set_num_threads(1)  # torch's sums depend on its threads; voxshift's operators have their own
    vs.set_num_threads(options.threads)
    vs.set_memory_cache(1 << 30)
    random.seed(options.seed)
    np.random.seed(options.seed % 2**32)
    torch.manual_seed(options.seed)
    out = options.out
    out.mkdir(parents=True, exist_ok=True)
    network = task.network.train()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimizer = adamw(trained, lr=options.lr, weight_decay=options.weight_decay)
    average = _Average(network, options.ema)
    checkpoint = out / "checkpoint.pt"
    first, seconds, rows = 0, 0.0, []
    if options.resume:
        first, seconds, rows = _restore(checkpoint, network, optimizer, average)
    loader = torch.utils.data.DataLoader(
        task.dataset,
        batch_sampler=_Batches(first, options.steps, options.batch_size),
        collate_fn=task.collate,
        num_workers=options.workers,
        worker_init_fn=_one_thread,
        **({"multiprocessing_context": "spawn", "prefetch_factor": 4} if options.workers else {}),
    )
    began = time.monotonic() - seconds
    smooth = None
    bar = _bar(first, options.steps)
    if options.quantize and not options.resume:
        for what, scored in (("float32", vst.Network(network.model)), ("i8 before training", network)):
            bar.write(f"{what}: {task.score} {100 * task.evaluate(scored.eval())[task.score]:.1f} %")
        network.train()
    for step, batch in enumerate(_batches(loader), first):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options)
        optimizer.zero_grad(set_to_none=True)
        loss = task.loss(network, batch)
        value = loss.item()
        if not math.isfinite(value):
            kept = f"the last good checkpoint is {checkpoint}" if checkpoint.exists() else "there is no checkpoint yet"
            raise Failure(f"the loss is {value} at step {step}; {kept}")
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, options.clip)
        optimizer.step()
        average.update(network, step)
        smooth = value if smooth is None else 0.98 * smooth + 0.02 * value
        bar.update(1)
        bar.set_postfix(loss=f"{smooth:.3f}", refresh=False)
        done = step + 1
        if done == options.steps and task.finish:
            with average.applied(network):
                task.finish(network)
        if done % options.eval_every == 0 or done == options.steps:
            with average.applied(network):
                metrics = task.evaluate(network)
            rows.append({"step": done, "seconds": round(time.monotonic() - began, 1), "lr": learning_rate(step, options),
                         "loss": round(smooth, 5), **metrics})
            bar.write(f"step {done}: loss {smooth:.3f}, {task.score} {100 * metrics[task.score]:.1f} %")
            _write_metrics(out, rows, task.score)
        if done % options.checkpoint_every == 0 or done == options.steps:
            state = {
                "step": done,
                "seconds": time.monotonic() - began,
                "rows": rows,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "average": average.weights,
            }
            write_atomically(checkpoint, lambda path: path.write_bytes(serialized(state)))  # noqa: B023  at once
            with average.applied(network):
                task.export(network, out / "model.safetensors")
    bar.close()
    return rows


def _one_thread(_):
    """A worker is one of several processes already."""
    vs.set_num_threads(1)


def _batches(loader):
    """The loader's batches; of a worker's Failure the message alone, which torch puts after the worker's traceback."""
    try:
        yield from loader
    except Failure as failure:
        raise Failure(str(failure).strip().rsplit("Failure: ", 1)[-1]) from None


def _restore(checkpoint, network, optimizer, average):
    try:
        state = torch.load(checkpoint, map_location="cpu")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    except FileNotFoundError as error:
        raise Failure(f"{checkpoint}: there is no checkpoint to resume from") from error
    except (RuntimeError, KeyError, ValueError, EOFError) as error:
        raise Failure(f"{checkpoint}: not a checkpoint of this network: {str(error).splitlines()[0]}") from error
    average.weights = state["average"]
    return state["step"], state["seconds"], state["rows"]


class _Silent:
    """Stands in for a progress bar where there is no terminal or no tqdm; evaluations are still told."""

    def update(self, _):
        pass

    def set_postfix(self, **_):
        pass

    def write(self, line):
        print(line, flush=True)

    def close(self):
        pass


def _bar(first, steps):
    import sys

    if sys.stderr.isatty():
        try:
            from tqdm import tqdm
        except ImportError:
            return _Silent()
        return tqdm(initial=first, total=steps, unit="step", smoothing=0.05)
    return _Silent()


def _write_metrics(out, rows, score):
    def table(path):
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[-1]))
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(out / "metrics.csv", table)
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(8, 4))
    left = figure.subplots()
    steps = [row["step"] for row in rows]
    left.plot(steps, [row["loss"] for row in rows], color="tab:blue")
    left.set_xlabel("step")
    left.set_ylabel("training loss", color="tab:blue")
    right = left.twinx()
    right.plot(steps, [100 * row[score] for row in rows], color="tab:orange", marker=".")
    right.set_ylabel(f"{score}, %", color="tab:orange")
    figure.tight_layout()
    write_atomically(out / "metrics.png", lambda path: figure.savefig(path, format="png", dpi=120))
