"""MinkowskiEngine's pruning by scores above a threshold as model files."""

import numpy as np
import pytest
import voxshift as vs
import voxshift.torch as vst
from export_sparse_test import cells, in_order
from sparse_torch import torch
from torch import nn
from voxshift.torch import minkowski as ME


class Completion(nn.Module):
    """A generative level of a completion network: voxels are made, scored and pruned."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask
        self.down = ME.MinkowskiConvolution(4, 5, 2, 2, dimension=3)
        self.up = ME.MinkowskiGenerativeConvolutionTranspose(5, 6, 2, 2, dimension=3)
        self.scores = ME.MinkowskiConvolution(6, 1, 1, bias=True, dimension=3)
        self.prune, self.last = ME.MinkowskiPruning(), ME.MinkowskiConvolution(6, 3, 3, dimension=3)

    def forward(self, x):
        y = self.up(self.down(x))
        scores = self.scores(y)
        return self.last(self.prune(y, self.mask(scores.F, y.F))), scores


def tensor(random):
    coords = cells(random, 60, 2)
    return ME.SparseTensor(torch.from_numpy(random.standard_normal((len(coords), 4)).astype(np.float32)), coords)


MASKS = {
    "above": lambda scores, feats: (scores > 0).squeeze(),
    "at least": lambda scores, feats: scores[:, 0] >= 0.1,
    "of probabilities": lambda scores, feats: torch.sigmoid(scores).view(-1) > torch.tensor(0.5),
    "of a number": lambda scores, feats: (0.05 < feats)[:, 2],
    "of a channel": lambda scores, feats: feats[:, 1].detach().gt(0),
}


@pytest.mark.parametrize("name", MASKS)
def test_scores_above_a_threshold(random, name):
    torch.manual_seed(4)
    x, module = tensor(random), Completion(MASKS[name])
    model = vst.export(module, x)
    assert "prune" in [node["op"] for node in model.graph["nodes"]]


OTHERS = {
    "below": lambda scores, feats: scores[:, 0] < 0,
    "of two": lambda scores, feats: (scores[:, 0] > 0) & (feats[:, 0] > 0),
    "of any channel": lambda scores, feats: (feats > 0).any(1),
    "of another order": lambda scores, feats: scores[torch.arange(len(scores)).flip(0), 0] > 0,
    "of the example": lambda scores, feats: torch.arange(len(scores)) % 2 == 0,
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_masks_are_refused(random, name):
    with pytest.raises(vs.InvalidArgument, match="pruning by other masks than scores above a threshold, which"):
        vst.export(Completion(OTHERS[name]), tensor(random))


@pytest.mark.parametrize("strictly", [False, True])
def test_scores_equal_to_the_threshold(random, strictly):
    class Prune(nn.Module):
        def __init__(self):
            super().__init__()
            self.prune = ME.MinkowskiPruning()

        def forward(self, x):
            return self.prune(x, x.F[:, 1] > 2 if strictly else x.F[:, 1] >= 2)

    coords = cells(random, 60)
    feats = torch.from_numpy(random.integers(0, 4, (len(coords), 2)).astype(np.float32))
    model = vst.export(Prune(), ME.SparseTensor(feats, coords))
    order = in_order(coords)
    given, places = feats.numpy()[order], coords.numpy()[order]
    [(found, rows)] = model.run(vs.SparseTensor(places, given)).values()
    kept = given[:, 1] > (2 if strictly else 1)
    np.testing.assert_array_equal(found, given[kept])
    np.testing.assert_array_equal(rows, places[kept])
