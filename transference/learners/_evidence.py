"""Which tensors of a plain ``state_dict`` are evidently no parameters, by their names and values.

A file lists buffers beside parameters and does not tell which is which. What no outer optimizer would move is told apart
here where name or value leave no doubt. The rest moves where it is called as parameters of modules are, or as someone
calls them who writes ``params["slope"]`` by hand, and nothing speaks against it; of all others `doubtful` says why they
are none of these, and whoever asks is asked back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import takewhile

import torch
from torch import Tensor

_END = r"(?:[._/]?\d+)?$"
_BEGIN = r"(?:^|[./_])"

_BY_NAME = {
    "running statistics": r"(?:running|moving)_(?:mean|mu|var|variance|std|stddev|sigma|avg|average|min|max|stats?)|num_batches_tracked"
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
_ENCODING = re.compile(
    r"(?:^|[./_])(?:pe|pos|position|positional|embed|encoding)(?:$|[./_])|pos_?e(?:nc|mb)", re.IGNORECASE
)
_POWER_VECTOR = re.compile(r"^(.*?)(?:_[uv]|\.\d+\._[uv])$")

_AVERAGED = "ema|shadow|swa|averaged|polyak|teacher|momentum_encoder|key_encoder|encoder_k|target_(?:net|network|encoder|model|params)"
"""Words that say of a tensor that it follows another one."""

_PERHAPS_AVERAGED = (
    "avg|average|mean_teacher|target|momentum|slow|old|backup|lagged|frozen_copy|bar|prev|previous|copy|init|initial|best|"
    "anchor|prior|fisher|star|velocity|exp|sq"
)
"""Words that say so only where there is another one of the same name and shape without them."""

_ORIGINAL = "online|student|context|query|key|source|model|module|net|network|params|parameters"
"""Words that the other one may have instead."""

_PARAMETER = re.compile(
    r"(?:.*_)?(?:params?|parameters|weights?|bias(?:es)?|w|b|g|d|gammas?|betas?|alphas?|lambdas?|theta|phi|scales?|shift|gain|slope|proj|projection|gate|"
    r"emb|embeds?|embeddings?|tokens?|prompts?|latents?|temperature|temp|tau|lrs?|step_size|a_log|lora_[ab]|rel_pos_[hw]|"
    r"original|weight_(?:orig|bar|g|raw)|bias_(?:k|v)|(?:weight|bias)_(?:ih|hh|hr)(?:_l\d+(?:_reverse)?)?|bias_table)_?\d*"
)
"""What parameters of the usual modules are called."""

_OF_LOSS = r"(?:^|.*[./])(?:criterion|loss|loss_fn)[./].*|(?:.*[./])?(?:class|pos)_weights?"
_LIKELY_COPY = "it may follow another tensor"
_HINTS = {
    _LIKELY_COPY: "prev|previous|old|copy|backup|init|initial|best|snapshot|prior|anchor|fisher|star|ewc|velocity|exp|ema|avg|"
    "running|moving",
    "a mask may be a buffer": "masks?|tril|triu|causal",
    "statistics may be called so": "means?|vars?|variance|std|stds|stddev|inv_?std|rstd|istd|stats?|rm|rv|mu|sigma",
    "positions and frequencies are mostly fixed": "pos|positions?|positional|pe|ids?|idx|index|indices|arange|grid|coords?|"
    "freqs?|frequencies|anchors?",
}
"""What else words of a name say, by what it means; but for the first, not of what is called as parameters are."""

_MEANS, _SPREADS = "mean|mu|m|rm", "var|variance|std|stddev|sd|sigma|scale|inv_?std|istd|rstd|rv|v"


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
    begin = _common(tensors)
    inner = {name: name[begin:] for name in tensors}
    # What has a dot is a module's, which has buffers, and so is what stands beside a module's weight.
    beside_weight = "weight" in inner.values()
    found = {
        name: why
        for name, rest in inner.items()
        if (why := _against(rest, tensors[name], "." in rest or beside_weight))
    }
    found |= dict.fromkeys(_statistics(tensors), "statistics of batch norm may be called so")
    found |= {
        name: f"it may be made of {name}{end}"
        for name in tensors
        for end in ("_orig", "_bar")
        if f"{name}{end}" in tensors
    }
    for name, value in tensors.items():  # weight0 beside weight
        first = re.sub(r"(weight|bias)_?\d+$", r"\1", name)
        if first != name and first in tensors and tensors[first].shape == value.shape:
            found[name] = f"it may follow {first}"
    surely = [name for name in tensors if _words(name, _AVERAGED)]
    if len(surely) < len(tensors):  # a file of averages alone holds θ as it was averaged
        found |= dict.fromkeys(surely, "it seems to follow another tensor, but none has such a name and its shape")
    copies = (*_copies(tensors, _PERHAPS_AVERAGED), *_second_models(tensors))
    return found | {name: f"it may follow {original}" for name, original in copies}


def _common(tensors: Mapping[str, Tensor]) -> int:
    """Return the length of the components with which all names begin, such as ``module.``, short of a whole name."""
    split = [name.split(".")[:-1] for name in tensors]
    shared = takewhile(lambda parts: len(set(parts)) == 1, zip(*split, strict=False))
    return sum(len(parts[0]) + 1 for parts in shared)


def _against(name: str, value: Tensor, of_module: bool) -> str | None:
    """Return what the name of a tensor, or else its value, says against its being a parameter; None if nothing does."""
    name = _snaked(name)
    *_, last = re.sub(r"(?:[./]\d+)+$", "", name).replace("/", ".").replace("-", "_").split(".")
    words = [word for word in re.split(r"[_\d]+", last) if word]
    hints = [why for why, hint in _HINTS.items() if any(re.fullmatch(hint, word) for word in (*words, last))]
    if re.fullmatch(_OF_LOSS, name):
        return "weights of a loss are mostly fixed"
    if _PARAMETER.fullmatch(last) or (value.dim() > 1 and re.fullmatch("weight_[uv]", last)):
        return next((why for why in hints if why == _LIKELY_COPY), None)
    if hints:
        return hints[0]
    if of_module:
        return "neither parameters nor buffers of the usual modules are called so"
    return "it holds nothing but 0 and 1" if value.numel() > 1 and _is_binary(value) else None


def _is_binary(value: Tensor) -> bool:
    return torch.equal(torch.unique(value), torch.tensor([0, 1], dtype=value.dtype, device=value.device))


def _statistics(tensors: Mapping[str, Tensor]) -> Iterator[str]:
    """Yield both names of what may be a mean and its spread: of one shape, the latter nowhere negative."""
    small = {_snaked(name): (name, value) for name, value in tensors.items()}
    for short, (name, mean) in small.items():
        if (match := re.fullmatch(rf"(.*[._/]|)(?:{_MEANS})(_?\d*)", short)) is None:
            continue
        wanted = re.compile(rf"{re.escape(match[1])}(?:{_SPREADS}){re.escape(match[2])}")
        for other, spread in (found for key, found in small.items() if wanted.fullmatch(key)):
            if spread.shape == mean.shape and bool((spread >= 0).all()):
                yield from (name, other)


def _second_models(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield the names that are those of other tensors, of the same shapes, behind one prefix: all that the prefix has.

    A block of a network may have layers that are called as those beside it; a second model has half of them or more.
    """
    below: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        parts = name.split(".")
        for k in range(1, len(parts) - 1):
            below.setdefault(".".join(parts[:k]) + ".", {})[".".join(parts[k:])] = value
    models = {
        prefix: inside
        for prefix, inside in below.items()
        if all(rest in tensors and tensors[rest].shape == value.shape for rest, value in inside.items())
    }
    others = [name for name in tensors if not name.startswith(tuple(models))]
    for prefix, inside in models.items():
        if 2 * len(inside) >= len(others):
            yield from ((prefix + rest, rest) for rest in inside)


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
    named = [why for why, ends in _ENDS.items() if ends.search(_snaked(name)) and (why != _SCALARS or _is_count(value))]
    if name.endswith("embed") and f"{name}_avg" in tensors:  # a codebook that is set to what its entries stand for
        return "running statistics"
    if named or _OBSERVED.search(name):
        return named[0] if named else "an observer's"
    if re.search(f"{_BEGIN}(?:mask|bias)$", name) and (
        f"{name.removesuffix('_mask')}_orig" in tensors or _is_mask(name, value)
    ):
        return "a mask"
    if _ENCODING.search(name) and _is_sinusoid(value):
        return "a fixed encoding of positions"
    if (
        (power := _POWER_VECTOR.match(name))
        and value.dim() == 1
        and any(other in tensors for other in (f"{power[1]}_orig", f"{power[1]}_bar", f"{power[1]}.original"))
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
    return re.search(rf"(?:^|[./_])(?:{words})(?:$|[./_])", _snaked(name)) is not None


def _snaked(name: str) -> str:
    """Return a name in small letters, ``runningMean`` as ``running_mean``."""
    return re.sub(r"(?<=[a-z\d])(?=[A-Z][a-z])", "_", name).lower()


def _bare(name: str) -> str:
    """Return a name without the words that tell copies and originals apart, and without separators."""
    name = _snaked(name).replace("encoder_k", "encoder").replace("encoder_q", "encoder").replace("_encoder", ".encoder")
    parts = re.split(r"[./_]", name)
    away = re.compile(f"(?:{_AVERAGED}|{_PERHAPS_AVERAGED}|{_ORIGINAL})".replace("_", ""))
    return "".join(part for part in parts if not away.fullmatch(part))
