"""Networks as their libraries write them down, over convert_oracle.Net. Names: mit-han-lab/spvnas, mmdetection3d,
SpatioTemporalSegmentation, FCGF, Pointcept. Knows nothing of voxshift.
"""

from convert_oracle import SPCONV, cat, devoxelize, relu, torch, voxelize

WIDTHS = (6, 6, 8, 10, 12, 12, 10, 8, 7)


def unet(x, stem, down, up, levels=4):
    values = [stem(x)]
    for level in range(levels):
        values.append(down(level, values[-1]))
    for step in range(levels):
        values.append(up(step, values[-1], values[levels - 1 - step]))
    return values


def point_voxel_unet(x0, down, up, point_transform):
    x1 = down(0, x0)
    x2 = down(1, x1)
    x3 = down(2, x2)
    x4 = down(3, x3)
    z1 = devoxelize(x4, 16, x0) + point_transform(0, x0.features, x4.features.shape[1])
    y2 = up(1, up(0, voxelize(z1, x0, x4, 16), x3), x2)
    z2 = devoxelize(y2, 4, x0) + point_transform(1, z1, y2.features.shape[1])
    y4 = up(3, up(2, voxelize(z2, x0, y2, 4), x1), x0)
    return y4.features + point_transform(2, z2, y4.features.shape[1])


class Spvnas:
    """MinkUNet and SPVCNN of spvnas."""

    def __init__(self, net, widths=WIDTHS, classes=19):
        self.net, self.widths, self.classes = net, widths, classes

    def block(self, name, x, out):
        pair = lambda part, i: (f"{name}.{part}.{i}", f"{name}.{part}.{i + 1}")
        return self.net.residual(pair("net", 0), pair("net", 3), pair("downsample", 0), x, out)

    def stem(self, x):
        x = self.net.layer("stem.0", "stem.1", x, self.widths[0], 3)
        return self.net.layer("stem.3", "stem.4", x, self.widths[0], 3)

    def down(self, level, x):
        name, out = f"stage{level + 1}", self.widths[level + 1]
        x = self.net.layer(f"{name}.0.net.0", f"{name}.0.net.1", x, x.features.shape[1], 2, 2)
        return self.block(f"{name}.2", self.block(f"{name}.1", x, out), out)

    def up(self, step, x, skip):
        name, out = f"up{step + 1}", self.widths[step + 5]
        x = cat(self.net.layer(f"{name}.0.net.0", f"{name}.0.net.1", x, out, 2, 2, back=True), skip)
        return self.block(f"{name}.1.1", self.block(f"{name}.1.0", x, out), out)

    def point_transform(self, k, z, out):
        name = f"point_transforms.{k}"
        return relu(self.net.norm(f"{name}.1", self.net.linear(f"{name}.0", z, out)))

    def minkunet(self, x):
        values = unet(x, self.stem, self.down, self.up)
        return self.net.linear("classifier.0", values[-1].features, self.classes)

    def spvcnn(self, x):
        z = point_voxel_unet(self.stem(x), self.down, self.up, self.point_transform)
        return self.net.linear("classifier.0", z, self.classes)


def sparse_resunet(net, x, widths=WIDTHS):
    """torchsparse/backbones/unet.py: the values of all levels."""
    pair = lambda name, first: (f"{name}.{first}", f"{name}.{first + 1}")

    def block(name, x, out):
        return net.residual(pair(f"{name}.main", 0), pair(f"{name}.main", 3), pair(f"{name}.shortcut", 0), x, out)

    def stem(x):
        return net.layer(*pair("stem", 3), net.layer(*pair("stem", 0), x, widths[0], 3), widths[0], 3)

    def down(level, x):
        name, out = f"encoders.{level}", widths[level + 1]
        x = net.layer(*pair(f"{name}.0", 0), x, x.features.shape[1], 2, 2)
        return block(f"{name}.2", block(f"{name}.1", x, out), out)

    def up(step, x, skip):
        name, out = f"decoders.{step}", widths[step + 5]
        x = cat(net.layer(*pair(f"{name}.upsample", 0), x, out, 2, 2, back=True), skip)
        return block(f"{name}.fuse.1", block(f"{name}.fuse.0", x, out), out)

    return unet(x, stem, down, up)


