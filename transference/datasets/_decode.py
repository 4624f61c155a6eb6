"""From bytes to pixels: the only place that decodes and scales images."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transference.errors import DataError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is tried on a file. Others stay out: Pillow hands PostScript to an external interpreter, for one."""

MOST_PIXELS = 2**26
"""A larger image is taken for a decompression bomb: a quarter of a GiB at four bytes a pixel, before anything is done with it."""

MOST_ALONG_AN_EDGE = 2**16
"""So is a longer one: scaling keeps a table of weights for every pixel along an edge."""

_AHEAD = 64
"""Images in work at a time: enough to keep every core busy, few enough to bound the memory."""

Item = TypeVar("Item")
Result = TypeVar("Result")

_GREY_MODES = frozenset({"1", "L", "LA", "I;16", "I;16B", "I;16L"})


def decode(source: bytes | Path, where: str) -> Image.Image:
    """Decode one image file fully.

    Args:
        source: the file's content, or its path.
        where: how to name the image in a message.

    Raises:
        DataError: the image is truncated, damaged, of no known format, or so large that it looks like a decompression bomb.
    """
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        # Pillow only warns at this size, and turning its warnings into errors for a moment is not safe in threads.
        if fitting := image.width * image.height <= MOST_PIXELS and max(image.size) <= MOST_ALONG_AN_EDGE:
            image.load()
    except Exception as error:  # a damaged file makes Pillow's plugins raise anything: struct.error, IndexError, zlib.error, …
        raise DataError(f"{where}: the image cannot be decoded ({error}). Replace or remove the file.") from error
    if not fitting:
        raise DataError(f"{where}: {image.width} × {image.height} pixels could be a decompression bomb. Scale it down, or remove the file.")
    return image


def to_pixels(image: Image.Image, side: int, channels: int, where: str) -> NDArray[np.uint8]:
    """Return the image as ``[channels, side, side]`` uint8.

    Raises:
        DataError: a colour image was asked for in one channel (turning it grey would be another mode than the one named), or its pixels
            have no known scale.
    """
    if image.mode in ("I", "F"):
        raise DataError(f"{where}: the image has {image.mode}-mode pixels, whose scale is not known. Save it as PNG.")
    grey = image.mode in _GREY_MODES
    if channels == 1 and not grey:
        raise DataError(f"{where}: the image has colours, but 1 channel was asked for. Ask for 3 channels.")
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:  # what shows through is white, as on a page
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image.convert("RGBA")).convert("L" if grey else "RGB")
    elif image.mode != ("L" if grey else "RGB"):
        image = image.convert("L" if grey else "RGB")
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.uint8)
    stacked = np.repeat(pixels[None], channels, axis=0) if grey else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(stacked)


def each_in_turn(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Callable[[], Result]]]:
    """Do ``work`` on every item, on all cores, a bounded number at a time.

    Decoding and scaling are done outside of Python's lock, so threads suffice; nothing has to be copied between processes.

    Args:
        work: what to do; may raise.
        items: taken as needed.

    Yields:
        In the order of the items, each with a function that returns its result or raises what ``work`` raised.
    """
    waiting: deque[tuple[Item, Callable[[], Result]]] = deque()
    pool = ThreadPoolExecutor(cores())
    try:
        for item in items:
            waiting.append((item, pool.submit(work, item).result))
            if len(waiting) >= _AHEAD:
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(cancel_futures=True)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
