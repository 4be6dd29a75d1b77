"""Prints what llvm-mca predicts for the inner loops of the CPU kernels: arm_throughput.py COMMANDS, where COMMANDS is
the compile_commands.json of a build for 64-bit Arm. Exit status 1 when a main loop is too slow or a tile spills."""

import json
import re
import shlex
import shutil
import subprocess
import sys

CPU = "neoverse-n1"
FMLA_PER_CYCLE = 2  # of CPU
PANEL_VECTORS = 4  # 16 floats
TAPS = 9  # of a 3 x 3 filter
ITERATIONS = 1000

# What is printed, source, function that all of its tiles are inlined into, FMLA that one row of a tile takes per
# iteration, least share of FMLA_PER_CYCLE in the highest tile, whether no tile may spill.
KERNELS = [
    ("3-D convolution, rows picked by index", "kernels_cpu/matmul.cpp", "multiply_panels", PANEL_VECTORS, 0.85, True),
    ("2-D pointwise, rows at equal distances", "kernels_cpu/pixel_tile.cpp", "strided_tiles_of", PANEL_VECTORS, 0.85, True),
    ("2-D convolution, rows picked by pointer", "kernels_cpu/pixel_tile.cpp", "picked_tile_of", PANEL_VECTORS, 0.85, True),
    ("depthwise 3 x 3, outputs side by side", "kernels_cpu/fused_block.cpp", "filter_groupILi3ELi1E", TAPS, 0.60, False),
    ("depthwise 3 x 3 of stride 2", "kernels_cpu/fused_block.cpp", "filter_groupILi3ELi2E", TAPS, 0.60, False),
]


def compile_to_assembly(commands, source):
    """The assembly of a source under the options that the library has."""
    [entry] = [entry for entry in commands if entry["file"].endswith("/" + source)]
    command = shlex.split(entry["command"])
    command[command.index("-c")] = "-S"
    command[command.index("-o") + 1] = "-"
    return subprocess.run(command, cwd=entry["directory"], check=True, text=True, stdout=subprocess.PIPE).stdout


def inner_loops(assembly, function):
    """The loops of a function that multiply: straight runs of instructions from a label to the branch back to it."""
    loops, block, label, inside = [], [], "", False
    for line in map(str.strip, assembly.splitlines()):
        if found := re.match(r"([.\w$]+):", line):
            label, block = found[1], []
            inside = function in label if not label.startswith(".") else inside
        elif inside and line and not line.startswith((".", "/", "#")):
            block.append(line)
            if re.match(rf"(b\.?[a-z]{{2}}|cbn?z)\b.*{re.escape(label)}$", line) and fmla_of(block):
                loops.append(block)
    return loops


def fmla_of(loop):
    return [line for line in loop if line.startswith("fmla")]


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


def report(title, source, function, fmla_per_row, least, no_spills, commands):
    """Prints a table of the tiles of a function; whether they are good enough."""
    loops = {}  # by rows of the tile the shortest: a longer one is the loop around it
    for loop in inner_loops(compile_to_assembly(commands, source), function):
        rows, rest = divmod(len(fmla_of(loop)), fmla_per_row)
        if rest == 0 and (rows not in loops or len(loop) < len(loops[rows])):
            loops[rows] = loop
    if not loops:
        sys.exit(f"arm_throughput: {source} has no inner loop with FMLA in {function}")
    print(f"\n{title}: {function} of {source}\n  rows     FMLA   cycles   of peak   stack accesses")
    rates, spills = [], 0
    for rows, loop in sorted(loops.items(), reverse=True):
        fmla, simulated, stack = len(fmla_of(loop)), cycles(loop), stack_accesses(loop)
        rates.append(fmla / simulated / FMLA_PER_CYCLE)
        spills += stack
        print(f"{rows:>6} {fmla:>8} {simulated:>8.2f} {rates[-1]:>9.1%} {stack:>16}")
    good = rates[0] >= least and (spills == 0 or not no_spills)
    if not good:
        print(f"FAILED: expected the highest tile at {least:.0%} or more" + " and no stack access" * no_spills)
    return good


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        commands = json.load(file)
    print(f"{CPU}, {FMLA_PER_CYCLE} FMLA a cycle at most")
    good = [report(*kernel, commands) for kernel in KERNELS]
    print("\nA tile of one row ends lists only: its four accumulators cannot hide the latency of four cycles.")
    sys.exit(not all(good))


main()
