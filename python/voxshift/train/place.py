"""Where a network is trained, and in what numbers: the device, the way of batches to it, autocast and the scale of gradients."""

import argparse
import re
import sys
from contextlib import nullcontext

import torch

import voxshift as vs
from voxshift.train.files import Failure

DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def add_arguments(parser):
    """--device and --dtype."""
    add = parser.add_argument
    add("--device", type=_device, default="cpu", help="cpu, cuda or cuda:N (default %(default)s)")
    add("--dtype", choices=list(DTYPES), default="f32",
        help="what the network computes in on CUDA; weights, sums, losses and the optimiser stay f32 (default %(default)s)")


def _device(text):
    if not re.fullmatch(r"cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"expects cpu, cuda or cuda:N, found {text!r}")
    return text


def mapped(batch, function):
    """A batch with function(tensor) in place of its tensors, in tuples, lists and dicts of any depth; the rest as it is."""
    if isinstance(batch, torch.Tensor):
        return function(batch)
    if isinstance(batch, dict):
        return {key: mapped(value, function) for key, value in batch.items()}
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(mapped(value, function) for value in batch))
    if isinstance(batch, (tuple, list)):
        return type(batch)(mapped(value, function) for value in batch)
    return batch


def _check(name):
    """Raises Failure, which says what to do, where PyTorch or voxshift does not compute on this CUDA device."""
    otherwise = "or leave it out to train on the CPU"
    if not torch.cuda.is_available():
        raise Failure(f"--device {name}: PyTorch {torch.__version__} finds no CUDA device here: "
                      f"install its build for CUDA and the driver, {otherwise}")
    if not vs.build_info()["cuda"]:
        raise Failure(f"--device {name}: this voxshift has no CUDA kernels: pip install voxshift[cuda], {otherwise}")
    count = torch.cuda.device_count()
    if int(name.partition(":")[2] or 0) >= count:
        raise Failure(f"--device {name}: there are {count} CUDA devices, cuda:0 the first")


class Place:
    """Of --device and --dtype. device: torch's. Raises Failure for what is not here or does not go together."""

    def __init__(self, options):
        if options.device != "cpu":
            _check(options.device)
        self.device = torch.device(options.device)
        self.is_cuda = self.device.type == "cuda"
        if self.is_cuda:
            self.device = torch.device("cuda", self.device.index or 0)
        self.dtype = DTYPES[options.dtype]
        if options.dtype != "f32" and not self.is_cuda:
            raise Failure(f"--dtype {options.dtype} belongs to --device cuda: on the CPU training computes in f32")
        if options.dtype != "f32" and options.quantize:
            raise Failure(f"--quantize computes in whole numbers, --dtype {options.dtype} has not all that they need: leave it f32")
        self.scaler = _scaler(self.dtype == torch.float16)
        self._copies = torch.cuda.Stream(self.device) if self.is_cuda else None

    def forward(self, network):
        """(arguments) -> the network's result, computed in the dtype, its floating numbers as float32."""

        def run(*given, **named):
            with self._autocast():
                result = network(*given, **named)
            return mapped(result, lambda x: x.float())

        return run

    def _autocast(self):
        return nullcontext() if self.dtype == torch.float32 else torch.autocast("cuda", dtype=self.dtype)

    def sent(self, batch):
        """Begins to bring a batch here; `arrived` gives it. On CUDA by pinned memory and a stream of its own, without waiting."""
        if not self.is_cuda:
            return batch, None
        with torch.cuda.stream(self._copies):
            batch = mapped(batch, lambda x: x.contiguous().pin_memory().to(self.device, non_blocking=True))
            return batch, self._copies.record_event()

    def arrived(self, sent):
        """The batch of `sent`, for what the current stream does from now on."""
        batch, event = sent
        if event is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(event)
            mapped(batch, lambda x: x.record_stream(stream))  # its memory is used again after this stream's work
        return batch

    def brought(self, batch):
        """The batch here."""
        return self.arrived(self.sent(batch))

    def coordinates(self, coords):
        """int32 [N, 1 + D] as vst.SparseTensor takes them when they are here: on the CPU looked through and sorted already."""
        return coords if self.is_cuda else vs.Coordinates(coords.numpy())

    def deployed(self, model):
        """The model on this device, with f32 where it is not of i8, as evaluations run it."""
        if not self.is_cuda:
            return model
        return vs.Model.from_graph(
            model.graph, model.parameters(), model.profile, model.classes or 0, model.arch, detection=model.detection,
            device=str(self.device), dtype="auto" if model.dtype == "i8" else "f32",
        )

    def exact(self):
        """Within the context torch's convolutions on CUDA multiply float32, not TF32, and give the same bits each time."""
        if not self.is_cuda:
            return nullcontext()
        cudnn = torch.backends.cudnn
        return cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False)

    def free(self):
        """Gives back the freed memory that torch keeps on the device, and voxshift there and on the CPU."""
        vs.set_memory_cache(0)
        if self.is_cuda:
            for kept in (0, sys.maxsize):  # what is free now goes back, what becomes free later is kept, as at first
                vs.set_memory_cache(kept, str(self.device))
            torch.cuda.empty_cache()


def _scaler(is_enabled):
    """torch's GradScaler, which passes everything on where it is not enabled."""
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cuda", enabled=is_enabled)
    return torch.cuda.amp.GradScaler(enabled=is_enabled)
