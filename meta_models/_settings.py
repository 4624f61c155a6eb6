"""Are a learner's settings of the right kind? They come from TOML files and from checkpoints, where no type checker looks."""

from __future__ import annotations

import dataclasses
import math
from typing import Any


def check_settings(learner: Any, **at_least: int) -> None:  # noqa: ANN401 - any of our dataclasses
    """Make sure that a dataclass's truth values, integers and floats are such, and not negative.

    Args:
        learner: the dataclass.
        at_least: least values other than 0, by field.

    Raises:
        ValueError: one is not.
    """
    for field in dataclasses.fields(learner):
        value = getattr(learner, field.name)
        least = at_least.get(field.name, 0)
        if field.type == "bool":
            right, wanted = isinstance(value, bool), "true or false"
        elif field.type == "int":
            right, wanted = type(value) is int and value >= least, f"a whole number, {least} or above"
        elif field.type == "float":
            right, wanted = (
                type(value) in {int, float} and math.isfinite(value) and value >= least,
                f"a finite number, {least} or above",
            )
        else:
            continue
        if not right:
            raise ValueError(f"{field.name} is {value!r}; it must be {wanted}")
