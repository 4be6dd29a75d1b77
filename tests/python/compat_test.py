"""Model code under compat(): other libraries' names, missing extensions, and CUDA where there is none; all of it gone
after.
"""

import importlib
import sys
import types

import pytest
import voxshift as vs
import voxshift.torch as vst
from sparse_torch import torch
from torch import nn

NAMES = (
    "spconv",
    "torchsparse",
    "MinkowskiEngine",
    "torch_scatter",
    "mmcv",
    "pointops",
    "flash_attn",
    "iou3d_nms_cuda",
)

needs_no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")


def theirs():
    return {name: module for name, module in sys.modules.items() if name.partition(".")[0] in NAMES}


def test_names_of_the_libraries_and_nothing_after():
    before = theirs()
    with vst.compat():
        import MinkowskiEngine as ME
        import MinkowskiEngine.MinkowskiFunctional as MEF
        import spconv
        import spconv.pytorch
        import torch_scatter
        import torchsparse.nn.functional as F
        from MinkowskiEngine.utils import sparse_quantize
        from mmcv.ops import SubMConv3d
        from spconv.pytorch import SparseConvTensor
        from spconv.pytorch.utils import PointToVoxel
        from torchsparse.nn.utils import get_kernel_offsets
        from torchsparse.utils.quantize import sparse_quantize as quantize

        assert ME is vst.minkowski and spconv.pytorch is vst.spconv and torch_scatter is vst.scatter
        assert MEF.relu is ME.MinkowskiFunctional.relu and F.spvoxelize and get_kernel_offsets and quantize
        assert SparseConvTensor is vst.spconv.SparseConvTensor and SubMConv3d is vst.spconv.v1.SubMConv3d
        assert spconv.__version__.startswith("2.") and sparse_quantize and PointToVoxel
    assert theirs() == before
    assert callable(F.spvoxelize)  # what was imported stays


def test_versions():
    with vst.compat(spconv=1, torchsparse="1.4"):
        import spconv
        import torchsparse

        assert spconv.SubMConv3d is vst.spconv.v1.SubMConv3d and torchsparse.version() == "1.4"
        with pytest.raises(ImportError):
            import spconv.pytorch
        with vst.compat(spconv=2, torchsparse="2.0"):
            assert torchsparse.version() == "2.0" and importlib.import_module("spconv.pytorch")
        assert sys.modules["spconv"] is spconv and torchsparse.version() == "1.4"
    assert vst.torchsparse.version() == "2.1"
    with pytest.raises(ValueError, match=r"^\[compat\] spconv expects 1 or 2, found 3"):
        with vst.compat(spconv=3):
            pass
    with pytest.raises(ValueError, match="version expects one of"):
        with vst.compat(torchsparse="9"):
            pass


def test_installed_libraries_come_back(monkeypatch):
    installed, part = types.ModuleType("spconv"), types.ModuleType("spconv.pytorch")
    monkeypatch.setitem(sys.modules, "spconv", installed)
    monkeypatch.setitem(sys.modules, "spconv.pytorch", part)
    mmcv = types.ModuleType("mmcv")
    mmcv.__path__, mmcv.ops = [], "its own"
    monkeypatch.setitem(sys.modules, "mmcv", mmcv)
    with pytest.raises(KeyError):
        with vst.compat():
            assert sys.modules["spconv"] is not installed and mmcv.ops.SparseConv3d is vst.spconv.v1.SparseConv3d
            raise KeyError
    assert sys.modules["spconv"] is installed and sys.modules["spconv.pytorch"] is part and mmcv.ops == "its own"


def test_missing_extensions_are_named_when_used():
    with vst.compat():
        import pointops
        from flash_attn.flash_attn_interface import flash_attn_varlen_func
        from iou3d_nms_cuda import boxes_iou_bev_gpu
        from mmcv.ops import nms_rotated

        class Layer(pointops.Grouping, nn.Module):
            pass

        with pytest.raises(ImportError, match=r"^\[compat\] pointops.knn is used, but the compiled extension pointops is"):
            pointops.knn(1, 2)
        for use, name in (
            (flash_attn_varlen_func, "flash_attn.flash_attn_interface"),
            (boxes_iou_bev_gpu, "iou3d_nms_cuda"),
        ):
            with pytest.raises(ImportError, match=f"the compiled extension {name} is not installed"):
                use(torch.zeros(1))
        with pytest.raises(ImportError, match="mmcv.ops.nms_rotated is used"):
            nms_rotated(1)
        with pytest.raises(ImportError, match="pointops.Grouping is used"):
            Layer()
        assert not isinstance(3, pointops.Grouping) and "not installed" in repr(pointops.a.b)
        with pytest.raises(ImportError):
            import surely_no_such_module  # noqa: F401
    with pytest.raises(ImportError):
        import pointops


