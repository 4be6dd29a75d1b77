"""MinkUNet in plain PyTorch: per offset of a kernel a gather, a product and an index_add, on given kernel
maps. Names and layouts of the tensors are spvnas'.
"""

import torch
from torch.nn.functional import batch_norm, linear


def pairs_by_offset(kernel_map, offsets, rows):
    """int32 [P, 3] = (offset, input row, output row) as a list of (input rows, output rows), int64.

    None stands for an offset that pairs every one of `rows` with itself: the centre of a submanifold convolution.
    """
    pairs = []
    every = torch.arange(rows)
    for k in range(offsets):
        source, target = torch.from_numpy(kernel_map[kernel_map[:, 0] == k, 1:]).long().t().contiguous()
        same = rows == len(source) and torch.equal(source, every) and torch.equal(target, every)
        pairs.append(None if same else (source, target))
    return pairs


class MinkUNet:
    """Features [N, channels] of one scan to logits [N, classes], batch norm with the statistics of the scan or, without
    `training`, its running ones.

    tensors: {name: float32 tensor}; those that are trained get gradients. rows: of the five levels. around: pairs of the
    3^3 convolutions of each level. down: pairs of the 2^3 convolutions of stride 2, from level i to level i + 1.
    """

    def __init__(self, tensors, rows, around, down, training=True):
        self.training = training
        self.tensors = {name: tensor.clone() for name, tensor in tensors.items()}
        self.parameters = {name: tensor.requires_grad_() for name, tensor in self.tensors.items() if "running_" not in name}
        self.rows, self.around, self.down = rows, around, down
        self.up = [[(target, source) for source, target in pairs] for pairs in down]

    def conv(self, name, x, pairs, rows):
        weight = self.tensors[f"{name}.kernel"]
        centre = [k for k, pair in enumerate(pairs) if pair is None]
        out = x @ weight[centre[0]] if centre else x.new_zeros(rows, weight.shape[2])
        for k, pair in enumerate(pairs):
            if pair is not None:
                source, target = pair
                out.index_add_(0, target, x.index_select(0, source) @ weight[k])
        return out

    def norm(self, name, x):
        roles = ("running_mean", "running_var", "weight", "bias")
        return batch_norm(x, *(self.tensors[f"{name}.{role}"] for role in roles), training=self.training)

    def layer(self, name, i, x, pairs, rows):
        """Convolution `name`.i and its norm, without activation."""
        return self.norm(f"{name}.{i + 1}", self.conv(f"{name}.{i}", x, pairs, rows))

    def residual(self, name, x, level):
        around, rows = self.around[level], self.rows[level]
        y = self.layer(f"{name}.net", 0, x, around, rows).relu()
        y = self.layer(f"{name}.net", 3, y, around, rows)
        if f"{name}.downsample.0.kernel" in self.tensors:
            weight = self.tensors[f"{name}.downsample.0.kernel"]
            x = self.norm(f"{name}.downsample.1", x @ weight.reshape(weight.shape[-2:]))
        return (y + x).relu()

    def __call__(self, x):
        x = self.layer("stem", 0, x, self.around[0], self.rows[0]).relu()
        levels = [self.layer("stem", 3, x, self.around[0], self.rows[0]).relu()]
        for level in range(1, 5):
            name = f"stage{level}"
            x = self.layer(f"{name}.0.net", 0, levels[-1], self.down[level - 1], self.rows[level]).relu()
            levels.append(self.residual(f"{name}.2", self.residual(f"{name}.1", x, level), level))
        x = levels.pop()
        for level in reversed(range(4)):
            name = f"up{4 - level}"
            x = self.layer(f"{name}.0.net", 0, x, self.up[level], self.rows[level]).relu()
            x = torch.cat([x, levels.pop()], dim=1)
            x = self.residual(f"{name}.1.1", self.residual(f"{name}.1.0", x, level), level)
        return linear(x, self.tensors["classifier.0.weight"], self.tensors["classifier.0.bias"])
