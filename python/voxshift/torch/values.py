"""The values of a network that are no sparse tensors: rows, and the pixels of images."""

import voxshift as vs


class Rows:
    """feats [N, C] of points, clouds, groups of neighbours or cells, in the library's order."""

    def __init__(self, feats):
        self.feats = feats

    def with_feats(self, feats):
        return Rows(feats)


class Points(Rows):
    """feats [N, C] of the points that the network was given, its clouds."""

    def __init__(self, feats, clouds):
        super().__init__(feats)
        self.clouds = clouds

    def with_feats(self, feats):
        return Points(feats, self.clouds)


class Images:
    """feats [M * H * W, C], the pixels of M images: frames, of clips of n_segment, or bird's-eye views, which are one clip."""

    def __init__(self, feats, extent, n_segment):
        self.feats, self.extent, self.n_segment = feats, extent, n_segment

    @classmethod
    def of(cls, x, n_segment):
        """Images float32 [M, H, W, C]. Raises ValueError where n_segment does not divide M."""
        if x.dim() != 4 or n_segment < 1 or x.shape[0] % n_segment:
            raise vs.InvalidArgument(f"[Network] expects [clips * {n_segment}, H, W, C], found {tuple(x.shape)}")
        return cls(x.reshape(-1, x.shape[-1]), tuple(x.shape[1:3]), n_segment)

    @property
    def images(self):
        return self.feats.reshape(-1, *self.extent, self.feats.shape[1])

    def with_feats(self, feats):
        return Images(feats, self.extent, self.n_segment)

    def with_images(self, images):
        return Images.of(images, self.n_segment)
