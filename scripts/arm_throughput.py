"""Prints what llvm-mca predicts for the inner loops of the CPU kernels: arm_throughput.py COMMANDS, where COMMANDS is
the compile_commands.json of a build for 64-bit Arm. Exit status 1 when a main loop is too slow or a tile spills."""

import dataclasses
import json
import re
import shlex
import shutil
import subprocess
import sys

PANEL_VECTORS = 4  # 16 floats
TAPS = 9  # of a 3 x 3 filter
ITERATIONS = 1000
FEATURES = "+dotprod,+fullfp16,+i8mm,+bf16"
RATES = {"neoverse-n1": 2, "neoverse-n2": 2, "neoverse-v1": 4}  # vector instructions a cycle


@dataclasses.dataclass(frozen=True)
class Kernel:
    title: str
    source: str
    function: str  # that all of its tiles are inlined into
    per_row: int  # instructions that one row of a tile takes per iteration
    least: float  # share of the rate in the highest tile
    instructions: tuple = ("fmla",)
    cpu: str = "neoverse-n1"
    rate: float = 0  # of these instructions a cycle; 0: RATES
    spills: bool = False  # a tile may spill


def narrow(title, source, tile, per_row, *instructions, **rest):
    """A tile of products of narrow numbers."""
    return Kernel(title, f"kernels_cpu/narrow_arm_{source}.cpp", f"narrow_arm_panel.*{tile}", per_row, 0.80, instructions, **rest)


KERNELS = [
    Kernel("3-D convolution, rows picked by index", "kernels_cpu/matmul.cpp", "multiply_panels", PANEL_VECTORS, 0.85),
    Kernel("2-D pointwise, rows at equal distances", "kernels_cpu/pixel_tile.cpp", "strided_tiles_of", PANEL_VECTORS, 0.85),
    Kernel("2-D convolution, rows picked by pointer", "kernels_cpu/pixel_tile.cpp", "picked_tile_of", PANEL_VECTORS, 0.85),
    # With the activation: ReLU6 that keeps a NaN is two comparisons and two selections.
    Kernel("depthwise 3 x 3, outputs side by side", "kernels_cpu/fused_tiles.cpp", "filter_groupILi3ELi1E", TAPS, 0.50, spills=True),
    Kernel("depthwise 3 x 3 of stride 2", "kernels_cpu/fused_tiles.cpp", "filter_groupILi3ELi2E", TAPS, 0.50, spills=True),
    # Multiplications of narrow integers have one of N1's two pipes.
    narrow("i8, NEON alone", "neon", "NeonPairs", 8, "smull", "smlal", rate=1),
    narrow("i8, dot product", "dot", "SignedDot", 16, "sdot"),
    narrow("i8, i8mm", "i8mm", "SignedMatrix", 4, "smmla", cpu="neoverse-n2"),
    narrow("i8, i8mm on V1", "i8mm", "SignedMatrix", 4, "smmla", cpu="neoverse-v1"),
    narrow("bf16, BFDOT", "bf16", "ArmBfloatDot", 16, "bfdot", cpu="neoverse-n2"),
    narrow("bf16, BFDOT on V1", "bf16", "ArmBfloatDot", 16, "bfdot", cpu="neoverse-v1"),
    narrow("bf16, BFMMLA", "bf16", "ArmBfloatMatrix", 4, "bfmmla", cpu="neoverse-n2"),
    narrow("bf16, BFMMLA on V1", "bf16", "ArmBfloatMatrix", 4, "bfmmla", cpu="neoverse-v1"),
    narrow("f16, FMLA", "f16", "HalfProducts", 16, "fmla", cpu="neoverse-n2"),
    narrow("f16, FMLA on V1", "f16", "HalfProducts", 16, "fmla", cpu="neoverse-v1"),
]


def compile_to_assembly(commands, source):
    """The assembly of a source under the options that the library has."""
    [entry] = [entry for entry in commands if entry["file"].endswith("/" + source)]
    command = shlex.split(entry["command"])
    command[command.index("-c")] = "-S"
    command[command.index("-o") + 1] = "-"
    return subprocess.run(command, cwd=entry["directory"], check=True, text=True, stdout=subprocess.PIPE).stdout


def inner_loops(assembly, kernel):
    """The loops of a function that multiply: straight runs of instructions from a label to the branch back to it."""
    loops, block, label, inside = [], [], "", False
    for line in map(str.strip, assembly.splitlines()):
        if found := re.match(r"([.\w$]+):", line):
            label, block = found[1], []
            inside = re.search(kernel.function, label) is not None if not label.startswith(".") else inside
        elif inside and line and not line.startswith((".", "/", "#")):
            block.append(line)
            if re.match(rf"(b\.?[a-z]{{2}}|cbn?z)\b.*{re.escape(label)}$", line) and products(kernel, block):
                loops.append(list(block))
    return loops


def products(kernel, loop):
    return sum(line.startswith(kernel.instructions) for line in loop)


def stack_accesses(loop):
    """Loads and stores of spilled registers: those through the stack or the frame pointer."""
    return sum(bool(re.search(r"\[(sp|x29)\b", line)) for line in loop)


def cycles(loop, cpu):
    """Simulated cycles per iteration, caches hit."""
    mca = next(filter(None, (shutil.which(f"llvm-mca-{version}") for version in range(40, 18, -1))), None)
    if mca is None:
        sys.exit("arm_throughput: no llvm-mca-19 or newer, expected from the package llvm-19")
    command = [mca, "-mtriple=aarch64", f"-mcpu={cpu}", f"-mattr={FEATURES}", f"-iterations={ITERATIONS}", "-json"]
    report = subprocess.run(command, input="\n".join(loop), check=True, text=True, stdout=subprocess.PIPE).stdout
    return json.loads(report)["CodeRegions"][0]["SummaryView"]["TotalCycles"] / ITERATIONS


def report(kernel, commands):
    """Prints a table of the tiles of a function; whether they are good enough."""
    loops = {}  # by rows of the tile the shortest: a longer one is the loop around it
    for loop in inner_loops(compile_to_assembly(commands, kernel.source), kernel):
        rows, rest = divmod(products(kernel, loop), kernel.per_row)
        if rows > 0 and rest == 0 and (rows not in loops or len(loop) < len(loops[rows])):
            loops[rows] = loop
    if not loops:
        sys.exit(f"arm_throughput: {kernel.source} has no inner loop with {kernel.instructions} in {kernel.function}")
    names, rate = " and ".join(name.upper() for name in kernel.instructions), kernel.rate or RATES[kernel.cpu]
    print(f"\n{kernel.title}: {kernel.function} of {kernel.source}\n{kernel.cpu}, {rate} {names} a cycle at most")
    print("  rows products   cycles   of peak   stack accesses")
    rates, spills = [], 0
    for rows, loop in sorted(loops.items(), reverse=True):
        count, simulated, stack = products(kernel, loop), cycles(loop, kernel.cpu), stack_accesses(loop)
        rates.append(count / simulated / rate)
        spills += stack
        print(f"{rows:>6} {count:>8} {simulated:>8.2f} {rates[-1]:>9.1%} {stack:>16}")
    good = rates[0] >= kernel.least and (spills == 0 or kernel.spills)
    if not good:
        print(f"FAILED: expected the highest tile at {kernel.least:.0%} or more" + " and no stack access" * (not kernel.spills))
    return good


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        commands = json.load(file)
    good = [report(kernel, commands) for kernel in KERNELS]
    print("\nA tile of few rows ends lists only: its accumulators cannot hide the latency of a product.")
    sys.exit(not all(good))


main()
