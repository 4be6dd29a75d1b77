"""The Lovász-softmax loss: a convex surrogate of 1 - mIoU (Berman et al., CVPR 2018)."""

import torch


def lovasz_softmax(logits, labels, ignore_index):
    """Mean over the classes present in labels [N] of the Lovász extension of 1 - IoU at the softmax of logits [N, C].

    With errors e = |[label = c] - p_c| in falling order and J_i the Jaccard distance when the i largest are wrong, a class's
    loss is sum_i e_i (J_i - J_{i-1}). Zero where no label is known.
    """
    known = labels != ignore_index
    logits, labels = logits[known], labels[known]
    if not len(labels):
        return logits.sum()
    present = torch.unique(labels)
    truth = (labels[None] == present[:, None]).to(logits.dtype)
    errors = (truth - torch.softmax(logits, dim=1).t()[present]).abs()
    errors, order = errors.sort(dim=1, descending=True)
    truth = truth.gather(1, order)
    total = truth.sum(dim=1, keepdim=True)
    distance = 1 - (total - truth.cumsum(dim=1)) / (total + (1 - truth).cumsum(dim=1))
    steps = torch.cat([distance[:, :1], distance[:, 1:] - distance[:, :-1]], dim=1)
    return (errors * steps).sum(dim=1).mean()
