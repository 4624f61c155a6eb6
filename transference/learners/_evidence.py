"""Which tensors of a plain ``state_dict`` are evidently no parameters, by their names and values.

A file lists buffers beside parameters and does not tell which is which. What no outer optimizer would move is told apart
here where name or value leave no doubt; where they do, `doubtful` says so, and whoever asks is asked back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

_END = r"(?:[._/]?\d+)?$"
_BEGIN = r"(?:^|[./_])"

_BY_NAME = {
    "running statistics": r"(?:running|moving)_(?:mean|var|variance|std|avg|average|min|max|stats?)|num_batches_tracked"
    r"|cluster_size|embed_avg|w_avg|dlatent_avg",
    "a counter": r"n_averaged|num_updates|queue_ptr|global_step|initt?ed|step|iteration|epoch",
    "a position or a frequency": r"inv_freq|position_ids?|relative_position_index|relative_coords_table|(?:cos|sin)_cached"
    r"|freqs_(?:cos|sin|cis)|rotary_emb_(?:cos|sin)|anchors|anchor_grid",
    "a mask": r"masked_bias",
    "a queue": r"queue|memory_bank",
    "a constant of the input": r"(?:pixel|image|img|data|input)_(?:mean|std)",
    "a constant of a filter": r"resample_filter|noise_const",
    "a constant of a schedule": r"(?:sqrt_)?(?:one_minus_|recip_|recipm1_)*alphas_cumprod(?:_prev)?",
    "an optimizer's state": r"exp_avg|exp_avg_sq|max_exp_avg_sq|momentum_buffer",
}
_ENDS = {why: re.compile(f"{_BEGIN}(?:{names}){_END}", re.IGNORECASE) for why, names in _BY_NAME.items()}
_SCALARS = "a counter"
"""A larger tensor of such a name, or a fraction, is something else: a learned step size perhaps."""

_OBSERVED = re.compile(r"(?:^|[./])(?:activation_post_process|weight_fake_quant)[./]")
_MASK = re.compile(f"{_BEGIN}mask$", re.IGNORECASE)
_ENCODING = re.compile(r"(?:^|[./_])(?:pe|pos|position|positional|embed|encoding)(?:$|[./_])|pos_?e(?:nc|mb)", re.IGNORECASE)
_POWER_VECTOR = re.compile(r"^(.*?)(?:_[uv]|\.\d+\._[uv])$")

_AVERAGED = "ema|shadow|swa|averaged|polyak|teacher|momentum_encoder|key_encoder|encoder_k|target_(?:net|network|encoder|model|params)"
"""Words that say of a tensor that it follows another one."""

_PERHAPS_AVERAGED = "avg|average|mean_teacher|target|momentum|slow|old|backup|lagged|frozen_copy"
"""Words that say so only where there is another one of the same name and shape without them."""

_ORIGINAL = "online|student|context|query|key|source|model|module|net|network|params|parameters"
"""Words that the other one may have instead."""


def evident(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return those of the floating-point tensors that are evidently no parameters, with what they are.

    Args:
        tensors: everything that a file holds, by name.
    """
    found = {name: why for name, value in tensors.items() if (why := _alone(name, value, tensors))}
    rest = {name: value for name, value in tensors.items() if name not in found and value.is_floating_point()}
    return found | {name: "an averaged copy" for name, _ in _copies(rest, _AVERAGED)}


