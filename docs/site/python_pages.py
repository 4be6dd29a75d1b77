"""The pages of the Python interface: every public name of voxshift in one of its chapters, and a page for each package below."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path
from typing import Any

WITHOUT_ALL = {"torch.minkowski", "train"}
PACKAGE = Path(__file__).resolve().parents[2] / "python" / "voxshift"

# Page -> its title, its first sentence and the names on it, in order. What is on none is on the last.
CHAPTERS: dict[str, tuple[str, str, str]] = {
    "models": (
        "Models",
        "Networks with their weights, and what people ask of them: labels, boxes, what a video shows.",
        "Model Detector Detections Recognizer FrameResult FrameCost LabelSmoother ClassInfo calibrate_skip quantize convert read_checkpoint "
        "save_onnx graph_ops",
    ),
    "files": (
        "Files, scores and simulators",
        "Scans from files and from simulators, and how good labels and boxes are.",
        "read_points PointCloud prepare_points read_kitti_labels read_kitti_calibration from_open3d to_open3d train_ids ConfusionMatrix "
        "evaluate_detections synth_lidar synth_video synth_video_classes",
    ),
    "sparse": (
        "Sparse tensors",
        "Tensors with coordinates, and convolutions and pooling on them.",
        "SparseTensor Coordinates conv conv_transpose generative_conv_transpose kernel_map max_pool avg_pool sum_pool global_max_pool "
        "global_avg_pool global_sum_pool cat add union_add select_rows to_dense from_dense",
    ),
    "points": (
        "Points and voxels",
        "From points to voxels and back, neighbours, samples, groups; [their definitions](../../operators/README.md).",
        "voxelize Voxels voxelize_features devoxelize trilinear dense_grid_coords voxelize_dense devoxelize_dense knn_search NearestNeighbors "
        "fixed_radius_search hybrid_search RaggedNeighbors ball_query furthest_point_sample gather group three_nearest interpolate Interpolation",
    ),
    "rows": (
        "Rows, boxes and images",
        "Operators on rows of features, on boxes and on frames of a video.",
        "linear affine batch_norm sum_rows argmax boxes_iou_bev boxes_iou3d nms_bev circle_nms conv2d max_pool2d avg_pool2d global_avg_pool2d "
        "temporal_shift StreamingShift MaskedLayer",
    ),
    "gradients": ("Gradients", "What a training loop outside of PyTorch calls; with PyTorch, [voxshift.torch](torch.md).", "*_backward"),
    "library": (
        "The library",
        "Devices, threads, memory, errors.",
        "build_info __version__ num_threads set_num_threads ThreadPool synchronize set_memory_cache to_device DeviceArray OpaqueObject Error "
        "InvalidArgument IoError BackendUnavailable DeviceError OutOfMemory",
    ),
}


def assigned(tree: ast.Module) -> list[str] | None:
    """__all__ as a module has it, less what it takes over from a module below, which has a page of its own."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__" and isinstance(node.value, ast.List):
            return [ast.literal_eval(name) for name in node.value.elts if isinstance(name, ast.Constant)]
    return None


def public_names(source: Path) -> list[str]:
    """Names of ours that a module offers: its __all__, else what it imports or defines, without an underscore."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names, imports = assigned(tree), [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    foreign = {alias.name for node in imports if not (node.module or "").startswith("voxshift") for alias in node.names}
    if names is None:
        imports = [node for node in imports if (node.module or "").startswith("voxshift")]
        names = [alias.asname or alias.name for node in imports for alias in node.names]
        names += [node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    return [name for name in names if name == "__version__" or not (name.startswith("_") or name in foreign)]


def chapters() -> dict[str, list[str]]:
    """Chapter -> its names. Each public name is in one."""
    left = public_names(PACKAGE / "__init__.py")
    found = {}
    for chapter, (_, _, words) in CHAPTERS.items():
        wanted = words.split() if words != "*_backward" else [name for name in left if name.endswith("_backward")]
        missing = [name for name in wanted if name not in left]
        if missing:
            raise ValueError(f"docs/site/python_pages.py: {chapter} has {missing}, which voxshift has not, or has twice")
        left = [name for name in left if name not in wanted]
        found[chapter] = wanted
    found["library"] += left
    return found


def names_module(source: Path, name: str) -> bool:
    """Whether `name` is the module of this name, and not what the module has of it."""
    imports = [node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.ImportFrom)]
    return not any((node.module or "").endswith(f".{name}") and name in [alias.name for alias in node.names] for node in imports)


def made(source: Path) -> set[str]:
    """Names that several at once are assigned to, such as `a, b = f()`: what they are is seen when the program runs."""
    assignments = [node for node in ast.parse(source.read_text(encoding="utf-8")).body if isinstance(node, ast.Assign)]
    return {name.id for node in assignments if isinstance(node.targets[0], ast.Tuple) for name in node.targets[0].elts}


@functools.cache
def packages() -> dict[str, Path]:
    """Page -> the source of each module below voxshift that has an __all__, and of the packages that have none."""
    found = {}
    for source in sorted(PACKAGE.rglob("*.py")):
        parts = source.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        package = ".".join(parts)
        if package and not re.search(r"(^|\.)_", package):
            if package in WITHOUT_ALL or assigned(ast.parse(source.read_text(encoding="utf-8"))):
                found[package] = source
    return found


def block(name: str, level: int, **options: Any) -> str:
    lines = "".join(f"      {option}: {value}\n" for option, value in options.items())
    return f"::: {name}\n    options:\n      heading_level: {level}\n{lines}\n"


def pages() -> dict[str, str]:
    """The site's page -> its Markdown."""
    found = {}
    for chapter, names in chapters().items():
        title, sentence, _ = CHAPTERS[chapter]
        found[f"api/python/{chapter}.md"] = f"# {title}\n\n{sentence}\n\n" + "".join(block(f"voxshift.{name}", 2) for name in names)
    for package, source in packages().items():
        names = [name for name in public_names(source) if f"{package}.{name}" not in packages()]
        text = block(f"voxshift.{package}", 1, members="[]", show_root_full_path="true")
        # A function of a module of the same name would be taken for that module.
        inner = {name: f"{name}.{name}" for name in names if (source.parent / f"{name}.py").is_file() and not names_module(source, name)}
        text += "".join(block(f"voxshift.{package}.{inner.get(name, name)}", 2) for name in names if name not in made(source))
        if others := [f"`{name}`" for name in names if name in made(source)]:
            text += f"Made of others as the module is imported: {', '.join(others)}.\n"
        found[f"api/python/{package}.md"] = text
    return found


def fill_navigation(nav: list[Any]) -> None:
    """Puts the pages where mkdocs.yml has a place for them, an empty list named Python."""
    for entry in nav:
        for title, below in entry.items() if isinstance(entry, dict) else ():
            if title == "Python" and below == []:
                below += [{CHAPTERS[chapter][0]: f"api/python/{chapter}.md"} for chapter in CHAPTERS]
                below += [{package: f"api/python/{package}.md"} for package in packages()]
            elif isinstance(below, list):
                fill_navigation(below)
