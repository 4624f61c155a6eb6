"""Execute notebooks from the top, and save them with their outputs: ``make notebooks``.

What would differ from one time or machine to the next is left out: when a cell ran, which Python ran it. Kernels have one thread, as sums
in another order change the last digits.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).parent
KERNEL = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
SECONDS = 600  # for a cell, on a busy machine


def executed(notebook: NotebookNode, folder: str | Path) -> NotebookNode:
    """Return a notebook with the outputs that it has now, without what depends on the time or the machine.

    Args:
        notebook: to be executed; it stays as it is.
        folder: where its kernel works.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    made = nbformat.from_dict(notebook)
    where = {"metadata": {"path": str(folder)}}
    quiet = ["--IPKernelApp.log_level=ERROR"]  # kernels of this machine say that their messages on it are not encrypted
    client = NotebookClient(
        made, timeout=SECONDS, kernel_name="python3", record_timing=False, resources=where, extra_arguments=quiet
    )
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    made.metadata = nbformat.from_dict(KERNEL)
    for cell in made.cells:
        cell.metadata = nbformat.from_dict({})
    return made


def main(paths: list[str]) -> None:
    """Execute and save the notebooks named, else all."""
    for path in map(Path, paths or sorted(FOLDER.glob("*.ipynb"))):
        with TemporaryDirectory() as folder:
            nbformat.write(executed(nbformat.read(path, as_version=4), folder), path)


if __name__ == "__main__":
    main(sys.argv[1:])
