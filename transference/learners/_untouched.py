"""Does a learner leave alone what it is given, all the way? `check_pure` asks on the first tasks only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from transference.episodes import Episode, Params
from transference.learners._protocol import EpisodeError, Learner
from transference.learners._purity import own_tensors, same

_NAMED = 3
_DEVICE, _DTYPE = "torch's default device", "torch's default dtype"


@contextmanager
def untouched(
    learners: Sequence[Learner] = (), params: Params | None = None, episodes: Sequence[Episode] = ()
) -> Iterator[None]:
    """Make sure that calls of a learner in the block leave as it was all that later calls share with them.

    Values are compared, since ``.data`` passes by torch's own count of changes. That count serves for episodes, which are larger.

    Args:
        learners: the learner, and the copies of it that are called; none of them is called by another thread meanwhile.
        params: what it is called with.
        episodes: those that stay in memory.

    Raises:
        EpisodeError: some changed, so that other calls answered for something else than they were asked.
    """
    before = [
        {name: tensor.detach().clone() for name, tensor in tensors.items()}
        for tensors in _all_tensors(learners, params or {})
    ]
    versions, settings = _versions(episodes), _settings()
    yield
    changed = [name for name, value in _settings().items() if value != settings[name]]
    torch.set_default_dtype(settings[_DTYPE])
    if _DEVICE in changed:
        torch.set_default_device(settings[_DEVICE])
    for then, now in zip(before, _all_tensors(learners, params or {}), strict=True):
        changed += [name for name, value in then.items() if name not in now or not same(now[name], value)]
    changed += [
        name for (name, then_at), (_, now_at) in zip(versions, _versions(episodes), strict=True) if now_at != then_at
    ]
    if names := list(dict.fromkeys(changed)):
        raise EpisodeError(
            f"it changed {', '.join(names[:_NAMED])}{' …' * (len(names) > _NAMED)}, which other tasks are measured with, so none of these "
            "numbers is kept. episode_loss must work on copies (w = w + step, not w.add_(step) or params['w'] = w) and set nothing"
        )


def _settings() -> dict[str, Any]:
    return {_DEVICE: torch.get_default_device(), _DTYPE: torch.get_default_dtype()}


def _all_tensors(learners: Sequence[Learner], params: Params) -> list[Params]:
    return [{f"params[{name!r}]": value for name, value in params.items()}, *map(own_tensors, learners)]


def _versions(episodes: Sequence[Episode]) -> list[tuple[str, int]]:
    return [(f"episode.{name}", tensor._version) for episode in episodes for name, tensor in episode.items()]
