"""Packs wheels into one archive for a machine that cannot install any, of CUDA code that of one architecture.

    python pack_wheels.py FOLDER ARCHITECTURE OUT.tar.xz

FOLDER: *.whl. ARCHITECTURE: 90. spconv's wheel holds its kernels for ten architectures; those for others become zeros, which pack to
nothing, and what runs on this one stays as it is. Unpacked anywhere, the archive is a folder for PYTHONPATH. Needs the standard
library only.
"""

import struct
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

MAGIC = struct.pack("<IHH", 0xBA55ED50, 1, 16)  # how a container of kernels begins, with its version and its header's size


def keep_architecture(path, architecture):
    """Zeros over the kernels for other architectures; bytes that became zeros."""
    content = bytearray(path.read_bytes())
    cleared, begin = 0, content.find(MAGIC)
    while begin >= 0:
        place = begin + 16
        end = place + struct.unpack_from("<Q", content, begin + 8)[0]
        while place < end:
            header, size = struct.unpack_from("<IQ", content, place + 4)
            if struct.unpack_from("<I", content, place + 28)[0] != architecture:
                content[place + header : place + header + size] = bytes(size)
                cleared += size
            place += header + size
        begin = content.find(MAGIC, end)
    if cleared:
        path.write_bytes(content)
    return cleared


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    wheels, architecture, out = sorted(Path(sys.argv[1]).glob("*.whl")), int(sys.argv[2]), sys.argv[3]
    with tempfile.TemporaryDirectory() as folder:
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(folder)
        for library in Path(folder).rglob("*.so*"):
            keep_architecture(library, architecture)
        with tarfile.open(out, "w:xz", preset=6) as archive:
            for entry in sorted(Path(folder).iterdir()):
                archive.add(entry, entry.name)


if __name__ == "__main__":
    main()
