"""MAML and MMAML on functions of one variable (Vuorio et al., NeurIPS 2019, the regression benchmark; code MMAML-Regression).

    φ ← φ - lr · clamp(∇_φ mse_support(φ)),    L = mean squared error of the queries at φ

The network has three hidden layers of 100 ReLU units and no norm. MAML's reads x together with 20 learned numbers b, adapted like all
else ("bias transformation"). MMAML's layers are modulated before ReLU, ``(1 + γ_l) ⊙ h_l + β_l``, by linear generators from a task
vector: a two-layer bidirectional LSTM with 40 units a direction reads the support pairs (x, y) in the order given, and the last output of
the forward direction is joined to that at the first pair of the backward one. The generators are used in reversed order: the last one
modulates layer 1.

Deviations: the released command for two modes has a single generator, for layer 1; here there are three, as in its commands for three and
five modes, unless ``generators`` says otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from meta_models._settings import check_settings
from meta_models.backbones import conv4, task_encoder
from meta_models.maml import InnerLoop
from meta_models.multi import Multi
from meta_models.training import Recipe
from transference import Episode, Params

HIDDEN = 100
LAYERS = 3
B = 20
"""Length of MAML's bias transformation."""
UNITS = 40
"""Of the LSTM, in each of its two directions."""

_DIRECTIONS = ("", "_reverse")


@dataclass(frozen=True)
class RegressionMAML:
    """MAML on functions: the benchmark's network of 22 521 parameters.

    Args:
        inner_steps: gradient steps on the support set.
        inner_lr: their size.
        clamp: each element of an inner gradient is limited to ± this; 0 does not limit it.
        second_order: let the outer gradient go through the inner steps.
        adapt_bias: let the inner loop adapt b. The released Multi-MAML does not: only the outer loop learns its b, which begins at N(0, 1).

    Raises:
        ValueError: a number is negative or of the wrong kind.
    """

    inner_steps: int = 5
    inner_lr: float = 0.001
    clamp: float = 0.0
    second_order: bool = True
    adapt_bias: bool = True

    def __post_init__(self) -> None:
        check_settings(self)

    def init_params(self, seed: int) -> Params:
        """Return fresh parameters: weights N(0, 0.01²), all else zero, but for a b that is not adapted, N(0, 1)."""
        generator = torch.Generator().manual_seed(seed)
        b = torch.zeros(B) if self.adapt_bias else torch.empty(B).normal_(generator=generator)
        return {"bias_transformation": b} | _network(generator, inputs=1 + B)

    def recipe(self, modes: int) -> Recipe:
        """Return the released training."""
        return _recipe(modes)

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the mean squared error of the queries after adaptation, ``[]``."""
        return F.mse_loss(self.predict(params, episode), episode.query_y)

    def predict(self, params: Params, episode: Episode) -> Tensor:
        """Return the queries' values ``[n_query, 1]`` after adaptation."""
        inner_loop = InnerLoop(self.inner_steps, self.inner_lr, self.clamp, self.second_order)
        fixed = {} if self.adapt_bias else {"bias_transformation": params["bias_transformation"]}
        support_loss = lambda adapted: F.mse_loss(
            _with_bias({**adapted, **fixed}, episode.support_x), episode.support_y
        )
        adapted = inner_loop(support_loss, {name: value for name, value in params.items() if name not in fixed})
        return _with_bias({**adapted, **fixed}, episode.query_x)


@dataclass(frozen=True)
class RegressionMMAML:
    """MMAML on functions: the benchmark's network of 20 501 parameters, and 101 720 in encoder and generators.

    Args:
        inner_steps: gradient steps on the support set.
        inner_lr: their size.
        clamp: each element of an inner gradient is limited to ± this; 0 does not limit it.
        second_order: let the outer gradient go through the inner steps.
        generators: layers that are modulated, from the first; 0 to 3.

    Raises:
        ValueError: a number is negative or of the wrong kind.
    """

    inner_steps: int = 5
    inner_lr: float = 0.001
    clamp: float = 10.0
    second_order: bool = True
    generators: int = LAYERS

    def __post_init__(self) -> None:
        check_settings(self)
        if self.generators > LAYERS:
            raise ValueError(f"generators is {self.generators}; there are {LAYERS} layers to modulate")

    def init_params(self, seed: int) -> Params:
        """Return fresh parameters: the network's weights N(0, 0.01²) and biases zero, encoder and generators as torch initialises them."""
        rng = torch.Generator().manual_seed(seed)
        params = _network(rng, inputs=1)
        for layer, inputs in enumerate((2, 2 * UNITS)):
            for direction in _DIRECTIONS:
                shapes = {
                    "weight_ih": (4 * UNITS, inputs),
                    "weight_hh": (4 * UNITS, UNITS),
                    "bias_ih": (4 * UNITS,),
                    "bias_hh": (4 * UNITS,),
                }
                for part, shape in shapes.items():
                    bound = UNITS**-0.5
                    params[f"encoder.rnn.{part}_l{layer}{direction}"] = torch.empty(shape).uniform_(
                        -bound, bound, generator=rng
                    )
        for k in range(self.generators):
            params |= conv4.torch_default(f"generator.{k}", (2 * HIDDEN, 2 * UNITS), rng)
        return params

    def recipe(self, modes: int) -> Recipe:
        """Return the released training."""
        return _recipe(modes)

    def episode_loss(self, params: Params, episode: Episode) -> Tensor:
        """Return the mean squared error of the queries after adaptation, ``[]``."""
        return F.mse_loss(self.predict(params, episode), episode.query_y)

    def predict(self, params: Params, episode: Episode) -> Tensor:
        """Return the queries' values ``[n_query, 1]`` after adaptation."""
        film = self.modulators(params, episode)
        inner_loop = InnerLoop(self.inner_steps, self.inner_lr, self.clamp, self.second_order)
        support_loss = lambda p: F.mse_loss(_layers(p, episode.support_x, film), episode.support_y)
        return _layers(inner_loop(support_loss, task_encoder.without(params)), episode.query_x, film)

    def modulators(self, params: Params, episode: Episode) -> dict[int, Tensor]:
        """Return γ and then β, ``[200]``, for each modulated layer."""
        pairs = torch.cat([episode.support_x, episode.support_y], dim=1)
        made = task_encoder.generate(params, _task_vector(params, pairs), self.generators)
        return dict(enumerate(reversed(made), start=1))


