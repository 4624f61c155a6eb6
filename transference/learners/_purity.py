"""Does a learner keep its word? A loss that changes when it is asked again cannot be measured."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from transference.devices import undisturbed
from transference.episodes import Episode, Params
from transference.errors import InputsError, LearnerError
from transference.learners._names import prefix_told
from transference.learners._protocol import Learner, ScoringLearner, inputs_told, told
from transference.learners._theta import Bound


@undisturbed()
def check_pure(learner: Learner, params: Params, episode: Episode) -> None:
    """Evaluate the loss twice, a gradient in between, and make sure that the two agree and that nothing moved.

    Args:
        learner: to be checked.
        params: θ on the device and in the precision of the run.
        episode: likewise.

    Raises:
        InputsError: the learner fails on an episode whose inputs have names, or that has none of those which it knows.
        LearnerError: the learner fails on the episode, its loss is no scalar that depends on the parameters, two calls
            disagree or are negative, or a call changed the parameters, the episode, the learner's own tensors or the global random state.
        KeyboardInterrupt: it was interrupted.
    """
    before = _snapshot(learner, params, episode)
    random_state = torch.get_rng_state()
    try:
        first = learner.episode_loss(params, episode)
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        loss = learner.episode_loss(leaves, episode)
        second = learner.episode_loss(params, episode)
        scored = learner.episode_scores(params, episode)[0] if isinstance(learner, ScoringLearner) else second
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit, too: it would end the command as if all were done
        hint = (
            " In an inner loop take torch.func.grad, or torch.autograd.grad of tensors that the loop itself made require gradients."
            if "does not require grad" in str(error)
            else ""
        )
        inputs = inputs_told(learner, episode)
        raise (InputsError if inputs else LearnerError)(
            f"The learner failed on the first episode: {told(error)}. "
            "The episode was: "
            f"{episode.describe()}{f'; {inputs}' if inputs else ''}.{hint}{prefix_told(_names(learner, params), error)}"
        ) from error
    if not isinstance(loss, Tensor) or loss.dim() != 0:
        if not isinstance(loss, Tensor):
            raise LearnerError(
                f"episode_loss must return a scalar tensor []; it returned {type(loss).__name__}. Leave out .item()."
            )
        found = tuple(loss.shape)
        raise LearnerError(
            f"episode_loss must return a scalar tensor []; it returned shape {found}. Take the mean over the queries."
        )
    if not loss.requires_grad:
        raise LearnerError(
            "episode_loss does not depend on params: no gradient reaches them. Does it use the module's own parameters?"
        )
    now = _snapshot(learner, params, episode)
    moved = [name for name, value in now.items() if name not in before or not same(value, before[name])]
    if moved:
        raise LearnerError(
            f"episode_loss changed {', '.join(moved[:5])}{' …' * (len(moved) > 5)}. It must be a pure function: work on copies "
            "(running statistics of batch norm are the usual culprit; ModuleLearner takes care of them)."
        )
    if not torch.equal(random_state, torch.get_rng_state()):
        raise LearnerError(
            "episode_loss draws random numbers (dropout, augmentation, noise?), so losses could not repeat. Switch "
            "them off: dropout is off in a module after .eval(), which also lets batch norm take its statistics "
            "from the checkpoint, or with p=0."
        )
    first, second, scored = first.detach(), second.detach(), scored.detach()
    tolerance = 1e-5 if first.dtype == torch.float32 else 1e-10  # some GPU kernels sum in varying order
    if not torch.allclose(first, second, rtol=tolerance, atol=0.0, equal_nan=True):
        raise LearnerError(
            f"Two calls on the same episode disagree: {float(first):.8g} and {float(second):.8g}. Something is kept between calls, or "
            "random numbers are drawn (dropout, augmentation, running statistics are the usual culprits)."
        )
    if not torch.allclose(second, scored, rtol=tolerance, atol=0.0, equal_nan=True):
        raise LearnerError(
            f"episode_scores gives the loss {float(scored):.8g} where episode_loss gives {float(second):.8g}; they must be the same number."
        )
    if float(first) < 0:
        raise LearnerError(
            f"The loss is negative ({float(first):.4g}); a ratio of losses means something only for losses of zero and above."
        )


def _names(learner: Learner, params: Params) -> list[str]:
    """Return the names of all tensors that the learner is given, those that do not move among them."""
    return [*(learner.everything(params) if isinstance(learner, Bound) else params)]


def _snapshot(learner: Learner, params: Params, episode: Episode) -> dict[str, Tensor]:
    """Return copies of every tensor that a loss could change by mistake, by a name that a message can use."""
    tensors = {f"params[{name!r}]": value for name, value in params.items()} | own_tensors(learner)
    tensors |= {f"episode.{name}": value for name, value in episode.items()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def own_tensors(learner: Learner) -> dict[str, Tensor]:
    """Return the constants that a learner is bound to, its tensors and those of its modules, likewise."""
    if isinstance(learner, Bound):
        constants = {f"params[{name!r}]": value for name, value in learner.constants.items()}
        return constants | own_tensors(learner.learner)
    tensors = {}
    for name, value in getattr(learner, "__dict__", {}).items():
        if isinstance(value, Tensor):
            tensors[f"the learner's {name}"] = value
        elif isinstance(value, nn.Module):
            tensors |= {f"the learner's {name}.{key}": tensor for key, tensor in value.state_dict().items()}
    return tensors


def same(after: Tensor, before: Tensor) -> bool:
    """Return whether two tensors have the same shape and values, NaN where the other has it."""
    if after.shape != before.shape:
        return False
    return torch.equal(after, before) or torch.equal(after.nan_to_num(), before.nan_to_num())
