"""MinkUNet, SPVCNN and SPVNAS in PyTorch. Structure and parameter names: spvnas (core/models/semantic_kitti). Knows
nothing of voxshift.
"""

from sparse_torch import SparseNetwork, torch


class MinkUNet(SparseNetwork):
    def block(self, name, x, level):
        pair = lambda part, i: (f"{name}.{part}.{i}", f"{name}.{part}.{i + 1}")
        return self.residual(pair("net", 0), pair("net", 3), pair("downsample", 0), x, level)

    def down(self, level, x):
        x = self.strided(f"stage{level}.0.net.0", f"stage{level}.0.net.1", x, level)
        return self.block(f"stage{level}.2", self.block(f"stage{level}.1", x, level), level)

    def up(self, level, x, skip):
        name = f"up{4 - level}"
        x = torch.cat([self.transposed(f"{name}.0.net.0", f"{name}.0.net.1", x, level), skip], dim=1)
        return self.block(f"{name}.1.1", self.block(f"{name}.1.0", x, level), level)

    def logits(self, feats):
        skips = [self.stem(feats)]
        for level in range(1, 5):
            skips.append(self.down(level, skips[-1]))
        x = skips.pop()
        for level in reversed(range(4)):
            x = self.up(level, x, skips[level])
        return self.linear("classifier.0", x)


class SpvCnn(MinkUNet):
    classifier = "classifier.0"

    def point_transform(self, k, z):
        return torch.relu(self.norm(f"point_transforms.{k}.1", self.linear(f"point_transforms.{k}.0", z)))

    def logits(self, feats):
        x0 = self.stem(feats)
        x1 = self.down(1, x0)
        x2 = self.down(2, x1)
        x3 = self.down(3, x2)
        x4 = self.down(4, x3)
        z1 = self.devoxelize(x4, 4) + self.point_transform(0, x0)
        y1 = self.up(3, self.voxelize(z1, 4), x3)
        y2 = self.up(2, y1, x2)
        z2 = self.devoxelize(y2, 2) + self.point_transform(1, z1)
        y3 = self.up(1, self.voxelize(z2, 2), x1)
        y4 = self.up(0, y3, x0)
        z3 = y4 + self.point_transform(2, z2)
        return self.linear(self.classifier, z3)


class SpvNas(SpvCnn):
    classifier = "classifier.linear"

    @staticmethod
    def pair(name):
        return f"{name}.net.conv", f"{name}.net.bn"

    def point_transform(self, k, z):
        linear, norm = self.pair(f"point_transforms.{k}")
        return torch.relu(self.norm(norm, self.linear(linear, z)))

    def features(self, stage, x, level):
        """As many blocks as the tensors tell."""
        j = 0
        while f"{stage}.feature.{j}.net.0.net.conv.kernel" in self.parameters:
            name = f"{stage}.feature.{j}"
            names = (self.pair(f"{name}.{part}") for part in ("net.0", "net.1", "downsample"))
            x = self.residual(*names, x, level)
            j += 1
        assert j > 0
        return x

    def down(self, level, x):
        stage = f"downsample.{level - 1}"
        return self.features(stage, self.strided(*self.pair(f"{stage}.transition"), x, level), level)

    def up(self, level, x, skip):
        stage = f"upsample.{3 - level}"
        x = self.transposed(*self.pair(f"{stage}.transition"), x, level)
        return self.features(stage, torch.cat([x, skip], dim=1), level)
