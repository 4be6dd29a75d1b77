"""ONNX files from Python values, for nodes that torch's exporter does not write. Field numbers of the public format."""

import struct

import numpy as np

TYPES = {np.dtype(np.float32): 1, np.dtype(np.int32): 6, np.dtype(np.int64): 7, np.dtype(np.float16): 10, np.dtype(np.float64): 11}


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value) -> bytes:
    """A number, or bytes (a text, a message)."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name: str, array) -> bytes:
    array = np.asarray(array)
    dims = b"".join(field(1, int(extent)) for extent in array.shape)
    return dims + field(2, TYPES[array.dtype]) + field(8, name) + field(9, array.tobytes())


def attribute(name: str, value) -> bytes:
    start = field(1, name)
    if isinstance(value, (bool, int)):
        return start + field(3, int(value)) + field(20, 2)
    if isinstance(value, float):
        return start + field(2, value) + field(20, 1)
    if isinstance(value, str):
        return start + field(4, value) + field(20, 3)
    if isinstance(value, np.ndarray):
        return start + field(5, tensor("", value)) + field(20, 4)
    if value and isinstance(value[0], float):
        return start + b"".join(field(7, one) for one in value) + field(20, 6)
    return start + b"".join(field(8, int(one)) for one in value) + field(20, 7)


def node(op: str, inputs, outputs, name="", domain="", **attributes) -> bytes:
    parts = [field(1, one) for one in inputs] + [field(2, one) for one in outputs]
    parts += [field(3, name or f"{op}{outputs[0]}"), field(4, op)]
    parts += [field(5, attribute(key, value)) for key, value in attributes.items()]
    return b"".join(parts) + (field(7, domain) if domain else b"")


def value(name: str, shape, dtype=1) -> bytes:
    dims = b"".join(field(1, field(1, extent) if isinstance(extent, int) else field(2, extent)) for extent in shape)
    return field(1, name) + field(2, field(1, field(1, dtype) + field(2, dims)))


def model(nodes, inputs, outputs, initializers=None, opset=13) -> bytes:
    graph = b"".join(field(1, one) for one in nodes) + field(2, "graph")
    graph += b"".join(field(5, tensor(name, array)) for name, array in (initializers or {}).items())
    graph += b"".join(field(11, one) for one in inputs) + b"".join(field(12, one) for one in outputs)
    return field(1, 7) + field(2, "writer") + field(7, graph) + field(8, field(1, "") + field(2, opset))
