"""Tensors on a CUDA device for tests: torch's own where there is a GPU; else, with an emulated build of the library, tensors
that say they are on cuda:0 and behave so. They hold their numbers on the CPU, run every operator of torch there, refuse what
CUDA's tensors refuse, and give the library memory of its emulated device.
"""

from contextlib import contextmanager, nullcontext

import voxshift as vs
from sparse_torch import torch
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

CUDA = torch.device("cuda", 0)
_FROM_DLPACK, _BACKWARD = torch.from_dlpack, BackwardCFunction.apply
_MOVES = ("copy_", "_to_copy")  # between devices
_LIKE = ("new_tensor", "new_empty", "new_zeros", "new_ones", "new_full")


def _is_cuda(device):
    if isinstance(device, int) and not isinstance(device, bool):
        return True
    return isinstance(device, (str, torch.device)) and torch.device(device).type == "cuda"


def _computed(func, args, kwargs):
    """func's result; of halves that torch's CPU has no kernel for, that of the same numbers in float32, rounded."""
    try:
        return func(*args, **kwargs)
    except RuntimeError as error:
        missing = {"'Half'": torch.float16, "'BFloat16'": torch.bfloat16}
        half = next((dtype for name, dtype in missing.items() if f"not implemented for {name}" in str(error)), None)
        if half is None:
            raise
    wide = lambda x: x.float() if isinstance(x, torch.Tensor) and x.dtype == half else x
    narrow = lambda x: x.to(half) if isinstance(x, torch.Tensor) and x.dtype == torch.float32 else x
    made = tree_map(narrow, func(*tree_map(wide, args), **tree_map(wide, kwargs)))
    return args[0].copy_(made) if func._schema.name.endswith("_") else made


_ADD_ATOMICALLY = {  # floats on CUDA, in no fixed order
    *("scatter_add", "scatter_add_", "put_", "histc", "nll_loss2d_forward", "nll_loss2d_backward"),
    *("max_pool2d_with_indices_backward", "max_pool3d_with_indices_backward", "adaptive_max_pool2d_backward"),
    *("_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward", "avg_pool3d_backward"),
    *("upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward"),
    *("upsample_trilinear3d_backward", "_upsample_bilinear2d_aa_backward", "grid_sampler_2d_backward"),
    *("grid_sampler_3d_backward", "reflection_pad1d_backward", "reflection_pad2d_backward", "cumsum", "cumsum_"),
    *("replication_pad1d_backward", "replication_pad2d_backward", "replication_pad3d_backward"),
}


def _repeats(*indices):
    """Whether two elements of the indices, each of all axes that are indexed, name one place."""
    if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
        return False
    places = torch.stack([index.reshape(-1).long() for index in torch.broadcast_tensors(*indices)])
    return places.unique(dim=1).shape[1] < places.shape[1]


def refuse_any_order(func, args, kwargs):
    """Raises RuntimeError for what gives other bits on every run of CUDA (torch.use_deterministic_algorithms lists it)."""
    name = func._schema.name.partition("::")[2]
    given = {argument.name: value for argument, value in zip(func._schema.arguments, args)} | kwargs
    tensors = [value for value in given.values() if isinstance(value, torch.Tensor)]
    if not any(tensor.is_floating_point() for tensor in tensors):
        return
    index, plain = given.get("index", given.get("indices")), name.rstrip("_")
    refused = name in _ADD_ATOMICALLY or (name == "bincount" and given.get("weights") is not None)
    refused |= plain == "scatter_reduce" and given["reduce"] in ("sum", "prod", "mean")
    if plain == "scatter" and isinstance(given.get("src"), torch.Tensor) and index.dim():
        along = given["dim"] % index.dim()
        others = (torch.arange(n).view(-1, *[1] * (index.dim() - 1 - a)) for a, n in enumerate(index.shape) if a != along)
        refused |= _repeats(index, *others)
    refused |= plain in ("index_add", "index_copy") and _repeats(index)
    if plain in ("index_put", "_index_put_impl") and not given.get("accumulate"):
        refused |= given["values"].numel() > 1 and _repeats(*(each for each in index if each is not None))
    refused |= plain in ("convolution", "convolution_backward") and not torch.backends.cudnn.deterministic
    if refused:
        raise RuntimeError(f"{name} has no fixed order on CUDA")


