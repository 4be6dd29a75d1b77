"""The Lovász-softmax loss is 1 - IoU where predictions are certain, and its extension in between."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="voxshift.train needs PyTorch")

from voxshift.train.lovasz import lovasz_softmax  # noqa: E402

IGNORED = 255


def one_minus_iou(labels, predicted):
    """Mean over the classes of `labels`, from sets of points."""
    known = labels != IGNORED
    losses = []
    for c in set(labels[known].tolist()):
        is_there, is_found = labels[known] == c, predicted[known] == c
        losses.append(1 - (is_there & is_found).sum() / (is_there | is_found).sum())
    return np.mean(losses)


@pytest.mark.parametrize("points, classes", [(1, 3), (50, 2), (400, 7)])
def test_certain_predictions_give_one_minus_the_mean_iou(random, points, classes):
    labels, predicted = random.integers(0, classes, (2, points))
    labels[random.random(points) < 0.2] = IGNORED
    labels[0] = classes - 1
    logits = torch.full((points, classes), -1e4)
    logits[torch.arange(points), torch.from_numpy(predicted)] = 1e4
    found = lovasz_softmax(logits, torch.from_numpy(labels), IGNORED)
    assert found.item() == pytest.approx(one_minus_iou(labels, predicted), abs=1e-6)


def test_the_extension_averages_over_thresholds(random):
    """The Lovász extension at errors e is the integral over t of the set function at {e > t}."""
    labels = random.integers(0, 2, 30)
    logits = torch.from_numpy(random.standard_normal((30, 2)))
    found = lovasz_softmax(logits, torch.from_numpy(labels), IGNORED).item()
    p = torch.softmax(logits, dim=1).numpy()
    thresholds = (np.arange(20000) + 0.5) / 20000
    expected = 0
    for c in (0, 1):
        is_there = labels == c
        errors = np.abs(is_there - p[:, c])
        for t in thresholds:
            wrong = errors > t
            is_found = is_there ^ wrong
            expected += (1 - (is_there & is_found).sum() / (is_there | wrong).sum()) / len(thresholds) / 2
    assert found == pytest.approx(expected, abs=1e-4)


def test_gradient_is_that_of_finite_differences(random):
    logits = torch.from_numpy(random.standard_normal((40, 4))).requires_grad_()
    labels = torch.from_numpy(random.integers(0, 4, 40))
    assert torch.autograd.gradcheck(lambda x: lovasz_softmax(x, labels, IGNORED), (logits,))


def test_nothing_known_is_no_loss():
    logits = torch.zeros((5, 3), requires_grad=True)
    loss = lovasz_softmax(logits, torch.full((5,), IGNORED), IGNORED)
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()
