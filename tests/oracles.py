"""Slow and obvious: the definition of the loss ratio in float64, one pair at a time, sharing no code with the packages."""

from __future__ import annotations

import torch


def batch_norm(x, weight=None, bias=None):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    x = (x - mean) / torch.sqrt(variance + 1e-5)
    return x if weight is None else x * weight[None, :, None, None] + bias[None, :, None, None]


def conv_blocks(params, x):
    for block in (1, 2, 3, 4):
        kernel, offset = params[f"features.layer{block}_conv.weight"], params[f"features.layer{block}_conv.bias"]
        columns = torch.nn.functional.unfold(x, kernel_size=3, padding=1, stride=2)
        side = (x.shape[-1] + 1) // 2
        x = (kernel.flatten(1) @ columns + offset[:, None]).unflatten(2, (side, side))
        x = batch_norm(x, params.get(f"features.layer{block}_bn.weight"), params.get(f"features.layer{block}_bn.bias"))
        x = torch.where(x > 0, x, torch.zeros_like(x))
    return x


def cross_entropy(logits, labels):
    return -sum(
        row[label] - torch.log(torch.exp(row - row.max()).sum()) - row.max() for row, label in zip(logits, labels, strict=True)
    ) / len(labels)


def protonet_loss(params, episode):
    support, query = conv_blocks(params, episode.support_x).flatten(1), conv_blocks(params, episode.query_x).flatten(1)
    classes = sorted(set(episode.support_y.tolist()))
    prototypes = [
        sum(f for f, y in zip(support, episode.support_y, strict=True) if y == k) / (episode.support_y == k).sum() for k in classes
    ]
    logits = torch.stack([torch.stack([-((q - c) ** 2).sum() for c in prototypes]) for q in query])
    return cross_entropy(logits, episode.query_y)


def maml_loss(params, episode, *, steps=1, lr=0.05, second_order=True):
    def logits(p, x):
        pooled = conv_blocks(p, x).mean(dim=(2, 3))
        return pooled @ p["classifier.fully_connected.weight"].T + p["classifier.fully_connected.bias"]

    adapted = dict(params)
    for _ in range(steps):
        adapted = {name: value if value.requires_grad else value.detach().requires_grad_() for name, value in adapted.items()}
        loss = cross_entropy(logits(adapted, episode.support_x), episode.support_y)
        gradients = torch.autograd.grad(loss, list(adapted.values()), create_graph=second_order)
        clamped = [torch.minimum(torch.maximum(g, torch.full_like(g, -20.0)), torch.full_like(g, 20.0)) for g in gradients]
        adapted = {name: value - lr * g for (name, value), g in zip(adapted.items(), clamped, strict=True)}
    return cross_entropy(logits(adapted, episode.query_x), episode.query_y)


def loss_ratios(loss, params, sources, targets, alpha):
    """Return ``LR[i][j]`` for plain gradient steps: a double loop, nothing kept from one pair to the next."""
    params = {name: value.double() for name, value in params.items()}
    matrix = torch.empty(len(sources), len(targets), dtype=torch.float64)
    for i, source in enumerate(sources):
        for j, target in enumerate(targets):
            leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
            value = loss(leaves, source)
            gradients = torch.autograd.grad(value, list(leaves.values()))
            moved = {name: (p - alpha * g).detach() for (name, p), g in zip(leaves.items(), gradients, strict=True)}
            matrix[i, j] = loss(moved, target).detach() / loss(params, target).detach()
    return matrix.numpy()
