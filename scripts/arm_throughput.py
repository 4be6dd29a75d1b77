"""Prints what llvm-mca predicts for the inner loops of the register-tiled product: arm_throughput.py COMMANDS, where
COMMANDS is the compile_commands.json of a build for 64-bit Arm. Exit status 1 when the tiles are too slow or spill."""

import json
import re
import shlex
import shutil
import subprocess
import sys

SOURCE = "kernels_cpu/sparse_conv.cpp"
FUNCTION = "multiply_panels"  # every tile is inlined into it
CPU = "neoverse-n1"
FMLA_PER_CYCLE = 2  # of CPU
LEAST = 0.85  # of that, for the main tile
PANEL_VECTORS = 4  # 16 floats
ITERATIONS = 1000


def compile_to_assembly(commands):
    """The assembly of SOURCE under the options that the library has."""
    [entry] = [entry for entry in commands if entry["file"].endswith("/" + SOURCE)]
    command = shlex.split(entry["command"])
    command[command.index("-c")] = "-S"
    command[command.index("-o") + 1] = "-"
    return subprocess.run(command, cwd=entry["directory"], check=True, text=True, stdout=subprocess.PIPE).stdout


def inner_loops(assembly):
    """The loops of FUNCTION that multiply: straight runs of instructions from a label to the branch back to it."""
    loops, block, label, inside = [], [], "", False
    for line in map(str.strip, assembly.splitlines()):
        if found := re.match(r"([.\w$]+):", line):
            label, block = found[1], []
            inside = FUNCTION in label if not label.startswith(".") else inside
        elif inside and line and not line.startswith((".", "/", "#")):
            block.append(line)
            if re.match(rf"(b\.?[a-z]{{2}}|cbn?z)\b.*{re.escape(label)}$", line) and fmla_of(block):
                loops.append(block)
    return loops


def fmla_of(loop):
    return [line for line in loop if line.startswith("fmla")]


def rows_of(loop):
    """Rows of the tile: an iteration is one input channel, which takes one FMLA for each vector of each row."""
    return len(fmla_of(loop)) // PANEL_VECTORS


def stack_accesses(loop):
    """Loads and stores of spilled registers: those through the stack or the frame pointer."""
    return sum(bool(re.search(r"\[(sp|x29)\b", line)) for line in loop)


def cycles(loop):
    """Simulated cycles per iteration, caches hit."""
    mca = next(filter(None, (shutil.which(f"llvm-mca-{version}") for version in range(40, 18, -1))), None)
    if mca is None:
        sys.exit("arm_throughput: no llvm-mca-19 or newer, expected from the package llvm-19")
    command = [mca, "-mtriple=aarch64", f"-mcpu={CPU}", f"-iterations={ITERATIONS}", "-json"]
    report = subprocess.run(command, input="\n".join(loop), check=True, text=True, stdout=subprocess.PIPE).stdout
    return json.loads(report)["CodeRegions"][0]["SummaryView"]["TotalCycles"] / ITERATIONS


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        loops = inner_loops(compile_to_assembly(json.load(file)))
    if not loops:
        sys.exit(f"arm_throughput: {SOURCE} has no inner loop with FMLA in {FUNCTION}")
    print(f"{CPU}, {FMLA_PER_CYCLE} FMLA a cycle at most\n\n  tile     FMLA   cycles   of peak   stack accesses")
    rates, spills = [], 0
    for loop in sorted(loops, key=rows_of, reverse=True):
        fmla, simulated, stack = len(fmla_of(loop)), cycles(loop), stack_accesses(loop)
        rates.append(fmla / simulated / FMLA_PER_CYCLE)
        spills += stack
        print(f"{rows_of(loop):>3} x 16 {fmla:>6} {simulated:>8.2f} {rates[-1]:>8.1%} {stack:>12}")
    if spills or rates[0] < LEAST:
        sys.exit(f"\nFAILED: expected the main tile at {LEAST:.0%} or more and no stack access in any")
    print("\nA tile of one row ends lists only: its four accumulators cannot hide the latency of four cycles.")


main()
