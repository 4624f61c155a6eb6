"""The columns of every table in a run folder, and what a cell's status means."""

from __future__ import annotations

import pyarrow as pa

STATUSES = ("ok", "non_finite", "zero_loss", "out_of_memory")
"""What became of a cell. Only ``ok`` cells have a loss ratio, the others hold NaN.

``ok``
    there is a ratio, finite and above 0.
``non_finite``
    a loss is infinite, NaN or negative, or their ratio lies beyond the range of float64. So is an estimate that falls below 0: it is no
    loss at all, and says that the step is too large for a tangent; ``zero_loss`` would say that the target was solved.
``zero_loss``
    the loss before or after is 0: the ratio is not defined, or its logarithm is not. The losses tell which.
``out_of_memory``
    the device ran out of memory.
"""

PAIRS = pa.schema(
    [
        ("source", pa.int32()),
        ("target", pa.int32()),
        ("replicate", pa.int16()),
        ("alpha", pa.float64()),
        ("loss_before", pa.float64()),
        ("loss_after", pa.float64()),
        ("loss_ratio", pa.float64()),
        ("first_order", pa.float32()),
        ("accuracy_before", pa.float32()),
        ("accuracy_after", pa.float32()),
        ("status", pa.dictionary(pa.int8(), pa.string())),
    ]
)
"""One row per source, target, replicate and step size. ``first_order`` is what the gradients at θ alone say of ``log(loss_ratio)``:
``⟨∇L_j, d⟩ / L_j(θ)``, which for a plain step is ``-α⟨∇L_i, ∇L_j⟩ / L_j``; NaN where it was not computed, or the loss before is no finite
number above 0."""

_TEMPERED = pa.schema(
    [
        *PAIRS,
        ("temperature_before", pa.float64()),
        ("temperature_after", pa.float64()),
        ("tempered_before", pa.float64()),
        ("tempered_after", pa.float64()),
        ("tempered_ratio", pa.float64()),
    ]
)
"""In a run whose losses were read at their best temperature too (pairs, and where the spec says so self-transference and
controls): the temperatures, of all targets of the target's mode,
before and after the step; the target's losses at them; and the ratio of these, NaN unless the status is ``ok``, both
losses are finite and above 0, and neither temperature is the lowest of `transference.spec.TEMPERATURES`, where there is
no best one."""


def pairs_schema(*, tempered: bool) -> pa.Schema:
    """Return the columns of the pairs of a run, whose losses may have been read at their best temperature too."""
    return _TEMPERED if tempered else PAIRS


CONTROL_NAMES = ("measured", "zero", "float64", "resampled", "random_direction")

OLD_CONTROL_NAMES = {"fresh": "resampled", "placebo": "random_direction"}
"""What folders of version 0.1 call them."""

CONTROLS = pa.schema([("control", pa.dictionary(pa.int8(), pa.string())), *PAIRS])
"""One row per control of a pair: see `transference.measurement`."""


def controls_schema(*, tempered: bool) -> pa.Schema:
    """Return the columns of the controls of a run, whose losses may have been read at their best temperature too."""
    return pa.schema([CONTROLS.field(0), *pairs_schema(tempered=tempered)])


SOURCES = pa.schema(
    [
        ("source", pa.int32()),
        ("alpha", pa.float64()),
        ("loss", pa.float64()),
        ("gradient_norm", pa.float64()),
        ("displacement_norm", pa.float64()),
    ]
)
"""One row per source and step size: its own loss at θ, the norms of its gradient (moving parameters) and of its displacement."""

_COMBINED = pa.schema([*SOURCES, ("weights", pa.list_(pa.float64())), ("unexplained", pa.float64())])
"""In a run with combinations. ``weights``: of a combination, the weight of each source mode's displacement in its own, null of any other
source; ``unexplained``: the length of what such a sum leaves of the displacement, over the displacement's."""


def sources_schema(*, combined: bool) -> pa.Schema:
    """Return the columns of the sources of a run, which may have combinations of others among them."""
    return _COMBINED if combined else SOURCES


TASKS = pa.schema(
    [
        ("role", pa.string()),
        ("id", pa.int32()),
        ("sampler", pa.string()),
        ("index", pa.int32()),
        ("mode", pa.string()),
        ("split", pa.string()),
        ("ways", pa.int32()),
        ("shots", pa.int32()),
        ("queries", pa.int32()),
        ("seed", pa.int64()),
        ("class_names", pa.list_(pa.string())),
        ("support_ids", pa.list_(pa.string())),
        ("query_ids", pa.list_(pa.string())),
    ]
)
"""One row per task; ``role`` is source or target, and ``id`` is what the other tables call it within its role."""