class Mmdet3d:
    """MinkUNetBackbone, MinkUNetBackboneV2 and SPVCNNBackbone with MinkUNetHead."""

    def __init__(self, net, widths=WIDTHS, blocks=(1, 2, 2, 1), classes=19):
        self.net, self.widths, self.blocks, self.classes = net, widths, blocks, classes
        spconv, minkowski = net.library in SPCONV, net.library == "minkowski"
        self.parts = ("0", "1") if spconv else ("net.0", "net.1.bn" if minkowski else "net.1")
        self.first = ("conv1", "bn1") if spconv else ("conv1", "norm1.bn") if minkowski else ("net.0", "net.1")
        self.second = ("conv2", "bn2") if spconv else ("conv2", "norm2.bn") if minkowski else ("net.3", "net.4")
        self.shortcut = ("downsample.net.0", "downsample.net.1.bn") if minkowski else ("downsample.0", "downsample.1")

    def module(self, name, x, out, size, stride=1, back=False):
        return self.net.layer(*(f"backbone.{name}.{part}" for part in self.parts), x, out, size, stride, back)

    def block(self, name, x, out):
        pair = lambda parts: tuple(f"backbone.{name}.{part}" for part in parts)
        return self.net.residual(pair(self.first), pair(self.second), pair(self.shortcut), x, out)

    def stem(self, x):
        return self.module("conv_input.1", self.module("conv_input.0", x, self.widths[0], 3), self.widths[0], 3)

    def down(self, level, x):
        x = self.module(f"encoder.{level}.0", x, x.features.shape[1], 2, 2)
        for b in range(self.blocks[level]):
            x = self.block(f"encoder.{level}.{b + 1}", x, self.widths[level + 1])
        return x

    def up(self, step, x, skip):
        out = self.widths[step + 5]
        x = cat(self.module(f"decoder.{step}.0", x, out, 2, 2, back=True), skip)
        for b in range(2):
            x = self.block(f"decoder.{step}.1.{b}", x, out)
        return x

    def point_transform(self, k, z, out):
        name = f"backbone.point_transforms.{k}"
        return relu(self.net.norm(f"{name}.1", self.net.linear(f"{name}.0", z, out)))

    def head(self, features):
        return self.net.linear("decode_head.conv_seg", features, self.classes)

    def minkunet(self, x):
        x.shape = x.cells.max(0)[1:] + 1 if self.net.library in SPCONV else None
        return self.head(unet(x, self.stem, self.down, self.up)[-1].features)

    def minkunet_v2(self, x):
        values = unet(x, self.stem, self.down, self.up)
        x4, y2, y4 = values[4], values[6], values[8]
        return self.head(torch.cat([devoxelize(x4, 16, y4), devoxelize(y2, 4, y4), y4.features], 1))

    def spvcnn(self, x):
        return self.head(point_voxel_unet(self.stem(x), self.down, self.up, self.point_transform))


def res16unet(net, x, widths=(6, 6, 8, 10, 12, 12, 10, 8, 7), blocks=(1, 2, 1, 1, 1, 1, 1, 2), stem=5, classes=20, bias=True):
    def block(name, x, out):
        pair = lambda conv, norm: (f"{name}.{conv}", f"{name}.{norm}.bn")
        return net.residual(pair("conv1", "norm1"), pair("conv2", "norm2"), pair("downsample.0", "downsample.1"), x, out)

    def stage(index, x, out):
        for b in range(blocks[index - 1]):
            x = block(f"block{index}.{b}", x, out)
        return x

    def down(level, x):
        names = f"conv{level + 1}p{2 ** level}s2", f"bn{level + 1}.bn"
        return stage(level + 1, net.layer(*names, x, x.features.shape[1], 2, 2), widths[level + 1])

    def up(step, x, skip):
        names = f"convtr{step + 4}p{16 >> step}s2", f"bntr{step + 4}.bn"
        return stage(step + 5, cat(net.layer(*names, x, widths[step + 5], 2, 2, back=True), skip), widths[step + 5])

    y = unet(x, lambda x: net.layer("conv0p1s1", "bn0.bn", x, widths[0], stem), down, up)[-1]
    return net.conv("final", y, classes, 1, bias=bias).features


def fcgf(net, x, widths=(6, 8, 10, 12), back_widths=(9, 8, 7, 10), stem=5, out=16, normalize=True):
    def level(suffix, x, channels, size, stride=1, back=False):
        x = net.norm(f"norm{suffix}.bn", net.conv(f"conv{suffix}", x, channels, size, stride, back))
        pair = lambda i: (f"block{suffix}.conv{i}", f"block{suffix}.norm{i}.bn")
        return relu(net.residual(pair(1), pair(2), None, x, channels))

    s1 = level("1", x, widths[0], stem)
    s2 = level("2", s1, widths[1], 3, 2)
    s4 = level("3", s2, widths[2], 3, 2)
    s8 = level("4", s4, widths[3], 3, 2)
    y = cat(level("4_tr", s8, back_widths[3], 3, 2, back=True), s4)
    y = cat(level("3_tr", y, back_widths[2], 3, 2, back=True), s2)
    y = cat(level("2_tr", y, back_widths[1], 3, 2, back=True), s1)
    y = relu(net.conv("conv1_tr", y, back_widths[0], 1))
    features = net.conv("final", y, out, 1, bias=True).features
    return features / torch.norm(features, p=2, dim=1, keepdim=True) if normalize else features


def spunet(net, x, base=7, channels=(6, 8, 10, 12, 12, 10, 8, 7), layers=(1, 2, 1, 1, 1, 1, 1, 2), classes=19):
    levels, eps = len(channels) // 2, 1e-3
    x.shape = x.cells.max(0)[1:] + 96

    def stage(name, x, out, count):
        for b in range(count):
            block = f"{name}.block{b}"
            x = net.residual((f"{block}.conv1", f"{block}.bn1"), (f"{block}.conv2", f"{block}.bn2"),
                             (f"{block}.proj.0", f"{block}.proj.1"), x, out, eps)
        return x

    def down(s, x):
        x = net.layer(f"down.{s}.0", f"down.{s}.1", x, channels[s], 2, 2, eps=eps)
        return stage(f"enc.{s}", x, channels[s], layers[s])

    def up(step, x, skip):
        s = levels - 1 - step
        out = channels[len(channels) - s - 1] if s else channels[-1]
        x = cat(net.layer(f"up.{s}.0", f"up.{s}.1", x, out, 2, 2, back=True, eps=eps), skip)
        return stage(f"dec.{s}", x, out, layers[len(channels) - s - 1])

    y = unet(x, lambda x: net.layer("conv_input.0", "conv_input.1", x, base, 5, eps=eps), down, up, levels)[-1]
    return net.conv("final", y, classes, 1, bias=True).features