def doubtful(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return those that may or may not be parameters, with what speaks against it.

    Args:
        tensors: what is left when the evident is taken away.
    """
    found = {name: "a mask may be a buffer" for name in tensors if _MASK.search(name)}
    for name, value in tensors.items():
        for spread in ("var", "variance", "std"):
            other = re.sub(r"mean$", spread, name)
            if other != name and other in tensors and tensors[other].shape == value.shape and bool((tensors[other] >= 0).all()):
                found |= {name: "statistics of batch norm may be called so", other: "statistics of batch norm may be called so"}
    surely = [name for name in tensors if _words(name, _AVERAGED)]
    if len(surely) < len(tensors):  # a file of averages alone holds θ as it was averaged
        found |= dict.fromkeys(surely, "it seems to follow another tensor, but none has such a name and its shape")
    return found | {name: f"it may follow {original}" for name, original in _copies(tensors, _PERHAPS_AVERAGED)}


def equal_pairs(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield names of tensors whose values are equal, but for those that are one number throughout, as fresh ones are."""
    seen: dict[tuple[object, ...], list[str]] = {}
    for name, value in tensors.items():
        if value.numel() < 2 or bool((value == value.flatten()[0]).all()):
            continue
        alike = seen.setdefault((value.shape, value.dtype, float(value.double().sum())), [])
        if (first := next((other for other in alike if torch.equal(tensors[other], value)), None)) is not None:
            yield first, name
        else:
            alike.append(name)


def _alone(name: str, value: Tensor, tensors: Mapping[str, Tensor]) -> str | None:
    """Return what a tensor evidently is that needs no other one to be known; None for a parameter."""
    named = [why for why, ends in _ENDS.items() if ends.search(name) and (why != _SCALARS or _is_count(value))]
    if named or _OBSERVED.search(name):
        return named[0] if named else "an observer's"
    if re.search(f"{_BEGIN}(?:mask|bias)$", name) and (f"{name.removesuffix('_mask')}_orig" in tensors or _is_mask(name, value)):
        return "a mask"
    if _ENCODING.search(name) and _is_sinusoid(value):
        return "a fixed encoding of positions"
    if (
        (power := _POWER_VECTOR.match(name))
        and value.dim() == 1
        and any(other in tensors for other in (f"{power[1]}_orig", f"{power[1]}.original"))
    ):
        return "a vector of spectral norm"
    return "a counter" if name.endswith(".decay") and value.numel() == 1 and _words(name, _AVERAGED) else None


def _is_count(value: Tensor) -> bool:
    return value.numel() == 1 and float(value) >= 0 and float(value) % 1 == 0


def _is_mask(name: str, value: Tensor) -> bool:
    """Return whether a tensor holds nothing but yes and no; where it is called a bias, that of a causal attention."""
    values = torch.unique(value)
    if len(values) != 2 or not bool(((values == 0) | (values == 1) | (values <= -100)).all()):
        return False
    square = value.dim() >= 2 and value.shape[-1] == value.shape[-2] > 1
    return not name.endswith("bias") or (square and bool((value != 0).equal(torch.ones_like(value).tril() != 0)))


def _is_sinusoid(value: Tensor) -> bool:
    """Return whether the first position has sines of 0 and cosines of 0 alone, which no learned encoding has.

    A class token may stand before it.
    """
    rows = value.flatten(0, -2) if value.dim() > 1 else value[None]
    if value.numel() < 4 or rows.shape[-1] < 2 or bool((value.abs() > 1.0001).any()):
        return False
    first = [row for row in rows[:2] if bool(((row == 0) | (row == 1)).all())]
    return any(bool((row == 0).any()) and bool((row == 1).any()) for row in first) and len(torch.unique(value)) > 2


def _copies(tensors: Mapping[str, Tensor], words: str) -> Iterator[tuple[str, str]]:
    """Yield the names that have one of these words, and the name of the same shape without it."""
    copies = [name for name in tensors if _words(name, words)]
    originals = {(_bare(name), value.shape): name for name, value in tensors.items() if name not in copies}
    for name in copies:
        if (original := originals.get((_bare(name), tensors[name].shape))) is not None:
            yield name, original


def _words(name: str, words: str) -> bool:
    """Return whether a part of a name is, begins with or ends with one of these words."""
    return re.search(rf"(?:^|[./_])(?:{words})(?:$|[./_])", name, re.IGNORECASE) is not None


def _bare(name: str) -> str:
    """Return a name without the words that tell copies and originals apart, and without separators."""
    name = name.lower().replace("encoder_k", "encoder").replace("encoder_q", "encoder").replace("_encoder", ".encoder")
    parts = re.split(r"[./_]", name)
    away = re.compile(f"(?:{_AVERAGED}|{_PERHAPS_AVERAGED}|{_ORIGINAL})".replace("_", ""))
    return "".join(part for part in parts if not away.fullmatch(part))