@needs_no_cuda
def test_cuda_is_the_cpu():
    before = torch.Tensor.cuda, nn.Module.cuda, torch.cuda.synchronize, torch.cuda.FloatTensor
    with vst.compat():
        x = torch.zeros(2, 3, device="cuda").cuda(0).to("cuda:0", non_blocking=True).to(device=torch.device("cuda"))
        net = nn.Linear(3, 2, device="cuda").cuda().to("cuda")
        assert net(x).device.type == "cpu" and torch.tensor([1], device="cuda").device.type == "cpu"
        assert torch.randperm(3, device=x.get_device()).device.type == "cpu" and x.to(0).device.type == "cpu"
        assert torch.cuda.FloatTensor(2).device.type == "cpu" and x.new_zeros(2, device="cuda").shape == (2,)
        start = torch.cuda.Event(enable_timing=True)
        start.record()
        torch.cuda.synchronize()
        assert start.elapsed_time(start) == 0 and torch.cuda.current_device() == 0
        with torch.cuda.device(0), torch.cuda.stream(torch.cuda.Stream()):
            assert not torch.cuda.is_available()
        assert x.to(torch.float64).dtype == torch.float64
    assert before == (torch.Tensor.cuda, nn.Module.cuda, torch.cuda.synchronize, torch.cuda.FloatTensor)
    with pytest.raises((RuntimeError, AssertionError)):
        torch.zeros(1).cuda()


@needs_no_cuda
@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_saved_on_cuda_are_loaded_on_the_cpu(zipped, tmp_path, monkeypatch):
    path = tmp_path / "net.pth"
    with monkeypatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:1")
        torch.save({"w": torch.arange(3.0)}, path, _use_new_zipfile_serialization=zipped)
    before = torch.load, torch.cuda.device
    for where in [None, "cuda", torch.device("cuda:0"), {"cuda:1": "cuda:0"}, "cpu", 1, lambda storage, place: storage.cuda(0)]:
        with vst.compat():
            x = torch.load(path, map_location=where)["w"]
            assert isinstance(torch.cuda.device(0), torch.cuda.device)
        assert x.device.type == "cpu" and x.tolist() == [0, 1, 2]
    with vst.compat():
        assert torch.load(path)["w"].to(0).tolist() == [0, 1, 2] == torch.load(f=str(path))["w"].tolist()
    assert (torch.load, torch.cuda.device) == before
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(path)


CODE = """
import spconv.pytorch as spconv
import torch
from spconv.pytorch import SparseConvTensor
from torch import nn
from voxel_ops_cuda import voxelize


class Net(spconv.SparseModule):
    def __init__(self):
        super().__init__()
        self.net = spconv.SparseSequential(spconv.SubMConv3d(3, 6, 3, indice_key="a"), nn.BatchNorm1d(6), nn.ReLU(True))

    def forward(self, batch):
        x = SparseConvTensor(batch["feats"].cuda(), batch["coords"].cuda(), [8, 8, 8], 1 + int(batch["coords"][-1, 0]))
        return self.net(x)
"""


@needs_no_cuda
def test_model_code_of_a_file_is_exported(tmp_path, monkeypatch):
    (tmp_path / "their_net.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    with vst.compat():
        from their_net import Net

        coords = torch.unique(torch.randint(0, 8, (60, 4)) * torch.tensor([0, 1, 1, 1]), dim=0).int()
        model = vst.export(
            Net().cuda(), {"feats": torch.randn(len(coords), 3), "coords": coords}, tmp_path / "net.safetensors"
        )
    assert [node["op"] for node in vs.Model.load(tmp_path / "net.safetensors").graph["nodes"]] == [
        "conv",
        "batch_norm",
        "relu",
    ]
    assert model.graph["outputs"] == ["net.2"]
    assert Net().net  # after compat, with what it imported
    monkeypatch.delitem(sys.modules, "their_net")
