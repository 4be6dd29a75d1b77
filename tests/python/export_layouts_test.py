"""What layers tell a recording of rows and weights that they hold in orders of their own."""

import numpy as np
import voxshift as vs
import voxshift.torch as vst
from sparse_torch import torch
from voxshift.torch import recording


class Reordered(torch.nn.Module):
    """Keeps its rows and its weight in orders of its own, as the layers of other libraries do."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(5, 4))

    def forward(self, x):
        flipped = recording.same(x.feats, x.feats.flip(0))
        weight = recording.derived(self.weight, self.weight.flip(0))
        y = vst.linear(recording.same(flipped, flipped.flip(0)), weight)
        return x.with_feats(y + vst.linear(x.feats, self.weight))


def test_rows_and_weights_in_other_orders(random):
    coords = np.unique(random.integers(0, 9, (200, 4)), axis=0).astype(np.int32)
    feats = torch.from_numpy(random.standard_normal((len(coords), 4)).astype(np.float32))
    x, module = vst.SparseTensor(feats, coords), Reordered()
    model = vst.to_model(module, x)
    weight = module.weight.detach().numpy()
    found = model.forward(vs.SparseTensor(x.coordinates, feats.numpy()))
    np.testing.assert_allclose(found, feats.numpy() @ (weight + weight[::-1]).T, atol=1e-5)
    assert sorted(model.parameters()) == ["weight", "weight.2"]
