"""Tests, agreement with the CPU, training, memory and speed on one GPU, in a few minutes and without a network.

    python -m benchmarks.gpu --out gpu-results [--minutes 9] [--only card,tests,agreement,training,halving,speed] [--toy] [--device D]

card        which card, and how fast and how exact its float32 matrix product is; TF32 is off in all stages
tests       the tests of this project that need a CUDA device
agreement   small matrices of loss ratios on the card and on the CPU, in float64 (to 1e-9) and in float32
training    outer steps a second of MProtoNet+KML at 84 pixels, and what they consist of
halving     blocks that do not fit into memory are halved, and the numbers stay what they are
speed       pairs a second: a plain loop, our engines, several sources at a time, CUDA graphs and the compiler, beside the network alone

Each stage has a share of the minutes and runs in a process of its own; a case that would begin too late is skipped, saying so. What is
found stands in OUT/results.json and OUT/results.md as soon as it is found. ``--toy`` takes seconds, on a CPU too.

Exit code: 0 all is done and holds; 1 a stage failed or a check does not hold; 2 usage; 3 something is missing, for time or because
one case failed.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from benchmarks.gpu import agreement, card, halving, speed, tests, training
from benchmarks.gpu.results import Results
from benchmarks.gpu.stages import Stage, carry_out
from benchmarks.timing import machine
from transference.devices import choose_device
from transference.errors import TransferenceError, UsageError
from transference.learners import learner_names

STAGES: dict[str, tuple[Stage, float]] = {
    "card": (card.card, 1 / 12),
    "tests": (tests.tests, 1 / 6),
    "agreement": (agreement.agreement, 1 / 6),
    "training": (training.training, 1 / 6),
    "halving": (halving.halving, 1 / 9),
    "speed": (speed.speed, 1.0),
}
"""By name, in their order, with the share of the time that each may take at most. What one leaves is for those behind it."""


def main() -> int:
    """Carry the stages out, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", default=",".join(STAGES), metavar="STAGES")
    parser.add_argument("--toy", action="store_true", help="a size for tests, on a CPU too")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    asked = parser.parse_args()
    try:
        _check_installed()
        device = _device(asked.device, toy=asked.toy)
        wanted = _wanted(asked.only)
    except TransferenceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        return carry_all_out(wanted, asked.out, device, asked.toy, 60 * asked.minutes)
    except KeyboardInterrupt:
        print(f"interrupted; what was found until then is in {asked.out}", file=sys.stderr)
        return 130


def carry_all_out(wanted: list[str], out: Path, device: str, toy: bool, seconds: float) -> int:
    """Carry stages out within so many seconds, print how each ended, and return the exit code."""
    # What is asked of the card is asked in another process: this one leaves the card alone.
    about = {**machine(torch.device("cpu")), "device": device, "toy": toy, "minutes": seconds / 60}
    results, end = Results(out, about), time.monotonic() + seconds
    for name in wanted:
        stage, share = STAGES[name]
        begun = time.monotonic()
        status = carry_out(stage, device, toy, min(share * seconds, end - begun), lambda row: results.add(name, row))  # noqa: B023
        results.end(name, status, time.monotonic() - begun)
        print(f"{name}: {status}, {time.monotonic() - begun:.0f} s", flush=True)
    print(f"\n{results.as_markdown()}\n{out / 'results.json'}\n{out / 'results.md'}")
    return results.exit_code()


def _check_installed() -> None:
    """Make sure that this Python finds learners and datasets, which it is told of when the package is installed.

    Raises:
        UsageError: it finds none.
    """
    if not learner_names():
        raise UsageError(
            f"{sys.executable} finds no learner, as if this package were not installed. In the checkout: {sys.executable} -m pip "
            "install --no-index --no-deps --no-build-isolation --editable ."
        )


def _device(name: str, *, toy: bool) -> str:
    """Return the device to use.

    Raises:
        UsageError: it is a CPU, and not a toy is asked for.
    """
    device = choose_device(name)
    if device.type != "cuda" and not toy:
        raise UsageError(
            f"--device {name} was asked for, and this machine has {torch.cuda.device_count()} CUDA devices; add --toy to try "
            "all of it on a CPU, at a size that says nothing of speed."
        )
    return "cuda:0" if device == torch.device("cuda") else str(device)


def _wanted(names: str) -> list[str]:
    """Return the stages that are asked for.

    Raises:
        UsageError: one is none.
    """
    wanted = names.split(",")
    if unknown := [name for name in wanted if name not in STAGES]:
        raise UsageError(
            f"--only {names} was asked for; {', '.join(unknown)} is no stage, which are {', '.join(STAGES)}."
        )
    return [name for name in STAGES if name in wanted]


if __name__ == "__main__":
    sys.exit(main())
