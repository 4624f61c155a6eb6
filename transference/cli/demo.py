"""The command ``transference demo``: the whole way, on modes that need no download."""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import click

from transference.cli.options import FAILED_CELLS, PathType
from transference.cli.printing import say

_MODES = ("strokes", "textures", "shapes")
_STAGES = 4


@click.command(
    short_help="The whole way, on generated images.",
    epilog="""\b
Examples:
  transference demo
  transference demo --out /tmp/demo --iterations 40 --n-source 10 --n-target 2""",
)
@click.option("--out", type=PathType(), default=Path("demo"), show_default=True, help="Folder for everything.")
@click.option(
    "--iterations",
    type=click.IntRange(_STAGES),
    metavar="N",
    default=240,
    show_default=True,
    help="Outer updates of the training.",
)
@click.option(
    "--n-source", type=click.IntRange(1), metavar="N", default=40, show_default=True, help="Source tasks per mode."
)
@click.option(
    "--n-target", type=click.IntRange(1), metavar="N", default=6, show_default=True, help="Target tasks per mode."
)
@click.pass_context
def demo(ctx: click.Context, out: Path, iterations: int, n_source: int, n_target: int) -> None:
    """Train a ProtoNet on the three generated modes, measure it at four stages, and draw what came out."""
    checkpoints, run = out / "checkpoints", out / "run"
    every = iterations // _STAGES
    stages = [str(checkpoints / f"step-{every * (k + 1):08d}.safetensors") for k in range(_STAGES)]
    modes = [word for mode in _MODES for word in ("--source", f"{mode}:train", "--target", f"{mode}:test")]
    with redirect_stdout(StringIO()):  # what these print is told once, at the end
        _call(ctx, "train", "--learner", "protonet", "--modes", ",".join(_MODES), "--iterations", str(every * _STAGES),
              "--save-every", str(every), "--meta-batch", "6", "--out", str(checkpoints))  # fmt: skip
        words = [*stages, *modes, "--n-source", str(n_source), "--n-target", str(n_target), "--out", str(run)]
        failed = _call(ctx, "compute", *words)
        _call(ctx, "plot", str(run), "--kind", "matrix", "-o", str(out / "matrix.png"))
        _call(ctx, "plot", str(run), "--kind", "training", "--target", _MODES[-1], "-o", str(out / "training.png"))
        _call(ctx, "plot", str(run), "--kind", "histogram", "-o", str(out / "histogram.png"))
        _call(ctx, "report", str(run), "-o", str(out / "report.html"))
    _call(ctx, "summary", str(run))
    say(f"\nAlso drawn: {out / 'matrix.png'}, {out / 'training.png'}, {out / 'histogram.png'}")
    say(f"All of it as a page for your browser:\n{out / 'report.html'}")
    ctx.exit(failed)


def _call(ctx: click.Context, *words: str) -> int:
    """Show a command as one would type it, run it, and return its exit code: 0, or 3 for failed cells, which do not end the demo."""
    click.secho(f"\n$ transference {' '.join(words)}", bold=True, err=True)
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
