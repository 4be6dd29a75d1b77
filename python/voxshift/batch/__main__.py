"""Labels scans of a data lake: on a Ray cluster, or by processes of this machine."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, redirect_stdout
from typing import TYPE_CHECKING, Any, Optional, TextIO

import voxshift as vs
from voxshift.batch.labeller import Labeller
from voxshift.batch.listing import Scan, absolute, list_scans
from voxshift.batch.locally import label_locally
from voxshift.batch.model_file import DEFAULT, model_place
from voxshift.batch.on_ray import Workers, connect, fitting, label_on_ray
from voxshift.batch.record import EXTENSION
from voxshift.batch.storage import Storage, below, last_part, one_line
from voxshift.batch.summary import Summary, draw_sample

if TYPE_CHECKING:
    import pyarrow

PROGRAM = "voxshift.batch"
PICTURE = "sample.png"


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def coordinates(text: str) -> list[float]:
    values = [float(value) for value in text.split(",")]
    if len(values) != 3:
        raise ValueError
    return values


def parser() -> argparse.ArgumentParser:
    """The options."""
    program = argparse.ArgumentParser(prog=f"python -m {PROGRAM}", description=__doc__, epilog="docs/cluster.md says more.")
    add = program.add_argument
    add("inputs", nargs="+", metavar="INPUT", help="scans and folders of scans: paths, or URIs as s3://bucket/scans")
    add("--out", required=True, metavar="URI", help="folder for the labels, a path or URI")
    add("--model", default=DEFAULT, help="model file by path or URI, or a trained model (default %(default)s)")
    add("--ray-address", metavar="A", help="of the cluster, as auto or HOST:6379; default RAY_ADDRESS, else one is started here")
    add("--local", type=positive, metavar="N", help="without Ray: N processes of this machine")
    add("--workers", type=positive, metavar="N", help="actors; default as many as the cluster has room for")
    add("--cpus", type=positive, default=1, metavar="K", help="processors of a worker, and its model's threads (default %(default)s)")
    add("--gpus", type=float, default=0, metavar="G", help="GPUs of a worker, which then computes there (default 0)")
    add("--batch", type=positive, metavar="N", help="scans that a worker is given at a time (default up to 16)")
    add("--device", help="cpu or cuda; default cuda with --gpus, else cpu")
    add("--dtype", default="auto", choices=["auto", "f32", "f16", "bf16", "i8"], help="as of `voxshift segment` (default auto)")
    add("--preprocess", metavar="PROFILE", help="profile in place of the model's")
    add("--sensor", metavar="NAME", help="what made the scans, as of `voxshift segment`")
    add("--columns", type=positive, metavar="N", help="float32 values per point of a .bin")
    add("--remission-scale", type=float, metavar="S", help="remission of a perfect reflector")
    add("--origin", type=coordinates, metavar="X,Y,Z", help="where the sensor is in the files' coordinates")
    add("--redo", action="store_true", help="label also what is labelled already")
    add("--rows", metavar="FILE", help="write a line of JSON per scan as it is done; - for standard output")
    add("--report", metavar="FILE", help="write the summary as JSON")
    add("--picture", metavar="FILE", help=f"where the picture of a sample goes (default {PICTURE} in --out); none for none")
    return program


def say(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr)


def labeller_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Of Labeller."""
    return {
        "out": options.out, "model": model_place(options.model, options.dtype), "device": options.device,
        "dtype": options.dtype, "profile": options.preprocess, "sensor": options.sensor, "columns": options.columns,
        "remission_scale": options.remission_scale, "origin": options.origin, "redo": options.redo,
    }  # fmt: skip


def tables(options: argparse.Namespace, scans: Sequence[Scan], arguments: dict[str, Any]) -> Iterator[pyarrow.Table]:
    """A table per batch, from the cluster or from this machine."""
    if options.local:
        say(f"without Ray: {options.local} processes on this machine")
        return label_locally(scans, arguments, options.local, options.batch)
    where = connect(options.ray_address)
    workers = Workers(options.workers, options.cpus, options.gpus)
    workers.count = workers.count or min(fitting(workers), len(scans))
    say(f"{where}: {workers.count} workers of {options.cpus} CPUs and {options.gpus:g} GPUs")
    return label_on_ray(scans, arguments, workers, options.batch)


class Bar:
    """A progress bar where standard error is a terminal and tqdm is there."""

    def __init__(self, total: int) -> None:
        self.bar: Any = None
        if sys.stderr.isatty():
            try:
                import tqdm
            except ModuleNotFoundError:
                return
            self.bar = tqdm.tqdm(total=total, unit="scan", file=sys.stderr)

    def add(self, rows: Sequence[dict[str, Any]]) -> None:
        """Errors are said at once."""
        for row in rows:
            if row["error"]:
                if self.bar is not None:
                    self.bar.clear()
                say(row["error"])
        if self.bar is not None:
            self.bar.update(len(rows))

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def write_rows(stream: Optional[TextIO], rows: Sequence[dict[str, Any]]) -> None:
    if stream is None:
        return
    for row in rows:
        print(json.dumps(row, default=lambda value: value.isoformat()), file=stream)
    stream.flush()


def picture_options(options: argparse.Namespace) -> list[str]:
    given = {"--dtype": options.dtype, "--preprocess": options.preprocess, "--sensor": options.sensor,
             "--columns": options.columns, "--remission-scale": options.remission_scale}  # fmt: skip
    words = [str(word) for pair in given.items() if pair[1] is not None for word in pair]
    return words + (["--origin=" + ",".join(map(str, options.origin))] if options.origin else [])


def finish(options: argparse.Namespace, storage: Storage, arguments: dict[str, Any], summary: Summary) -> None:
    print(summary.text())
    if options.report:
        storage.write(absolute(options.report, storage), summary.to_json())
    place = options.picture or below(options.out, PICTURE)
    if place == "none" or summary.sample is None:
        return
    try:
        storage.write(absolute(place, storage), draw_sample(storage, summary.sample, arguments["model"], picture_options(options)))
        print(f"{summary.sample} -> {place}")
    except OSError as error:
        say(f"no picture: {error}")


def run(options: argparse.Namespace) -> int:
    storage = Storage()
    options.out = absolute(options.out, storage)
    arguments = labeller_arguments(options)
    scans = list_scans(storage, options.inputs, options.out)
    model = Labeller(**{**arguments, "device": "cpu"}, threads=1).load().model  # a bad one ends the job before it begins
    summary = Summary([info.name for info in model.classes])
    with ExitStack() as stack:
        rows_file: Optional[TextIO] = sys.stdout if options.rows == "-" else None
        stack.enter_context(redirect_stdout(sys.stderr))  # Ray tells there of workers that end
        if options.rows and rows_file is None:
            rows_file = stack.enter_context(open(options.rows, "w", encoding="utf-8"))
        bar = Bar(len(scans))
        stack.callback(bar.close)
        for table in tables(options, scans, arguments):
            rows = summary.add(table)
            bar.add(rows)
            write_rows(rows_file, rows)
    labels = {last_part(scan.label) for scan in scans}
    storage.remove_unfinished(options.out, labels | {label + EXTENSION for label in labels})
    finish(options, storage, arguments, summary)
    return 1 if summary.errors else 0


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Exit status: 0 all scans are labelled, 1 some are not, or the job could not be done, 2 usage."""
    options = parser().parse_args(arguments)
    try:
        return run(options)
    except (vs.Error, OSError, ImportError) as error:
        say(one_line(error))
    except KeyboardInterrupt:
        say("interrupted; the same command goes on with what is not labelled")
    return 1


if __name__ == "__main__":
    sys.exit(main())
