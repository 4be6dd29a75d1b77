"""The Lovász-softmax loss: a convex surrogate of 1 - mIoU (Berman et al., CVPR 2018)."""

import torch


def lovasz_softmax(logits, labels, ignore_index):
    """Mean over the classes present in labels [N] of the Lovász extension of 1 - IoU at the softmax of logits [N, C].

    With errors e = |[label = c] - p_c| in falling order and J_i the Jaccard distance when the i largest are wrong, a class's
    loss is sum_i e_i (J_i - J_{i-1}). Zero where no label is known.
    """
    return lovasz_of_known(logits, labels, *known_and_present(labels, ignore_index))


def known_and_present(labels, ignore_index):
    """(int64: the rows of labels [N] that are known, int64: the classes among them), of labels on the CPU without waiting for a device."""
    known = torch.nonzero(labels != ignore_index).squeeze(1)
    return known, torch.unique(labels[known])


def lovasz_of_known(logits, labels, known, present):
    """lovasz_softmax, given the rows that are known and the classes present.

    On a CUDA device it waits for nothing and has the same bits each time: equal errors stay in the order of the rows, and
    whole numbers are summed exactly.
    """
    logits, labels = logits[known], labels[known]
    if not len(labels):
        return logits.sum()
    is_one = labels[None] == present[:, None]
    errors = (is_one.to(logits.dtype) - torch.softmax(logits, dim=1).t()[present]).abs()
    return (errors * _weights(errors.detach(), is_one)).sum(dim=1).mean()


def _weights(errors, is_one):
    """J_i - J_{i-1} of each error [classes, N] in its place: the loss is linear in errors that keep their order."""
    order = torch.sort(errors, dim=1, descending=True, stable=True).indices
    is_one = is_one.gather(1, order)
    total = is_one.sum(dim=1, keepdim=True)
    distance = 1 - (total - is_one.cumsum(dim=1)).to(errors.dtype) / (total + (~is_one).cumsum(dim=1)).to(errors.dtype)
    steps = torch.cat([distance[:, :1], distance[:, 1:] - distance[:, :-1]], dim=1)
    return torch.empty_like(steps).scatter_(1, order, steps)
