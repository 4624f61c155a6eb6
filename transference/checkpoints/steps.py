"""Which outer update a checkpoint of another program was saved after: what the file says, else what its name says.

In this order, the first that there is:

1. a count of updates in the file (``step``, ``global_step``, ``iteration``, …);
2. a number that the name marks as a step, an iteration or a checkpoint (``step=1200``, ``iter_5000``, ``ckpt-500``);
3. a number at the end of the name that is all of it (``5000.pt``), or stands behind a word for what programs save
   (``net_5000.pt``, ``model_0004999.pth``); behind a method's name only a round one (``maml_conv_1000.pt``), and behind
   other plain words only the first (``mine_1.pt``);
4. a number that the name of its folder marks (``checkpoint-1000/pytorch_model.bin``);
5. a count of epochs, in the file or marked in the name;
6. none: a checkpoint that is measured alone is counted as step 0, and of several each must have one.

Digits behind any other word count something else more often than not: an architecture's layers, a score, a size, a
dataset's classes. Nothing is inferred from them. What was inferred is always told, and ``--step`` overrules it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

_UPDATES = (
    "global_step", "global_steps", "step", "steps", "iteration", "iterations", "iter", "iters", "it", "itr", "n_iter", "n_iters",
    "iter_num", "num_iter", "current_iter", "current_step", "current_iteration", "train_step", "train_steps", "train_iter",
    "num_updates", "n_updates", "update", "updates", "outer_step", "meta_step", "meta_iter", "meta_iteration", "it_i",
)  # fmt: skip
"""What programs call a count of updates in a file, the surest first."""

_EPOCHS = ("epoch", "epochs", "current_epoch", "epoch_num", "n_epoch", "num_epoch")
_WITHIN = "meta"
"""A dictionary inside the file in which some programs keep their counts."""

_SUFFIX = re.compile(
    r"\.(?:pth?|ckpt|safetensors|bin|tar|t7|th|torch|models?|weights?|params?|state|state_dict|"
    r"pkl|pickle|gz|zip|xz|bz2|h5|npz|msgpack)$",
    re.IGNORECASE,
)
_ITERATION = r"(?:global[_-]?)?steps?|iterations?|iters?|itrs?|it|updates?"
_SAVED = r"checkpoints?|chkpts?|ckpts?|ckp|cpt|snapshots?|snap"
_NUMBER = r"(\d+)(k|m)?(?![a-z\d])(?!\.\d)(?![_,]\d{3}(?!\d))"  # not the beginning of 0.91, 5way or 1_000

_SETTINGS_BEFORE = re.compile(
    r"(?:^|[^a-z])(?:inner|adapt|adaptation|fast|num|n|no|max|min|test|eval|val|warmup|warm|lr|grad|gradient|accum|accumulation|"
    r"update|every|save|decay|per)[_\-. ]*$"
)
"""A step of these is a setting: ``inner_steps_5`` says nothing of the training."""

_STEM = "model|net|network|weights|params|parameters|state|learner|saved?|backup"
"""What programs call that which they save, beside the words for a checkpoint."""

_METHOD = "maml|fomaml|anil|protonet|reptile|kml|gated|gatedconv"
_TASK = r"\d+[_-]?(?:ways?|shots?|w|s)|\d+w\d+s"
_SETUP = rf"conv\d?|multi|{_TASK}"
"""What may stand between a method's name and its step."""

_BETWEEN = r"[_\-. ]"
_FRONT = re.compile(rf"(?:(?:{_STEM}|{_METHOD}|{_TASK}){_BETWEEN}+)*")
_BEHIND_STEM = re.compile(rf"(.*?)(?<![a-z])({_STEM}){_BETWEEN}*")
_BEHIND_METHOD = re.compile(rf"(?:{_STEM}|{_METHOD})(?:{_BETWEEN}+(?:{_METHOD}|{_SETUP}))*{_BETWEEN}*")

_ROUND = 500
"""Steps behind a method's name are its multiples, from 1000 on: other numbers there are ways, widths, years."""

