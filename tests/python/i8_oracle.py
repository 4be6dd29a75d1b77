"""i8 models as plain loops: sums of whole numbers in int64, every other operation in float32. Knows nothing of voxshift."""

import numpy as np
import oracle


def to_i8(x, scale):
    """float32 numbers as whole ones, number by number in double precision, where nothing but the two products rounds."""
    inverse = np.float32(1) / np.asarray(scale, np.float32)
    scaled = np.asarray(x, np.float32) * inverse
    whole = np.array([round(float(v)) for v in np.clip(scaled, -127, 127).ravel()], np.int64)  # ties to even
    return whole.reshape(scaled.shape)


class Network:
    """A graph of convolutions, sums, activations, concatenations and shifts, with scales, on voxels or frames.

    given: values float32 by name, [rows, channels] or [frames, H, W, channels]. coords: of voxels at stride 1, int32 [rows, 4].
    """

    def __init__(self, graph, parameters, given, coords=None):
        self.parameters, self.graph = parameters, graph
        self.scales = {value: parameters[name] for value, name in graph["scales"].items()}
        self.whole, self.real = {}, dict(given)
        self.coords = {1: coords}
        self.strides = {"input": 1}

    def run_after(self, first):
        """All values from the node `first` on, whose own one is given as it is before rounding."""
        reached = False
        for node in self.graph["nodes"]:
            name = node["name"]
            reached |= name == first
            self.strides[name] = self._stride(node)
            if name == first:
                self._keep(name, self.real[name])
            elif reached:
                self._keep(name, getattr(self, "_" + node["op"])(node, *node["inputs"]))
        return self.real

    def _keep(self, name, value):
        assert value.dtype == np.float32
        if name in self.scales:
            self.whole[name] = to_i8(value, self.scales[name])
            value = self.whole[name].astype(np.float32) * self.scales[name]
        self.real[name] = value

    def _stride(self, node):
        of = self.strides[node["inputs"][0]]
        step = node["stride"][0] if isinstance(node.get("stride"), list) else 1
        return of * step if node["op"] == "conv" else of // step if node["op"] == "conv_transpose" else of

    def _finished(self, node, sums):
        """float32 of exact sums: times the multiplier, plus the bias."""
        assert np.abs(sums).max(initial=0) < 2**31
        named = node["parameters"]
        y = sums.astype(np.float32) * self.parameters[named["weight_scale"]]
        return y + self.parameters[named["bias"]] if "bias" in named else y

    def _weight(self, node):
        weight = self.parameters[node["parameters"]["weight"]]
        assert weight.dtype == np.int8
        return weight.astype(np.int64)

    def _conv(self, node, x, transposed=False):
        weight = self._weight(node)
        if weight.ndim == 2:
            return self._finished(node, self.whole[x] @ weight)
        fine, coarse = sorted((self.strides[x], self.strides[node["name"]]))
        if coarse not in self.coords:
            self.coords[coarse] = oracle.coarser(self.coords[fine], coarse // fine)
        size, stride = node["kernel_size"], node["stride"]
        triples = oracle.pairs(self.coords[fine], self.coords[coarse], size, stride, 1)
        rows = len(self.coords[fine if transposed else coarse])
        sums = np.zeros((rows, weight.shape[2]), np.int64)
        for k, low, high in triples:
            i, o = (high, low) if transposed else (low, high)
            sums[o] += self.whole[x][i] @ weight[k]
        return self._finished(node, sums)

    def _conv_transpose(self, node, x):
        return self._conv(node, x, transposed=True)

    def _linear(self, node, x):
        if "weight_scale" in node["parameters"]:
            return self._finished(node, self.whole[x] @ self._weight(node).T)
        weight, bias = (self.parameters[node["parameters"][role]].astype(np.float64) for role in ("weight", "bias"))
        return (self.real[x].astype(np.float64) @ weight.T + bias).astype(np.float32)

    def _conv2d(self, node, x):
        weight, padding, stride = self._weight(node), node["padding"], node["stride"]
        padding, stride = (np.ravel(value)[0] for value in (padding, stride))
        given = np.pad(self.whole[x], ((0, 0), (padding, padding), (padding, padding), (0, 0)))
        k = weight.shape[2]
        height, width = ((extent - k) // stride + 1 for extent in given.shape[1:3])
        sums = np.zeros((len(given), height, width, weight.shape[0]), np.int64)
        for i in range(k):
            for j in range(k):
                seen = given[:, i : i + height * stride : stride, j : j + width * stride : stride][:, :height, :width]
                sums += seen * weight[:, 0, i, j] if node["groups"] > 1 else seen @ weight[:, :, i, j].T
        return self._finished(node, sums)

    def _relu(self, node, x):
        return np.maximum(self.real[x], np.float32(0))

    def _relu6(self, node, x):
        return np.clip(self.real[x], np.float32(0), np.float32(6))

    def _add(self, node, a, b):
        return self.real[a] + self.real[b]

    def _cat(self, node, *parts):
        return np.concatenate([self.real[part] for part in parts], axis=-1)

    def _temporal_shift(self, node, x):
        """Of one clip, towards later frames."""
        fold = self.real[x].shape[-1] // node["shift_div"]
        out = self.real[x].copy()
        out[..., :fold] = 0
        out[1:, ..., :fold] = self.real[x][:-1, ..., :fold]
        return out

    def _avg_pool(self, node, x):
        return self.real[x].astype(np.float64).mean(axis=(1, 2)).astype(np.float32)
