"""How evenly tiles of the CUDA product load a GPU's multiprocessors on a scan, simulated on the CPU.

For the 3^3 maps of a scan's five levels and one or two columns of tiles: the time until the last multiprocessor is done
over that of a perfect balance, for tiles of 64 and 128 rows, whole and split as kernels_cuda/split_tiles.h splits them. A
block costs the steps of its offsets and those of its begin and end. Blocks come to multiprocessors in turn, then to the
first that has room; those of a multiprocessor share it, and one alone has half of it. No memory is simulated.

    python benchmarks/tile_balance.py SCAN.bin [MULTIPROCESSORS]
"""

import heapq
import sys

import numpy as np
from tile_counts import cells_of, gray_order, keys_of, pairs_of

BEGIN_AND_END = 2  # of a block, in offsets
ALONE = 0.5  # of a multiprocessor's rate
ROOM = {64: 4, 128: 2}  # blocks of a multiprocessor
MOST_PIECES, FEW_TILES, TILES_SPLIT, OFFSETS_OF_FEW, OFFSETS_OF_MANY = 4, 3, 4, 7, 14  # of split_tiles.h


def pieces_of(offsets, multiprocessors):
    """Offsets of the blocks of tiles with so many offsets, split."""
    few = len(offsets) <= FEW_TILES * multiprocessors
    piece = OFFSETS_OF_FEW if few else OFFSETS_OF_MANY
    most = min(-(-27 // piece), MOST_PIECES)
    blocks = []
    for tile, count in enumerate(offsets):
        pieces = min(most, max(1, -(-int(count) // piece))) if tile < TILES_SPLIT * multiprocessors else 1
        blocks += [count * (i + 1) // pieces - count * i // pieces for i in range(pieces)]
    return np.array(blocks)


def rate_of(blocks):
    return min(1.0, ALONE * len(blocks)) / len(blocks)


def finish_time(costs, multiprocessors, room):
    """When blocks of such costs are done, in the time that one multiprocessor takes for a cost of 1."""
    running = [list(costs[m : multiprocessors * room : multiprocessors]) for m in range(multiprocessors)]
    waiting = list(costs[multiprocessors * room :])[::-1]
    now = [0.0] * multiprocessors
    events = [(min(blocks) / rate_of(blocks), m) for m, blocks in enumerate(running) if blocks]
    heapq.heapify(events)
    end = 0.0
    while events:
        end, m = heapq.heappop(events)
        done = (end - now[m]) * rate_of(running[m])
        now[m] = end
        left = sorted(cost - done for cost in running[m])[1:]
        if waiting:
            left.append(waiting.pop())
        running[m] = left
        if left:
            heapq.heappush(events, (end + min(left) / rate_of(left), m))
    return end


def main(path, multiprocessors=132, voxel_size=0.05):
    points = np.fromfile(path, np.float32).reshape(-1, 5 if "nuscenes" in path else 4)[:, :3]
    keys = np.unique(keys_of(np.floor(points / np.float32(voxel_size)).astype(np.int64)))
    print("stride   rows  columns    64 rows  split   128 rows  split")
    for level in range(5):
        if level > 0:
            keys = np.unique(keys_of(cells_of(keys) >> 1))
        has = pairs_of(keys)
        has = has[gray_order(has, (1, 1, 3))]
        for columns in (1, 2):
            line = f"{1 << level:6} {len(has):6} {columns:8}"
            for rows in (64, 128):
                padded = np.zeros((-(-len(has) // rows) * rows, 27), bool)
                padded[: len(has)] = has
                offsets = np.repeat(padded.reshape(-1, rows, 27).any(1).sum(1)[::-1], columns)
                ideal = (offsets + BEGIN_AND_END).sum() / multiprocessors
                for blocks in (offsets, pieces_of(offsets, multiprocessors)):
                    line += f"{finish_time(blocks + float(BEGIN_AND_END), multiprocessors, ROOM[rows]) / ideal:9.2f}"
            print(line)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