_RANKED = re.compile(r"(?<![a-z])(?:best|top|worst|num|n|no|max|min)[_\-. ]+$")
"""Words before a stem that make its number a score or a size: ``best_model_62``."""

_COUNTED_FROM_ONE = re.compile(
    "seed|fold|split|run|exp|experiment|trial|attempt|v|ver|version|rev|part|shard|rank|gpu|stage|phase|level|job|id|top|"
    "ways?|shots?|query|queries|class|cls|tasks?|layers?|heads?|block|depth|lr|alpha|acc|best|final|"
    ".*net"
)
"""Words whose 1 is the first of something else than of what was saved."""

_MOST_UNMARKED = 10_000_000
"""What is larger and not marked as a step is a date, a time, a number of a job or a hash that happens to lack letters."""

_LEAST_ATTACHED = 100


@dataclass(frozen=True)
class Found:
    """A step, and where it comes from, as the end of a sentence."""

    step: int
    origin: str


NOTHING = Found(0, "neither the file nor its name tells one; compute's --step does")


def step_of(content: Mapping[str, object], path: Path) -> Found:
    """Return the step of a checkpoint, from the file's content or else from its name.

    Args:
        content: of the file: what it holds beside the tensors.
        path: of the file.
    """
    of_epoch = (_said(content, _EPOCHS), _epoch_in(path))
    candidates = (_said(content, _UPDATES), step_in_name(path), *of_epoch)
    return next((found for found in candidates if found), NOTHING)


def step_in_name(path: Path) -> Found | None:
    """Return the step that the name of a file, or else of one of the two folders above it, tells; None without one."""
    stem = _stem(path.name)
    folders = [name for name in path.parts[-3:-1][::-1] if not set(name) <= {".", "/"}]
    in_folders = (_marked(_plain(name), f"the name of its folder, {name!r}") for name in folders)
    candidates = (_marked(_plain(stem), f"its name, {path.name!r}"), _at_the_end(stem), *in_folders)
    return next((found for found in candidates if found), None)


_DIGITS = 18
MOST_STEPS = 2**53
"""What is larger is no count of updates, and no reader of the run's files could tell it from its neighbours."""


def _said(content: Mapping[str, object], keys: tuple[str, ...]) -> Found | None:
    """Return the first of these counts that the file holds."""
    inside = content.get(_WITHIN)
    for place in (content, inside if isinstance(inside, Mapping) else {}):
        # there `step` may be a tensor of a network
        flat = place is content and all(isinstance(value, Tensor) for value in content.values())
        for key in keys if not flat else ():
            if (step := _count(place.get(key))) is not None:
                return Found(step, f"the file says {key} {step}")
    return None


def _count(value: object) -> int | None:
    """Return a value as a count, None if it is none; the metadata of safetensors are strings."""
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 else None
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < _DIGITS else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not 0 <= value <= MOST_STEPS or value % 1:  # nor NaN, which lies nowhere
        return None
    return int(value)


def _stem(name: str) -> str:
    """Return a file's name without its suffixes, as many as there are: ``net_5000.pth.tar`` is ``net_5000``."""
    while shorter := _SUFFIX.sub("", name, count=1):
        if shorter == name:
            break
        name = shorter
    return name


def _plain(name: str) -> str:
    """Return a name in small letters, words that only capitals set apart separated."""
    return re.sub(r"(?<=[a-z\d])(?=[A-Z][a-z])", "_", name).lower()


def _marked(name: str, where: str) -> Found | None:
    """Return the number that a word of the name marks as a step or an iteration, else as what was saved."""
    # What was saved may be called by a date, and by its epoch in front of its step (checkpoint_3_5000).
    undated = re.sub(rf"(?<![a-z])({_SAVED})([_-])\d+[_-](?=\d+$)", r"\1\2", _without_dates(name))
    for words, text in ((_ITERATION, name), (_SAVED, undated)):
        found = [match for match in _before_numbers(words, text) if not _SETTINGS_BEFORE.search(text[: match.start()])]
        found += [match for match in _after_numbers(words, text) if match[2] or int(match[1]) >= _LEAST_ATTACHED]
        if found and _value(found[-1]) <= (MOST_STEPS if words is _ITERATION else _MOST_UNMARKED):
            return Found(_value(found[-1]), f"{where} tells it")
    return None


