"""The command ``transference demo``: the whole way, on modes that need no download."""

from __future__ import annotations

from pathlib import Path

import click

_MODES = ("strokes", "textures", "shapes")
_STAGES = 4


@click.command(
    epilog="""\b
Examples:
  transference demo
  transference demo --out /tmp/demo --iterations 40 --n-source 10 --n-target 2"""
)
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo"), show_default=True, help="Folder for everything.")
@click.option("--iterations", type=click.IntRange(_STAGES), default=240, show_default=True, help="Outer updates of the training.")
@click.option("--n-source", type=click.IntRange(1), default=40, show_default=True, help="Source tasks per mode.")
@click.option("--n-target", type=click.IntRange(1), default=6, show_default=True, help="Target tasks per mode.")
@click.pass_context
def demo(ctx: click.Context, out: Path, iterations: int, n_source: int, n_target: int) -> None:
    """Train a ProtoNet on the three generated modes, measure it at four stages, and draw what came out."""
    alpha = "0.01"
    checkpoints, run = out / "checkpoints", out / "run"
    every = iterations // _STAGES
    stages = [str(checkpoints / f"step-{every * (k + 1):08d}.safetensors") for k in range(_STAGES)]
    shared = ["--alpha", alpha]
    _call(ctx, "train", "--learner", "protonet", "--modes", ",".join(_MODES), "--iterations", str(every * _STAGES),
          "--save-every", str(every), "--meta-batch", "6", "--out", str(checkpoints))  # fmt: skip
    modes = [word for mode in _MODES for word in ("--source", f"{mode}:train", "--target", f"{mode}:test")]
    _call(
        ctx,
        "compute",
        *stages,
        *modes,
        "--n-source",
        str(n_source),
        "--n-target",
        str(n_target),
        *shared,
        "--out",
        str(run),
    )
    for kind in ("matrix", "training", "histogram"):
        _call(ctx, "plot", str(run), "--kind", kind, *shared, "-o", str(out / f"{kind}.png"))


def _call(ctx: click.Context, *words: str) -> None:
    """Show a command as one would type it, and run it."""
    click.secho(f"\n$ transference {' '.join(words)}", bold=True, err=True)
    root = ctx.find_root()
    assert isinstance(root.command, click.Group)
    command = root.command.get_command(root, words[0])
    assert command is not None
    command.main(args=list(words[1:]), prog_name=f"transference {words[0]}", standalone_mode=False)
