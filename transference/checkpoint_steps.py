"""Which outer update a checkpoint of another program was saved after: what the file says, else what its name says.

In this order, the first that there is:

1. a count of updates in the file (``step``, ``global_step``, ``iteration``, …);
2. a number that the name marks as a step or an iteration (``step=1200``, ``iter_5000``, ``10k_steps``, ``ckpt-500``);
3. a number at the end of the name (``net_5000.pt``) that is not evidently something else: an architecture, a score, a
   seed, a date;
4. a number that the name of its folder marks (``checkpoint-1000/pytorch_model.bin``);
5. a count of epochs, in the file or marked in the name;
6. none: step 0.

What was inferred is always told, and ``--step`` overrules it.
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
_NUMBER = r"(\d+)(k|m)?(?![a-z\d])(?!\.\d)"  # not the beginning of 0.91 nor of 5way

_SETTINGS_BEFORE = re.compile(
    r"(?:^|[^a-z])(?:inner|adapt|adaptation|fast|num|n|no|max|min|test|eval|val|warmup|warm|lr|grad|accum|accumulation|"
    r"update|every|save|decay|per)[_\-. ]*$"
)
"""A step of these is a setting: ``inner_steps_5`` says nothing of the training."""

_ALWAYS_OTHER = re.compile(
    "acc|accuracy|top|f1|auc|map|miou|psnr|ssim|score|metric|err|error|loss|nll|ppl|bleu|mse|rmse|mae|reward|return|"
    "lr|alpha|beta|gamma|eps|epsilon|wd|decay|momentum|temp|temperature|tau|lambda|dropout|"
    "seed|fold|split|run|exp|trial|version|ver|rev|gpu|rank|device|worker|shard|part|of|copy|job|slurm|pid|id|"
    "ways?|shots?|query|queries|tasks?|class|classes|cls|steps?|iters"
)
"""Words whose number is never a step. (Of a step only those come here that are a setting.)"""

_SMALL_OTHER = re.compile(
    "[vwnkqsdexbrm]|dims?|hidden|hid|width|depth|layers?|heads?|bs|batch|batchsize|mbs?|ubs|size|side|img|images?|res|resolution|"
    "patch|px|channels?|ch|filters|stage|phase|level|degree|deg|pool|vocab|rotation|"
    "resnet|resnext|wrn|wideresnet|wide|vgg|vit|deit|swin|beit|mae|clip|densenet|efficientnet|mobilenet|shufflenet|squeezenet|"
    "convnext|regnet|inception|darknet|dpn|senet|alexnet|googlenet|mnasnet|gpt|bert|mlp|lstm|gru|unet|dino|mixer|rn|dncnn|"
    "cub|cifar|fc|voc|ilsvrc|caltech|sun|food|imagenet|miniimagenet|tinyimagenet|tieredimagenet|in|mini|tiered|quickdraw|dtd|"
    "mnist|coco|birds"
)
"""Words whose number is a step only if it is far too large for what they count: sizes, architectures, datasets."""

_LARGEST_OTHER = 2100

_TWO_NUMBERS = re.compile("wrn|wide|vit|deit|swin|beit|clip|mixer")
"""Architectures with a second number behind the first, as in ``wrn28_10`` and ``vit_b16_224``."""

_WIDTHS = (32, 64, 128, 256, 512)
"""Of the networks that few-shot papers call Conv4-64."""

_SIZE_WORDS = re.compile("[blshgtx]|ti|base|large|small|tiny|huge|giant|patch|mini")
_BARE_AFTER = re.compile("models?|net|network|weights|params|state|learner|maml|protonet|reptile|anil|saved?|epoch")
"""Words that a large number may follow without a separator (``model15999``, in the first MAML program)."""

_LEAST_ATTACHED = 100


@dataclass(frozen=True)
class Found:
    """A step, and where it comes from, as the end of a sentence."""

    step: int
    origin: str


NOTHING = Found(0, "neither the file nor its name tells one")


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
_MOST = 2**53
"""What is larger is no count of updates, and no reader of the run's files could tell it from its neighbours."""


