"""What a run writes: each file whole or not at all."""

import csv
import io
import os

import torch


class Failure(Exception):
    """What ends a program with status 1 and one line."""


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


def write_metrics(out, rows, score):
    """metrics.csv, and metrics.png where there is matplotlib, of the rows of all evaluations."""

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
