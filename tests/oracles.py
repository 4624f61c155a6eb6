"""Slow and obvious: the definition of the loss ratio in float64, one pair at a time, sharing no code with the packages."""

from __future__ import annotations

import torch


def batch_norm(x, weight=None, bias=None):
    mean = x.mean(dim=(0, 2, 3), keepdim=True)
    variance = ((x - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    x = (x - mean) / torch.sqrt(variance + 1e-5)
    return x if weight is None else x * weight[None, :, None, None] + bias[None, :, None, None]


def conv_blocks(params, x, film=None, kml=None):
    for block in (1, 2, 3, 4):
        kernel, offset = params[f"features.layer{block}_conv.weight"], params[f"features.layer{block}_conv.bias"]
        if kml is not None:
            kernel = kernel * kml[block - 1]
        columns = torch.nn.functional.unfold(x, kernel_size=3, padding=1, stride=2)
        sides = [(side + 1) // 2 for side in x.shape[-2:]]
        x = (kernel.flatten(1) @ columns + offset[:, None]).unflatten(2, sides)
        x = batch_norm(x, params.get(f"features.layer{block}_bn.weight"), params.get(f"features.layer{block}_bn.bias"))
        if film is not None:
            n = x.shape[1]
            for c in range(n):
                x = torch.cat(
                    [x[:, :c], (1 + film[block - 1][c]) * x[:, c : c + 1] + film[block - 1][n + c], x[:, c + 1 :]],
                    dim=1,
                )
        x = torch.where(x > 0, x, torch.zeros_like(x))
    return x


def generated(params, images):
    """What the generators make of a set of images."""
    renamed = {}
    for block in (1, 2, 3, 4):
        for part in ("weight", "bias"):
            renamed[f"features.layer{block}_conv.{part}"] = params[f"encoder.conv.conv{block}.{part}"]
            renamed[f"features.layer{block}_bn.{part}"] = params[f"encoder.conv.bn{block}.{part}"]
    maps = conv_blocks(renamed, images)
    vectors = [params["encoder.linear.weight"] @ m.flatten(1).mean(dim=1) + params["encoder.linear.bias"] for m in maps]
    vector = sum(v * (v > 0) for v in vectors) / len(vectors)
    n = sum(name.startswith("generator.") and name.endswith(".bias") for name in params)
    return [params[f"generator.{k}.weight"] @ vector + params[f"generator.{k}.bias"] for k in range(n)]


def multipliers(params, made, residual):
    """KML's number for every weight ``i`` of every kernel: that of row ``i // columns`` times that of column ``i % columns``."""
    numbers = []
    for block in (1, 2, 3, 4):
        kernel = params[f"features.layer{block}_conv.weight"]
        rows, columns = made[3 * block - 3], made[3 * block - 2]
        i = torch.arange(kernel.numel())
        m = rows[i // len(columns)] * columns[i % len(columns)]
        numbers.append(m.reshape(kernel.shape) + (1 if residual else 0))
    return numbers


def modulated_protonet_loss(params, episode, kml=None, by_query=False):
    def blocks(images, shown):
        made = generated(params, shown)
        if kml is None:
            return conv_blocks(params, images, film=made).flatten(1)
        return conv_blocks(params, images, kml=multipliers(params, made, kml == "residual")).flatten(1)

    support = blocks(episode.support_x, episode.support_x)
    query = blocks(episode.query_x, episode.query_x if by_query else episode.support_x)
    return distance_loss(support, query, episode)


def cross_entropy(logits, labels):
    return -sum(
        row[label] - torch.log(torch.exp(row - row.max()).sum()) - row.max()
        for row, label in zip(logits, labels, strict=True)
    ) / len(labels)


def protonet_loss(params, episode, softened=False):
    support, query = conv_blocks(params, episode.support_x).flatten(1), conv_blocks(params, episode.query_x).flatten(1)
    return distance_loss(support, query, episode, softened)


def distance_loss(support, query, episode, softened=False):
    classes = sorted(set(episode.support_y.tolist()))
    prototypes = [
        sum(f for f, y in zip(support, episode.support_y, strict=True) if y == k) / (episode.support_y == k).sum()
        for k in classes
    ]
    far = lambda: torch.stack([torch.stack([-((q - c) ** 2).sum() for c in prototypes]) for q in query])
    if softened:
        p = torch.softmax(far(), dim=1)
        shots = len(support) // len(classes)
        moved = []
        for j in classes:
            total = torch.zeros_like(support[0])
            for row in range(j * shots, (j + 1) * shots - 1):  # one row too few, as released
                total = total + support[row]
            for q in range(len(query)):
                total = total + p[q, j] * query[q]
            moved.append(total / (shots + p[:, j].sum()))
        prototypes = moved
    return cross_entropy(far(), episode.query_y)


def maml_loss(params, episode, *, steps=1, lr=0.05, second_order=True, modulation=None):
    """``modulation`` is None, "film", or "residual" or "released" for the two forms of KML."""
    made = None if modulation is None else generated(params, episode.support_x)

    def logits(p, x):
        if modulation in {None, "film"}:
            pooled = conv_blocks(p, x, film=made).mean(dim=(2, 3))
        else:
            pooled = conv_blocks(p, x, kml=multipliers(p, made, modulation == "residual")).mean(dim=(2, 3))
        return pooled @ p["classifier.fully_connected.weight"].T + p["classifier.fully_connected.bias"]

    adapted = {name: value for name, value in params.items() if not name.startswith(("encoder.", "generator."))}
    for _ in range(steps):
        adapted = {
            name: value if value.requires_grad else value.detach().requires_grad_() for name, value in adapted.items()
        }
        loss = cross_entropy(logits(adapted, episode.support_x), episode.support_y)
        gradients = torch.autograd.grad(loss, list(adapted.values()), create_graph=second_order)
        clamped = [
            torch.minimum(torch.maximum(g, torch.full_like(g, -20.0)), torch.full_like(g, 20.0)) for g in gradients
        ]
        adapted = {name: value - lr * g for (name, value), g in zip(adapted.items(), clamped, strict=True)}
    return cross_entropy(logits(adapted, episode.query_x), episode.query_y)


def regression_loss(params, episode, *, steps, lr, clamp, fixed=False):
    """MSE after an inner loop by plain autograd; the LSTM is torch's own module."""
    film = {}
    if "bias_transformation" not in params:
        lstm = torch.nn.LSTM(2, 40, 2, bidirectional=True).double()
        lstm.load_state_dict(
            {name.removeprefix("encoder.rnn."): v for name, v in params.items() if name.startswith("encoder.rnn.")}
        )
        pairs = torch.cat([episode.support_x, episode.support_y], dim=1)
        output, _ = lstm(pairs[:, None])
        vector = torch.cat([output[-1, 0, :40], output[0, 0, 40:]])
        film = {
            layer: params[f"generator.{3 - layer}.weight"] @ vector + params[f"generator.{3 - layer}.bias"]
            for layer in (1, 2, 3)
        }

    def network(p, x):
        if "bias_transformation" in p:
            x = torch.stack([torch.cat([row, p["bias_transformation"]]) for row in x])
        for layer in (1, 2, 3):
            x = x @ p[f"layer{layer}_linear.weight"].T + p[f"layer{layer}_linear.bias"]
            if layer in film:
                x = (1 + film[layer][:100]) * x + film[layer][100:]
            x = x.clamp(min=0)
        return x @ p["output_linear.weight"].T + p["output_linear.bias"]

    adapted = {
        name: v.detach().requires_grad_() for name, v in params.items() if not name.startswith(("encoder", "generator"))
    }
    held = {"bias_transformation": adapted.pop("bias_transformation")} if fixed else {}
    for _ in range(steps):
        loss = ((network(adapted | held, episode.support_x) - episode.support_y) ** 2).mean()
        gradients = torch.autograd.grad(loss, list(adapted.values()), create_graph=True)
        adapted = {n: v - lr * g.clamp(-clamp, clamp) for (n, v), g in zip(adapted.items(), gradients, strict=True)}
    return ((network(adapted | held, episode.query_x) - episode.query_y) ** 2).mean()


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


def encoded(params, part, inputs):
    """One modality's vectors, a row at a time: through the network of an image, or one hidden layer."""
    own = {name[len(part) + 1 :]: value for name, value in params.items() if name.startswith(f"{part}/")}
    if inputs.dim() == 4:
        rows = conv_blocks(own, inputs).flatten(1)
    else:
        rows = [own["hidden.weight"] @ x.flatten() + own["hidden.bias"] for x in inputs]
        rows = [h * (h > 0) for h in rows]
    return torch.stack([own["latent.weight"] @ row + own["latent.bias"] for row in rows])


def log_probabilities(support, query, episode):
    """log softmax of minus the mean squared difference from the class means, a row per query, classes in order."""
    rows = []
    for q in query:
        far = []
        for k in sorted(set(episode.support_y.tolist())):
            mine = [f for f, y in zip(support, episode.support_y.tolist(), strict=True) if y == k]
            far.append(-((q - sum(mine) / len(mine)) ** 2).mean())
        far = torch.stack(far)
        rows.append(far - torch.log(torch.exp(far - far.max()).sum()) - far.max())
    return torch.stack(rows)


def mean_of_minus_log(rows, episode):
    place = {label: k for k, label in enumerate(sorted(set(episode.support_y.tolist())))}
    return -sum(row[place[y]] for row, y in zip(rows, episode.query_y.tolist(), strict=True)) / len(rows)


def shared_latent_loss(params, episode):
    def embed(inputs):
        each = [encoded(params, f"encoders/{name}", x) for name, x in inputs.items()]
        mean = sum(each) / len(each)
        if "trunk.weight" not in params:
            return mean
        return torch.stack([params["trunk.weight"] @ (z * (z > 0)) + params["trunk.bias"] for z in mean])

    return mean_of_minus_log(log_probabilities(embed(episode.support_x), embed(episode.query_x), episode), episode)


def product_of_experts_loss(params, episode, joint):
    """The formula as it is written: log probabilities of every expert, added, and made probabilities again.

    ``joint`` says whether the joint expert has a part in it; single experts have where there are parameters of theirs.
    """
    parts = []
    for name in sorted(set(episode.support_x) & set(episode.query_x)):
        if any(key.startswith(f"experts/{name}/") for key in params):
            sides = [
                encoded(params, f"experts/{name}", inputs[name]) for inputs in (episode.support_x, episode.query_x)
            ]
            parts.append(log_probabilities(*sides, episode))
    if joint:
        own = {name.removeprefix("joint/"): value for name, value in params.items() if name.startswith("joint/")}

        def together(inputs):
            flat = []
            for name in sorted(inputs):
                network = {key.removeprefix(f"{name}/"): v for key, v in own.items() if key.startswith(f"{name}/")}
                flat.append(
                    (conv_blocks(network, inputs[name]) if inputs[name].dim() == 4 else inputs[name]).flatten(1)
                )
            hidden = torch.cat(flat, dim=1) @ own["hidden.weight"].T + own["hidden.bias"]
            return (hidden * (hidden > 0)) @ own["latent.weight"].T + own["latent.bias"]

        parts.append(log_probabilities(together(episode.support_x), together(episode.query_x), episode))
    total = sum(parts)
    return mean_of_minus_log(total - torch.logsumexp(total, dim=1, keepdim=True), episode)
