"""Episodes per second from prepared images, beside decoding JPEGs for every episode and beside a plain ``torch.utils.data`` loader.

    python -m benchmarks.datasets [--side 84] [--episodes 10000] [--prepare 100000] [--folder DIR] [--json FILE]

All three give 5-way 1-shot episodes with 15 queries as float32 in [0, 1], from the same 84×84 JPEG files, which are drawn first (the
generated mode textures). Decoding per episode is what a careful user writes with Pillow, torch and numpy: it draws classes and files,
decodes the 80 images in the two threads that pay here, and stacks them. The loader is an index of class folders with a batch sampler that
draws the same kind of episode, two worker processes, and the default collation. They take turns; the median of the rounds is printed.

With ``--prepare N`` it first prepares N images, and tells the time, the peak of anonymous memory (what cannot be given back to the system
without being written out), and the time to open the result.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

import transference as tr
from benchmarks.timing import machine
from transference.datasets import find_reader
from transference.datasets.preparing import preparation, prepare

WAYS, SHOTS, QUERIES = 5, 1, 15
MODE = "textures"


def main() -> None:
    """Time everything, print a table, and write it as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=84)
    parser.add_argument(
        "--episodes",
        type=int,
        default=10_000,
        help="from prepared images; the others do a share of it and are extrapolated",
    )
    parser.add_argument(
        "--share", type=float, default=0.05, help="of the episodes that the two slower ways are timed on"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prepare", type=int, default=0, metavar="N", help="also prepare N images")
    parser.add_argument("--folder", type=Path, help="where to put the images; by default a temporary folder")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp())
    try:
        results = _run(asked, folder)
    finally:
        if not asked.folder:
            shutil.rmtree(folder)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2) + "\n")


def _run(asked: argparse.Namespace, folder: Path) -> dict[str, object]:
    about = machine(torch.device("cpu")) | {"pillow": PIL.__version__, "side": asked.side}
    print(json.dumps(about))
    files = _draw(folder / "jpeg" / MODE, asked.side)
    with preparation("drawn", files, folder / "data", side=asked.side) as work:
        prepare(work)
    tasks = tr.few_shot(
        "drawn:all", data_root=folder / "data", ways=WAYS, shots=SHOTS, queries=QUERIES, side=asked.side
    )
    few = max(1, int(asked.episodes * asked.share))
    ways: dict[str, tuple[int, Callable[[int], Iterator[object]]]] = {
        "prepared, mapped (ours)": (asked.episodes, lambda n: (tasks[k] for k in range(n))),
        "decoding per episode": (few, lambda n: _decoding(files, asked.side, n)),
        "torch.utils.data loader": (few, lambda n: _loader(files, asked.side, n)),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, (n, episodes) in ways.items():
            start = time.perf_counter()
            assert sum(1 for _ in episodes(n)) == n
            rates[name].append(n / (time.perf_counter() - start))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    print(f"{'':26}{'episodes/s':>12}{'ratio to decoding':>20}   (timed on)")
    for name, rate in medians.items():
        print(
            f"{name:26}{rate:12.1f}{rate / medians['decoding per episode']:20.1f}   ({ways[name][0]} episodes, {asked.rounds} rounds)"
        )
    prepared = _prepare(files, folder, asked.side, asked.prepare) if asked.prepare else None
    return {**about, "episodes_per_second": medians, "preparing": prepared}


def _draw(folder: Path, side: int) -> Path:
    """Write the train split of a generated mode as JPEG files in class folders, and return the folder."""
    if not folder.exists():
        for picture in find_reader(MODE).pictures("train"):
            path = folder / picture.class_name / f"{picture.image_id}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.load().resize((side, side), Image.Resampling.LANCZOS).save(path, quality=90)
    return folder


def _pixels(path: Path, side: int) -> Tensor:
    with Image.open(path) as image:
        scaled = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(scaled)).permute(2, 0, 1).float() / 255


def _decoding(files: Path, side: int, n: int) -> Iterator[object]:
    classes = [sorted(folder.iterdir()) for folder in sorted(files.iterdir())]
    rng = random.Random(0)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(n):
            drawn = [rng.sample(of_class, SHOTS + QUERIES) for of_class in rng.sample(classes, WAYS)]
            images = list(pool.map(lambda path: _pixels(path, side), [path for paths in drawn for path in paths]))
            grouped = torch.stack(images).unflatten(0, (WAYS, -1))
            yield grouped[:, :SHOTS].flatten(0, 1), grouped[:, SHOTS:].flatten(0, 1)


class _Files(Dataset[tuple[Tensor, int]]):
    """Images of class folders with their labels, as a loader wants them."""

    def __init__(self, folder: Path, side: int) -> None:
        self.side = side
        self.files = [
            (path, label)
            for label, of_class in enumerate(sorted(folder.iterdir()))
            for path in sorted(of_class.iterdir())
        ]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        return _pixels(path, self.side), label


def _loader(files: Path, side: int, n: int) -> Iterator[object]:
    dataset = _Files(files, side)
    classes: dict[int, list[int]] = {}
    for index, (_, label) in enumerate(dataset.files):
        classes.setdefault(label, []).append(index)
    rng = random.Random(0)
    batches = [
        [index for label in rng.sample(sorted(classes), WAYS) for index in rng.sample(classes[label], SHOTS + QUERIES)]
        for _ in range(n)
    ]
    yield from DataLoader(dataset, batch_sampler=batches, num_workers=2)


def _prepare(files: Path, folder: Path, side: int, n: int) -> dict[str, float]:
    """Prepare ``n`` images, copies of the drawn ones, and tell what it took."""
    many = folder / "many"
    originals = [path.read_bytes() for path in sorted(files.rglob("*.jpg"))]
    for k in range(n):
        path = many / f"class-{k // 600:03d}" / f"{k % 600:03d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(originals[k % len(originals)])
    before, peak, done = _anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, _anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    with preparation("many", many, folder / "data", side=side) as work:
        file = prepare(work, progress=True)
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    start = time.perf_counter()
    tr.open_dataset("many:all", data_root=folder / "data", side=side)
    opened = time.perf_counter() - start
    found = {
        "images": n,
        "seconds": seconds,
        "images_per_second": n / seconds,
        "peak_MB": (peak - before) / 2**20,
        "open_seconds": opened,
    }
    print(
        f"preparing {n} images ({file.path.stat().st_size / 1e9:.2f} GB): {seconds:.0f} s, {n / seconds:.0f} images/s, "
        f"{found['peak_MB']:.0f} MB of memory beyond what was in use; opened in {opened:.3f} s"
    )
    return found


def _anonymous() -> int:
    """Return the bytes of memory in use that are no part of a mapped file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    main()
