"""Every program on the pages of the documentation is run, or stands in examples, or says why not."""

import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from doc_blocks import NO_PROGRAMS, PAGES, PROGRAMS, ROOT, blocks, own_test_of

COMMAND = os.environ.get("VOXSHIFT_COMMAND")
THIN = 31  # every so manieth point of a simulated scan
RUN_HERE = [page for page in PAGES if not own_test_of(page)]
PYTHON = [block for page in RUN_HERE for block in blocks(page) if block.language == "python" and not block.reason]
SHELL = [page for page in RUN_HERE if any(block.language == "sh" and not block.reason for block in blocks(page))]
COMPILED = [block for page in PAGES for block in blocks(page) if block.language in ("cpp", "c") and not block.reason]
# Lines that are left out, and why; and what is made smaller.
LEFT_OUT = {
    r"--device cuda": "there is no GPU",
    r"^voxshift view|^xvfb-run": "tests/apps/view_command_test.py has the windows",
    r"^voxshift recognize 0 ": "there is no camera",
}
SMALLER = {
    r"--count \d+": "--count 1",
    r"--synthetic \d+": "--synthetic 1",
    r"^voxshift calibrate": "voxshift calibrate --max-frames 3",
    r"^voxshift new (?=spvcnn|tsm)": "voxshift new --width 0.25 ",
    r"--width 1\.0 ": "",
    r"^voxshift synth video": "voxshift synth video --frames 6",
}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page):
    for block in blocks(page):
        assert block.language in PROGRAMS | NO_PROGRAMS, f"{block}: a block of {block.language or 'no language'}"
        assert not block.reason or block.language in PROGRAMS, f"{block}: a reason for what is no program"


def test_no_block_escapes():
    """As many blocks as fences: none is indented or fenced so that it is not found."""
    for page in PAGES:
        fences = re.findall(r"(?m)^\s*(?:```|~~~)", (ROOT / page).read_text(encoding="utf-8"))
        assert len(fences) == 2 * len(blocks(page)), page


def test_every_page_says_that_its_test_is_there():
    for page in ("docs/deploy.md", "docs/quantize.md"):
        assert own_test_of(page) and page not in RUN_HERE


def words(text):
    return " ".join(text.split())


@pytest.mark.parametrize("block", COMPILED, ids=str)
def test_c_and_cpp_stand_in_examples(block):
    examples = [words(file.read_text(encoding="utf-8")) for file in (ROOT / "examples").glob(f"*.{block.language}")]
    parts = [words(part) for part in block.text.split("\n\n")]
    assert any(all(part in example for part in parts) for example in examples), f"{block} is in no file of examples"


def save_scans(folder):
    """scan.bin, and thin scans with labels and boxes where the pages have them."""
    run(f"{COMMAND} synth lidar --seed 1 --count 1 --boxes -o made", folder)
    for path, row in ((folder / "made/velodyne/000000.bin", 16), (folder / "made/labels/000000.label", 4)):
        np.fromfile(path, np.uint8).reshape(-1, row)[::THIN].tofile(path)
    shutil.copy(folder / "made/velodyne/000000.bin", folder / "scan.bin")
    for name in ("folder", "velodyne"):
        shutil.copytree(folder / "made/velodyne", folder / name)
    for name in ("labels", "calib"):
        shutil.copytree(folder / f"made/{name}", folder / name)
    shutil.copytree(folder / "made", folder / "sample")
    shutil.copytree(folder / "made/labels", folder / "results/sequences/08/predictions")
    shutil.copytree(folder / "made/labels", folder / "dataset/sequences/08/labels")


def save_models(folder):
    run(f"{COMMAND} new minkunet --width 0.125 --seed 1 -o minkunet.safetensors", folder)
    run(f"{COMMAND} new tsm-mobilenetv2 --width 0.25 --seed 1 -o tsm.safetensors", folder)
    run(f"{COMMAND} synth video --seed 1 --frames 6 -o clip", folder)
    for name in ("clip.mp4", "my_clip.mp4", "other_clip.mp4"):
        shutil.copy(folder / "clip/000000.mkv", folder / name)


def save_network(folder):
    """A checkpoint, and a network on voxels with its input."""
    torch = pytest.importorskip("torch")
    from convert_networks import Spvnas
    from convert_oracle import Net, scan

    net, x = Net("torchsparse"), scan(4)
    Spvnas(net).minkunet(x)
    torch.save({"state_dict": net.state}, folder / "checkpoint.pth")
    np.save(folder / "coords.npy", x.cells.astype(np.int32))
    np.save(folder / "feats.npy", x.features.float().numpy())
    run(f"{COMMAND} convert checkpoint.pth -o net.safetensors", folder)


def run(script, folder):
    (folder / "bin").mkdir(exist_ok=True)
    for name, target in (("voxshift", COMMAND), ("python", sys.executable)):
        if target and not (folder / "bin" / name).exists():
            (folder / "bin" / name).symlink_to(target)
    path = f"{folder / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"


@pytest.mark.skipif(not COMMAND, reason="VOXSHIFT_COMMAND does not name the command to test")
@pytest.mark.parametrize("page", SHELL)
def test_commands_of_a_page_run(page, tmp_path):
    save_scans(tmp_path)
    save_models(tmp_path)
    save_network(tmp_path)
    for block in (block for block in blocks(page) if block.language == "sh" and not block.reason):
        for line in block.text.replace("\\\n", " ").splitlines():
            if not any(re.search(pattern, line) for pattern in LEFT_OUT):
                for pattern, smaller in SMALLER.items():
                    line = re.sub(pattern, smaller, line)
                run(line, tmp_path)


def names_for(page):
    """What the programs of a page stand behind, as the page says."""
    import voxshift as vs

    scan = vs.synth_lidar(seed=1)[0][::THIN]
    if page.startswith("docs/operators/"):
        return {"np": np, "vs": vs}
    if page == "docs/graph.md":
        node = {"name": "name of a node", "op": "conv", "inputs": ["input"], "parameters": {"weight": "name of a tensor"}, "kernel_size": [3, 3, 3]}
        graph = {"input": "voxels", "dims": 3, "in_channels": 4, "nodes": [node], "outputs": ["name of a node"]}
        return {"vs": vs, "graph": graph, "weight": np.zeros((27, 4, 8), np.float32), "x": vs.voxelize(scan).tensor}
    if page == "docs/evaluation.md":
        boxes = np.array([[5, 0, -1, 4, 2, 1.5, 0], [9, 3, -1, 1, 1, 1.7, 0]], np.float32)
        return {"pairs": [("labels/000000.label",) * 2], "boxes": boxes, "points": [50, 20], "scores": np.array([0.9, 0.5], np.float32)}
    return {}


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_a_pasted_program_runs(block, tmp_path, monkeypatch):
    for library in ("torch", "scipy"):
        if library in block.text:
            pytest.importorskip(library)
    if block.page == "docs/evaluation.md":
        if not COMMAND:
            pytest.skip("VOXSHIFT_COMMAND does not name the command that simulates its files")
        save_scans(tmp_path)
    monkeypatch.chdir(tmp_path)
    if "torchsparse" in block.text:
        from voxshift.torch import torchsparse

        with torchsparse.following("2.1"):  # a program may set another version
            exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})
    else:
        exec(compile(block.text, str(block), "exec"), {"__name__": "__main__", **names_for(block.page)})


def test_there_are_programs_of_every_kind():
    assert len(PYTHON) >= 15 and len(SHELL) >= 4 and len(COMPILED) >= 14
