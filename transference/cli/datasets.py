"""The commands ``transference datasets …``."""

from __future__ import annotations

from pathlib import Path

import click

from transference.datasets import dataset_names, find_reader, open_dataset
from transference.errors import DataError


@click.group()
def datasets() -> None:
    """List the datasets, or look at one."""


@datasets.command(
    "list",
    epilog="""\b
Examples:
  transference datasets list
  transference datasets list --data-root data""",
)
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder with NAME.parquet or NAME/ for each dataset.")
def list_datasets(data_root: Path | None) -> None:
    """List what there is, with its splits.

    The generated modes come first, then what lies in the data root: classes and images per split.
    """
    for name in dataset_names(data_root):
        try:
            reader = find_reader(name, data_root)
            sizes = ", ".join(f"{split}: {size.classes} classes, {size.images} images" for split, size in reader.splits().items())
            click.echo(f"{name:16} {sizes}  ({reader.where})")
        except DataError as error:  # one bad file must not hide the others
            click.echo(f"{name:16} cannot be used: {error}")


@datasets.command(
    epilog="""\b
Examples:
  transference datasets show strokes:train -o strokes.png
  transference datasets show omniglot:test --data-root data --classes 6 -o sheet.png"""
)
@click.argument("mode", metavar="NAME:SPLIT")
@click.option("--data-root", type=click.Path(path_type=Path), help="Folder with NAME.parquet or NAME/ for each dataset.")
@click.option("--side", type=click.IntRange(1), metavar="N", default=28, show_default=True, help="Pixels along each edge.")
@click.option("--classes", type=click.IntRange(1), metavar="N", default=8, show_default=True, help="Rows.")
@click.option("--images", type=click.IntRange(1), metavar="N", default=10, show_default=True, help="Columns.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="PNG, PDF or SVG.")
def show(mode: str, data_root: Path | None, side: int, classes: int, images: int, output: Path) -> None:
    """Draw a contact sheet: one row per class."""
    from transference.figures import contact_sheet, save

    dataset = open_dataset(mode, data_root=data_root, side=side)
    rows = range(min(classes, len(dataset.class_names)))
    pictures = [dataset.images[dataset.starts[c] : min(dataset.starts[c] + images, dataset.starts[c + 1])].numpy() for c in rows]
    save(contact_sheet(pictures, [dataset.class_names[c] for c in rows]), output)
    click.echo(output)
