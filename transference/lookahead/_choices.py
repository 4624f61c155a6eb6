"""Lookaheads by name."""

from __future__ import annotations

from transference.later import Choices

LOOKAHEADS = Choices(
    {
        "sgd": "transference.lookahead._lookahead:SGD",
        "normalised": "transference.lookahead._lookahead:Normalised",
        "adam": "transference.lookahead._lookahead:Adam",
        "outer": "transference.lookahead._lookahead:Outer",
    }
)
"""By the names that the command knows; each takes ``alpha`` and ``moves``."""