def _before_numbers(words: str, name: str) -> Iterator[re.Match[str]]:
    return re.finditer(rf"(?<![a-z])(?:{words})[_\-=:.# ]*{_NUMBER}", name)


def _after_numbers(words: str, name: str) -> Iterator[re.Match[str]]:
    """Find ``60000_steps``; a small one, as in ``5step``, is a setting of the inner loop."""
    return re.finditer(rf"(?<![a-z\d])(?<!\d\.)(\d+)(k|m)?[_\- ]?(?:{words})(?![a-z\d])", name)


def _epoch_in(path: Path) -> Found | None:
    """Return the epoch that the name marks."""
    name = _plain(_stem(path.name))
    behind = re.finditer(rf"(?<![a-z])(?:epochs?|ep)[_\-=:.# ]*{_NUMBER}", name)
    match = next((found for found in behind if not _SETTINGS_BEFORE.search(name[: found.start()])), None) or re.search(
        r"(?<![a-z\d])(?<!\d\.)(\d+)()[_\- ]?(?:epochs?|ep)(?![a-z\d])", name
    )
    return Found(_value(match), f"its name, {path.name!r}, tells an epoch and no step") if match else None


def _at_the_end(stem: str) -> Found | None:
    """Return the number at the end of a name, if it is all of it or stands behind a word that tells that it is a step."""
    name = _without_dates(re.sub(r"[ _-]*\(\d+\)$", "", stem)).strip("_-. ")
    match = re.fullmatch(r"(.*?)(?<!\d)(?<!\d\.)(\d+)(k)?", name.lower())
    if match is None or int(match[2]) >= _MOST_UNMARKED:
        return None
    before, number = match[1], _value(match, first=2)
    attached = re.search(r"[a-z]$", before) is not None
    if (attached and number < _LEAST_ATTACHED) or not (not before or _tells_a_step(before, number) or _is_first(name)):
        return None
    return Found(number, "the number at the end of its name, which nothing marks as a step")


def _tells_a_step(before: str, number: int) -> bool:
    """Return whether what stands before a number ends with what was saved, or is a method's name and the number round."""
    if match := _BEHIND_STEM.fullmatch(before):
        front, stem = match.groups()
        # "net" is the last syllable of many an architecture, and no stem behind words that are not known.
        return _FRONT.fullmatch(front) is not None if stem.startswith("net") else not _RANKED.search(front)
    return _BEHIND_METHOD.fullmatch(before) is not None and number >= 2 * _ROUND and number % _ROUND == 0


def _is_first(name: str) -> bool:
    """Return whether a name is small words and a 1, as of the first of what was saved."""
    match = re.fullmatch(r"(?:[a-z]+_)*([a-z]+)_1", name)
    return match is not None and not _COUNTED_FROM_ONE.fullmatch(match[1])


def _without_dates(name: str) -> str:
    """Return a name without dates and the times behind them: 2023-11-05, 05.11.2023, 20231105_1230."""
    year, month, day = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
    time = r"(?:[-_t ]*(?:[01]\d|2[0-3])[-_.:h]?[0-5]\d(?:[-_.:m]?[0-5]\d)?)?"
    dates = rf"(?:{year}([-_.]?){month}\1{day}|{day}([-_.]){month}\2{year}|{month}([-_.]){day}\3{year})"
    return re.sub(rf"(?<!\d){dates}{time}(?!\d)", "", name)


def _value(match: re.Match[str], first: int = 1) -> int:
    return int(match[first]) * {None: 1, "": 1, "k": 1000, "m": 1_000_000}[match[first + 1]]