class OnCuda(torch.Tensor):
    """A tensor on the emulated device; `held` has its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl
    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @staticmethod
    def __new__(cls, held):
        options = {"dtype": held.dtype, "layout": held.layout, "device": "cpu", "requires_grad": False}
        offset = held.storage_offset()
        made = torch.Tensor._make_wrapper_subclass(cls, held.size(), held.stride(), offset, **options)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        name = func._schema.name.partition("::")[2]
        givers = {}

        def held(x):
            if isinstance(x, OnCuda):
                givers[id(x.held)] = x
                return x.held
            is_list = name == "index" and isinstance(x, torch.Tensor) and x.dtype == torch.long and x.numel() <= 8
            if isinstance(x, torch.Tensor) and x.dim() and name not in _MOVES and not is_list:  # a list in brackets
                raise RuntimeError(f"Expected all tensors to be on the same device, found cuda:0 and cpu in {name}")
            return x

        def given(x):
            return givers[id(x)] if id(x) in givers else OnCuda(x) if isinstance(x, torch.Tensor) else x

        args, kwargs = tree_map(held, args), tree_map(held, kwargs or {})
        refuse_any_order(func, args, kwargs)
        if name == "copy_" and id(args[0]) not in givers:  # to the CPU
            return func(*args, **kwargs)
        return tree_map(given, _computed(func, args, kwargs))

    def data_ptr(self):
        return self.held.data_ptr()

    def tolist(self):
        return self.held.tolist()

    def numpy(self, *args, **named):
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")

    def __array__(self, *args, **named):
        return self.numpy()

    def __deepcopy__(self, memo):
        again = OnCuda(self.held.clone())
        return torch.nn.Parameter(again, self.requires_grad) if isinstance(self, torch.nn.Parameter) else again

    def __repr__(self, **named):
        return f"OnCuda({self.held})"

    @property
    def __cuda_array_interface__(self):
        raise AttributeError("an emulated tensor gives its memory by DLPack")

    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, stream=None):
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        if not self.held.is_contiguous() or (self.held.numel() and self.data_ptr() % 16):
            raise BufferError("kernels take contiguous memory that is aligned to 16 bytes")
        numpy_has_it = self.held.dtype != torch.bfloat16
        return vs.to_device(self.held.numpy() if numpy_has_it else self.held, "cuda").__dlpack__()


LEFT = []  # tensors that went to the CPU


class _Moved(torch.autograd.Function):
    """The same numbers on the other device."""

    @staticmethod
    def forward(ctx, x):
        LEFT.extend([x] * isinstance(x, OnCuda))
        return x.held.clone() if isinstance(x, OnCuda) else OnCuda(x.clone())

    @staticmethod
    def backward(ctx, grad):
        return _Moved.apply(grad)


def _placed(x, device):
    """x on a device, None: where it is."""
    is_there = device is None or isinstance(x, OnCuda) == _is_cuda(device)
    return x if is_there else _Moved.apply(x)


def _to(x, *args, device=None, **named):
    if args and isinstance(args[0], torch.Tensor):
        device, args = args[0].device, (args[0].dtype, *args[1:])
    elif args and isinstance(args[0], (str, int, torch.device)):
        device, args = args[0], args[1:]
    dtype = next((value for value in (*args, named.get("dtype")) if isinstance(value, torch.dtype)), None)
    x = _placed(x, device)
    copied = x.clone() if named.get("copy") else x
    return copied if dtype is None else copied.to(dtype)


class _Emulated(TorchFunctionMode):
    """device="cuda" of any function is the emulated device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name == "to" and args and isinstance(args[0], torch.Tensor):
            return _to(*args, **kwargs)
        if name in ("cuda", "cpu") and args and isinstance(args[0], torch.Tensor):
            return _placed(args[0], name)
        like = isinstance(args[0], OnCuda) if args and name in _LIKE else False
        if not _is_cuda(kwargs.get("device")) and not (like and name == "new_tensor"):
            return func(*args, **kwargs)
        kwargs.pop("device", None)
        needs_grad = kwargs.pop("requires_grad", False)
        if name == "new_tensor":
            func, args, kwargs = torch.tensor, args[1:], {"dtype": args[0].dtype, **kwargs}
        made = func(*args, **kwargs)
        made = made if isinstance(made, OnCuda) else OnCuda(made)
        return made.requires_grad_() if needs_grad else made


def _from_dlpack(source, *args, **named):
    if isinstance(source, vs.DeviceArray):
        numpy_has_it = source.dtype != "bfloat16"
        return OnCuda(torch.from_numpy(source.numpy()) if numpy_has_it else _FROM_DLPACK(vs.to_device(source, "cpu")))
    return _FROM_DLPACK(source, *args, **named)


def _backward_there(self, *grads):
    """A gradient function within the mode, which autograd leaves while it runs."""
    with _Emulated():
        return _BACKWARD(self, *grads)


@contextmanager
def emulated():
    """Within the context device="cuda" makes such tensors, and results of the library on its device become them."""
    overwrites = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # the data of a parameter are of its own class
    torch.from_dlpack, BackwardCFunction.apply = _from_dlpack, _backward_there
    try:
        with _Emulated():
            yield
    finally:
        torch.from_dlpack, BackwardCFunction.apply = _FROM_DLPACK, _BACKWARD
        torch.__future__.set_overwrite_module_params_on_conversion(overwrites)


@contextmanager
def cuda():
    """Within the context torch has the device that is given: a GPU, or where there is none the emulated one."""
    with nullcontext() if torch.cuda.is_available() else emulated():
        yield CUDA
