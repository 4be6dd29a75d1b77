"""The tables of training."""

from figures import megabytes, ms, percent, table, times

STAGES = ["inference", "forward", "backward", "optimizer", "step"]


def both(entry, name):
    return f"{times(entry[name + '_median'])} / {times(entry[name + '_best'])}"


def summary(results):
    """The summary's rows."""
    if "training" not in results:
        return []
    training = results["training"]
    rows = []
    for step in training["steps"]:
        step_of = f"a training step of {training['network']}, {step['threads']} threads"
        rows += [[f"{step_of}: time of its inference", both(step, "of_inference"), "4 x"],
                 [f"{step_of}: faster than plain PyTorch {training['check']['torch']}", both(step, "faster"), "3 x"]]
    return rows


def details(results):
    """The section of docs/benchmarks.md."""
    if "training" not in results:
        return []
    training = results["training"]
    check = training["check"]

    def rows(step):
        for side, name in (("voxshift", "voxshift"), ("torch", f"plain PyTorch {check['torch']}")):
            timings = step[side]
            for which in ("median", "best"):
                cells = [ms(timings[stage][f"{which}_ms"]) if stage in timings else "" for stage in STAGES]
                yield [name, f"{step['threads']}", which, *cells, megabytes(step[f"{side}_peak_rss_bytes"])]

    first = training["steps"][0]
    text = (f"### Training\n\nOne step of {training['network']} on {first['voxels']} voxels of the scan: forward with "
            f"cross-entropy, backward, AdamW; inference takes {first['macs'] / 1e9:.1f} GMAC. Milliseconds; our coordinates "
            f"and kernel maps are within our times. Loss {check['loss']:.5f}, relative difference of the losses "
            f"{check['loss_different']:.1e}, of all gradients {check['gradient_different']:.1e}.\n\n")
    ratios = "\n\n".join(
        f"On {step['threads']} threads, median / best: our step takes {both(step, 'of_inference')} of our inference, plain "
        f"PyTorch's {both(step, 'faster')} of ours; our memory is "
        f"{percent(step['voxshift_peak_rss_bytes'] / step['torch_peak_rss_bytes'])} of its." for step in training["steps"])
    header = ["library", "threads", "", *STAGES, "peak memory"]
    return [text + table(header, [row for step in training["steps"] for row in rows(step)]) + "\n\n" + ratios]
