"""The table of what skipping saves and loses with the trained model."""

from figures import percent, table
from video_tables import of_dense

STATIC = "motions, static camera"


def parts(entry):
    """The clips and the mode of an entry."""
    _, clips, mode, _ = entry["name"].split("/")
    return clips, mode


def summary(results):
    """The summary's rows."""
    entries = {(*parts(e), e["on_threads"]): e for e in results.get("video_skip", {}).get("clips", [])}
    if (STATIC, "auto", 1) not in entries:
        return []
    auto, off = ({n: entries[STATIC, mode, n] for n in (1, 2)} for mode in ("auto", "off"))
    lost = 100 * (off[1]["accuracy"] - auto[1]["accuracy"])
    highest = {n: max(of_dense(e, "best") for (_, mode, on), e in entries.items() if on == n and mode != "off") for n in (1, 2)}
    return [
        ["trained model, any clips and any mode of `--skip`: mean time of a dense frame's, highest, 1 / 2 threads",
         " / ".join(f"{highest[n]:.3f} x" for n in (1, 2)), "1.03 x"],
        ["trained model, clips with a static camera, `--skip auto`: mean time of a dense frame's, 1 / 2 threads",
         " / ".join(f"{of_dense(auto[n], 'best'):.2f} x" for n in (1, 2)), "0.6 x"],
        [f"its accuracy, dense {percent(off[1]['accuracy'])}: points lost by `auto`", f"{lost:.1f}", "1"],
    ]


def skip_table(results):
    """What every mode saves and loses."""
    if "video_skip" not in results:
        return []

    def row(entry):
        clips, mode = parts(entry)
        word, _, rest = mode.partition(" ")
        accuracy = percent(entry["accuracy"]) if "accuracy" in entry else "\u2013"
        return [clips, f"`{word}`" + (f", {rest}" if rest else ""), f"{entry['on_threads']:.0f}",
                f"{entry['push_best_ms']:.2f}", f"{of_dense(entry, 'best'):.3f}", f"{entry['mac_fraction']:.3f}",
                percent(entry["skipped"]), percent(entry["changed_pixels"]), f"{entry['logit_change']:.3f}",
                percent(entry["same_labels"]), accuracy]

    text = ("The trained `tsm-mobilenetv2-motions`, frames of 128 x 128, each mode beside dense frames, 16 frames in turn: on held-out "
            "synthetic clips of 32 frames with a sensor's noise, five of every motion, and on real clips, whose motions it was not "
            "trained for. ms, share of dense and MAC fraction are means over all frames, first frames too, of each frame the "
            "best of its repeats. `auto` takes the thresholds of the model file, calibrated on other synthetic clips.")
    header = ["clips", "`--skip`", "threads", "ms", "of dense", "MAC fraction", "frames skipped", "pixels changed",
              "change of logits", "labels as dense", "accuracy"]
    return [f"### What skipping saves\n\n{text}\n\n" + table(header, list(map(row, results["video_skip"]["clips"])))]
