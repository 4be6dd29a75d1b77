"""What tiles of the CUDA product multiply and read on a scan, counted on the CPU.

For the 3^3 maps of a scan's five levels and every order of the rows: rows that are multiplied for one true pair where 16, 32
or 64 neighbours skip what none of them has, and the megabytes of weights and rows that tiles of 64 or 128 rows and at
most 128 channels read for a layer of so many channels in f16.

    python benchmarks/tile_counts.py SCAN.bin [CHANNELS]
"""

import itertools
import sys

import numpy as np

OFFSETS = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
SHIFT, HALF = 20, 1 << 19


def keys_of(cells):
    cells = cells + HALF
    return cells[:, 0] << 2 * SHIFT | cells[:, 1] << SHIFT | cells[:, 2]


def cells_of(keys):
    mask = (1 << SHIFT) - 1
    return np.stack([keys >> 2 * SHIFT, keys >> SHIFT & mask, keys & mask], 1) - HALF


def pairs_of(keys):
    """bool [rows, 27]: whether a row has a neighbour at an offset."""
    cells = cells_of(keys)
    return np.stack([np.isin(keys_of(cells + offset), keys) for offset in OFFSETS], 1)


def gray_order(has, weights):
    """Rows in the reflected Gray code of their masks, the offsets with the largest weighted distances highest."""
    rank = np.zeros(len(has), np.int64)
    for bit, offset in enumerate(np.argsort((OFFSETS**2 * weights).sum(1), kind="stable")):
        rank |= has[:, offset].astype(np.int64) << bit
    for shift in (1, 2, 4, 8, 16):
        rank ^= rank >> shift
    return np.argsort(rank, kind="stable")


def offsets_of_tiles(has, order, rows):
    """Offsets that any row of a tile has, of all tiles together."""
    tiles = -(-len(has) // rows)
    padded = np.zeros((tiles * rows, has.shape[1]), bool)
    padded[: len(has)] = has[order]
    return int(padded.reshape(tiles, rows, -1).any(1).sum())


def main(path, channels=128, voxel_size=0.05):
    points = np.fromfile(path, np.float32).reshape(-1, 4)[:, :3]
    keys = np.unique(keys_of(np.floor(points / np.float32(voxel_size)).astype(np.int64)))
    print(f"{'stride rows pairs order':42} rows multiplied per pair   MB of {channels} channels")
    print(f"{'':42}     16     32     64   tile 64  tile 128")
    for level in range(5):
        if level > 0:
            keys = np.unique(keys_of(cells_of(keys) >> 1))
        has = pairs_of(keys)
        pairs = int(has.sum())
        orders = {
            "of keys": np.arange(len(has)),
            "by distance": gray_order(has, (1, 1, 1)),
            "by layers": gray_order(has, (1, 1, 3)),
        }
        for name, order in orders.items():
            multiplied = [offsets_of_tiles(has, order, rows) * rows / pairs for rows in (16, 32, 64)]
            read = [2e-6 * channels * (offsets_of_tiles(has, order, rows) * channels + pairs * -(-channels // 128)) for rows in (64, 128)]
            print(f"{1 << level:6} {len(has):6} {pairs:7} {name:20}" + "".join(f"{m:7.3f}" for m in multiplied) + "".join(f"{r:10.0f}" for r in read))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:3]))
