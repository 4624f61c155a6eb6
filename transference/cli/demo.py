"""The command ``transference demo``: the whole way, on modes that need no download."""

from __future__ import annotations

import shlex
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import click

from transference.cli.options import FAILED_CELLS, PathType
from transference.cli.printing import say

_STAGES = 4


@dataclass(frozen=True)
class _Way:
    """What is shown.

    Attributes:
        learner: that is trained.
        modes: on which.
        iterations: outer updates, unless others are asked for.
        meta_batch: tasks of each.
        compute: further words of the measurement.
        figures: by kind, further words of each.
    """

    learner: str
    modes: tuple[str, ...]
    iterations: int
    meta_batch: int
    compute: tuple[str, ...]
    figures: dict[str, tuple[str, ...]]


_IMAGES = _Way(
    learner="protonet",
    modes=("strokes", "textures", "shapes"),
    iterations=240,
    meta_batch=6,
    compute=(),
    figures={"matrix": (), "training": ("--target", "shapes"), "histogram": ()},
)
_MODALITIES = _Way(
    learner="shared-latent",
    modes=("mix[a]", "mix[b]", "mix[a+b]"),
    iterations=600,
    meta_batch=12,
    compute=("--alpha", "0.1", "--combine", "sum", "--combine", "mgda", "--combine", "smooth-worst:2,0.1"),
    figures={"matrix": (), "training": ("--target", "mix[a+b]"), "rows": ()},
)


@click.command(
    short_help="The whole way, on generated data.",
    epilog="""\b
Examples:
  transference demo
  transference demo --modalities --out demo-modalities
  transference demo --out /tmp/demo --iterations 40 --n-source 10 --n-target 2""",
)
@click.option("--out", type=PathType(), default=Path("demo"), show_default=True, help="Folder for everything.")
@click.option("--modalities", is_flag=True, help="Of data with two modalities, and of steps that combine them.")
@click.option(
    "--iterations",
    type=click.IntRange(_STAGES),
    metavar="N",
    help=f"Outer updates of the training.  [default: {_IMAGES.iterations}, of modalities {_MODALITIES.iterations}]",
)
@click.option(
    "--n-source", type=click.IntRange(1), metavar="N", default=40, show_default=True, help="Source tasks per mode."
)
@click.option(
    "--n-target", type=click.IntRange(1), metavar="N", default=6, show_default=True, help="Target tasks per mode."
)
@click.pass_context
def demo(ctx: click.Context, out: Path, modalities: bool, iterations: int | None, n_source: int, n_target: int) -> None:
    """Train a learner on the three generated modes, measure it at four stages, and draw what came out.

    A ProtoNet on three modes of images; with --modalities encoders of two modalities with one latent space, on each alone and on both, and
    steps on all three at once.
    """
    way = _MODALITIES if modalities else _IMAGES
    checkpoints, run = out / "checkpoints", out / "run"
    every = (iterations or way.iterations) // _STAGES
    stages = [str(checkpoints / f"step-{every * (k + 1):08d}.safetensors") for k in range(_STAGES)]
    modes = [word for mode in way.modes for word in ("--source", f"{mode}:train", "--target", f"{mode}:test")]
    with redirect_stdout(StringIO()):  # what these print is told once, at the end
        _call(ctx, "train", "--learner", way.learner, "--modes", ",".join(way.modes), "--iterations", str(every * _STAGES),
              "--save-every", str(every), "--meta-batch", str(way.meta_batch), "--out", str(checkpoints))  # fmt: skip
        words = [
            *stages,
            *modes,
            *way.compute,
            "--n-source",
            str(n_source),
            "--n-target",
            str(n_target),
            "--out",
            str(run),
        ]
        failed = _call(ctx, "compute", *words)
        for kind, further in way.figures.items():
            _call(ctx, "plot", str(run), "--kind", kind, *further, "-o", str(out / f"{kind}.png"))
        _call(ctx, "report", str(run), "-o", str(out / "report.html"))
    _call(ctx, "summary", str(run))
    say(f"\nAlso drawn: {', '.join(str(out / f'{kind}.png') for kind in way.figures)}")
    say(f"All of it as a page for your browser:\n{out / 'report.html'}")
    ctx.exit(failed)


def _call(ctx: click.Context, *words: str) -> int:
    """Show a command as one would type it, run it, and return its exit code: 0, or 3 for failed cells, which do not end the demo."""
    click.secho(f"\n$ transference {shlex.join(words)}", bold=True, err=True)
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)
    command = root.command.get_command(root, words[0])
    assert command is not None
    try:
        command.main(args=list(words[1:]), prog_name=f"transference {words[0]}", standalone_mode=False)
    except SystemExit as leaving:
        if leaving.code != FAILED_CELLS:
            raise
        return FAILED_CELLS
    return 0
