"""How figures are written, and rows of them as Markdown tables."""

NONE = "–"


def table(header, rows):
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ms(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(value):
    return f"{100 * value:.1f} %"


def times(value):
    return f"{value:.2f} x"


def megabytes(value):
    return f"{value / 1e6:.0f} MB"


def both(entry, name="of_limit"):
    return f"{percent(entry[name + '_median'])} / {percent(entry[name + '_best'])}"


def pick(entries, kind, threads):
    """Entries NAME of `kind`/... on a number of threads."""
    return [e for e in entries if e["name"].split("/")[0] == kind and e["on_threads"] == threads]


def lowest(entries, name="of_limit"):
    """Range of one figure as the lowest median and the lowest best of some entries."""
    if not entries:
        return NONE
    return f"{percent(min(e[name + '_median'] for e in entries))} / {percent(min(e[name + '_best'] for e in entries))}"


def median_and_best(entry, name):
    """Milliseconds."""
    return f"{ms(entry[name + '_median_ms'])} / {ms(entry[name + '_best_ms'])} ms"


def ratio(entry, name, other):
    """One time of an entry over another."""
    return " / ".join(times(entry[f"{name}_{which}_ms"] / entry[f"{other}_{which}_ms"]) for which in ("median", "best"))


def measured_apart(results, key, name):
    """Says where a part was measured by itself, after the rest."""
    whole, part = results["machine"], results.get(key, results["machine"])
    same = all(whole[what] == part[what] for what in ("commit", "date"))
    return "" if same else f" {name} at {part['commit']}, {part['date']}."