def regression_multi_maml(
    modes: Sequence[str],
    inner_steps: int = 5,
    inner_lr: float = 0.001,
    clamp: float = 0.0,
    second_order: bool = True,
    adapt_bias: bool = True,
    per_mode: Mapping[str, Mapping[str, Any]] | None = None,
) -> Multi:
    """Multi-MAML on functions: one RegressionMAML per mode. ``per_mode`` has other settings for single modes."""
    shared = {
        "inner_steps": inner_steps,
        "inner_lr": inner_lr,
        "clamp": clamp,
        "second_order": second_order,
        "adapt_bias": adapt_bias,
    }
    return Multi.of(RegressionMAML, modes, shared, per_mode)


def _recipe(modes: int) -> Recipe:
    return Recipe(iterations=70_000, meta_batch=25 * modes, clip_norm=2.0, shots=5, queries=5)


def _network(generator: torch.Generator, inputs: int) -> Params:
    sizes = {
        "layer1_linear": (HIDDEN, inputs),
        "layer2_linear": (HIDDEN, HIDDEN),
        "layer3_linear": (HIDDEN, HIDDEN),
        "output_linear": (1, HIDDEN),
    }
    params: Params = {}
    for name, shape in sizes.items():
        params[f"{name}.weight"] = torch.empty(shape).normal_(0.0, 0.01, generator=generator)
        params[f"{name}.bias"] = torch.zeros(shape[0])
    return params


def _with_bias(params: Params, x: Tensor) -> Tensor:
    """Return the values of the network that reads x and b, ``[n, 1]``."""
    b = params["bias_transformation"].expand(len(x), B)
    return _layers(params, torch.cat([x, b], dim=1), {})


def _layers(params: Params, x: Tensor, film: Mapping[int, Tensor]) -> Tensor:
    """Return the network's values ``[n, 1]``; ``film`` has the modulators of those layers that are modulated."""
    for layer in range(1, LAYERS + 1):
        x = F.linear(x, params[f"layer{layer}_linear.weight"], params[f"layer{layer}_linear.bias"])
        if layer in film:
            gamma, beta = film[layer].chunk(2)
            x = (1 + gamma) * x + beta
        x = F.relu(x)
    return F.linear(x, params["output_linear.weight"], params["output_linear.bias"])


def _task_vector(params: Params, pairs: Tensor) -> Tensor:
    """Return the LSTM's reading ``[80]`` of pairs ``[n, 2]``."""
    sequence = list(pairs)
    for layer in range(2):
        forward = _lstm(params, f"_l{layer}", sequence)
        backward = _lstm(params, f"_l{layer}_reverse", sequence[::-1])[::-1]
        sequence = [torch.cat(both) for both in zip(forward, backward, strict=True)]
    return torch.cat([sequence[-1][:UNITS], sequence[0][UNITS:]])


def _lstm(params: Params, which: str, sequence: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs ``[40]`` of one direction of one layer, step by step.

    It is written out because torch's LSTM cannot be batched by vmap.
    """
    w_x, b_x, w_h, b_h = (
        params[f"encoder.rnn.{part}{which}"] for part in ("weight_ih", "bias_ih", "weight_hh", "bias_hh")
    )
    h = c = sequence[0].new_zeros(UNITS)
    outputs = []
    for x in sequence:
        gates = F.linear(x, w_x, b_x) + F.linear(h, w_h, b_h)
        i, f, g, o = gates.chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        outputs.append(h)
    return outputs
