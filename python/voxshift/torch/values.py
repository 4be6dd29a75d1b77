"""The values of a network that are no sparse tensors: rows of points, groups, cells and clouds, and the pixels of images."""

from typing import Optional

import torch

import voxshift as vs
from voxshift.torch.memory import counted
from voxshift.torch.sparse_tensor import SparseTensor


class Rows:
    """feats [N, C], in the library's order, of which no more is known."""

    def __init__(self, feats):
        self.feats = feats

    def with_feats(self, feats):
        return Rows(feats)

    def clouds_of_rows(self) -> Optional[torch.Tensor]:
        """int32 [N], ascending, on the device of feats: the cloud, batch or image that each row belongs to."""
        return None

    def _in_turn(self, count):
        """The clouds of rows where each has as many as the others."""
        return counted(len(self.feats), self.feats.device, count)


class PerCloud(Rows):
    """feats [clouds, C], a row of each cloud, batch or frame."""

    def with_feats(self, feats):
        return PerCloud(feats)

    def clouds_of_rows(self):
        return self._in_turn(1)


class Points(Rows):
    """feats [N, C] of points: those that the network was given, or samples of them."""

    def __init__(self, feats, clouds):
        super().__init__(feats)
        self.clouds = clouds

    def with_feats(self, feats):
        return Points(feats, self.clouds)

    def clouds_of_rows(self):
        return self.clouds.of_rows


class Groups(Rows):
    """feats [centers * count, C]: `count` neighbours of each center, one after the other. centers: Clouds."""

    def __init__(self, feats, centers, count):
        super().__init__(feats)
        self.centers, self.count = centers, count

    def with_feats(self, feats):
        return Groups(feats, self.centers, self.count)

    def clouds_of_rows(self):
        return self.centers.of_rows[:, None].expand(-1, self.count).reshape(-1)

    @property
    def centers_of_rows(self):
        return self._in_turn(self.count)


class Cells(Rows):
    """feats [clouds * R^3, C]: the cells of a dense grid around each of the clouds, z fastest. grid: a DenseGrid."""

    def __init__(self, feats, grid):
        super().__init__(feats)
        self.grid = grid

    def with_feats(self, feats):
        return Cells(feats, self.grid)

    def clouds_of_rows(self):
        return self._in_turn(self.grid.resolution**3)


class Images(Rows):
    """feats [M * H * W, C], the pixels of M images: frames, of clips of n_segment, or bird's-eye views, which are one clip.

    axis: of views the spatial axis of the voxels that they look along.
    """

    def __init__(self, feats, extent, n_segment, axis=None):
        super().__init__(feats)
        self.extent, self.n_segment, self.axis = extent, n_segment, axis

    @classmethod
    def of(cls, x, n_segment, axis=None):
        """Images float32 [M, H, W, C]. Raises ValueError where n_segment does not divide M."""
        if x.dim() != 4 or n_segment < 1 or x.shape[0] % n_segment:
            raise vs.InvalidArgument(f"[Network] expects [clips * {n_segment}, H, W, C], found {tuple(x.shape)}")
        return cls(x.reshape(-1, x.shape[-1]), tuple(x.shape[1:3]), n_segment, axis)

    @property
    def images(self):
        return self.feats.reshape(-1, *self.extent, self.feats.shape[1])

    def with_feats(self, feats):
        return Images(feats, self.extent, self.n_segment, self.axis)

    def with_images(self, images):
        return Images.of(images, self.n_segment, self.axis)

    def clouds_of_rows(self):
        return self._in_turn(self.extent[0] * self.extent[1])


def clouds_of(x) -> Optional[torch.Tensor]:
    """int32 [N], ascending, on x's device: the cloud, batch or image of each row; None where it is not known."""
    return x.coords[:, 0] if isinstance(x, SparseTensor) else x.clouds_of_rows()