def _said(content: Mapping[str, object], keys: tuple[str, ...]) -> Found | None:
    """Return the first of these counts that the file holds."""
    inside = content.get(_WITHIN)
    for place in (content, inside if isinstance(inside, Mapping) else {}):
        flat = place is content and all(
            isinstance(value, Tensor) for value in content.values()
        )  # there `step` may be a tensor of a network
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
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value < 0 or value > _MOST or value % 1:  # noqa: PLR0124 - NaN
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
        if found and not (words is _SAVED and _is_timestamp(found[-1][1])):
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
    match = re.search(rf"(?<![a-z])(?:epochs?|ep)[_\-=:.# ]*{_NUMBER}", name) or re.search(
        r"(?<![a-z\d])(?<!\d\.)(\d+)()[_\- ]?(?:epochs?|ep)(?![a-z\d])", name
    )
    return Found(_value(match), f"its name, {path.name!r}, tells an epoch and no step") if match else None


def _at_the_end(stem: str) -> Found | None:
    """Return the number at the end of a name, unless it is evidently something else."""
    name = _without_dates(re.sub(r"[ _-]*\(\d+\)$", "", _plain(stem)))
    match = re.search(r"(?:^|[^a-z\d.]|(?<!\d)\.|(?P<attached>[a-z]+))(\d+)(k)?$", name)
    if match is None or re.search(r"\de[-+]\d+$", name):
        return None
    before, number = name[: match.start(2)], _value(match, first=2)
    word = match["attached"]
    if word is not None:
        if not _BARE_AFTER.fullmatch(word) or number < _LEAST_ATTACHED or _is_epoch(before):
            return None
    elif _is_epoch(before) or _is_timestamp(match[2]) or _is_other(before, number):
        return None
    return Found(number, "the number at the end of its name, which nothing marks as a step")


def _is_epoch(before: str) -> bool:
    return re.search(r"(?<![a-z])(?:epochs?|ep)[^a-z\d]*$", before) is not None


def _is_timestamp(digits: str) -> bool:
    """Return whether a number counts the seconds or milliseconds since 1970."""
    return len(digits) in {10, 13} and digits.startswith(("14", "15", "16", "17", "18", "19"))


def _without_dates(name: str) -> str:
    """Return a name without dates and the times behind them: 2023-11-05, 05.11.2023, 20231105_1230."""
    year, month, day = r"(?:19|20)\d\d", r"(?:0[1-9]|1[0-2])", r"(?:0[1-9]|[12]\d|3[01])"
    time = r"(?:[-_t ]*(?:[01]\d|2[0-3])[-_.:h]?[0-5]\d(?:[-_.:m]?[0-5]\d)?)?"
    dates = rf"(?:{year}([-_.]?){month}\1{day}|{day}([-_.]){month}\2{year}|{month}([-_.]){day}\3{year})"
    return re.sub(rf"(?<!\d){dates}{time}(?!\d)", "", name)


def _is_other(before: str, number: int) -> bool:
    """Return whether what stands before a number says that it is no step: the nearest word that is more than a size."""
    score = re.search(r"(?:top|acc|f|hits?|prec|recall)@?\d{1,2}[^a-z\d]+$", before) and number <= 100  # top1_76
    width = re.search(r"conv\d[^a-z\d]+$", before) and number in _WIDTHS
    if score or width:
        return True
    for word in reversed(list(re.finditer("[a-z]+", before))):
        own = re.search(r"\d$", before[: word.start()]) or re.match(r"\d", before[word.end() :])  # 5way, resnet18
        nearest = not re.search(r"\d", before[word.end() :])
        if _ALWAYS_OTHER.fullmatch(word[0]):
            return nearest and not own
        one_letter = word.end() == 1 and word[0] != "v"  # the name is one letter and a number
        small = _SMALL_OTHER.fullmatch(word[0]) and number <= _LARGEST_OTHER
        if small and not one_letter and (nearest or not own or _TWO_NUMBERS.fullmatch(word[0])):
            return True
        if one_letter or not _SIZE_WORDS.fullmatch(word[0]):
            return False
    return False


def _value(match: re.Match[str], first: int = 1) -> int:
    return int(match[first]) * {None: 1, "": 1, "k": 1000, "m": 1_000_000}[match[first + 1]]
