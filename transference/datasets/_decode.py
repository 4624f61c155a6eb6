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
from PIL import ExifTags, Image

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

DECODING = 2
"""How images are turned into pixels; prepared files record it. 1, of version 0.1, left photographs as their camera
stored them, whatever their EXIF data said, ignored a transparent shade of 16 bits, and inverted what was transparent."""

_GREY_MODES = frozenset({"1", "L", "LA"})

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image upright, by its EXIF orientation; 1 is upright already."""


def decode(source: bytes | Path, where: str) -> Image.Image:
    """Decode one image file fully, and turn it upright if its EXIF data say how.

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
    except (
        Exception
    ) as error:  # a damaged file makes Pillow's plugins raise anything: struct.error, IndexError, zlib.error, …
        raise DataError(f"{where}: the image cannot be decoded ({error}). Replace or remove the file.") from error
    if not fitting:
        raise DataError(
            f"{where}: {image.width} × {image.height} pixels could be a decompression bomb. Scale it down, or remove the file."
        )
    return _upright(image)


def _upright(image: Image.Image) -> Image.Image:
    """Return the image as every viewer shows it. Whatever the EXIF data say that is no orientation says nothing.

    TIFF images have been turned when they were loaded, by Pillow itself, and say no more that they should be.
    """
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # damaged EXIF data make Pillow raise anything; the image is none the worse for them
        return image
    return image if turn is None else image.transpose(turn)


def to_pixels(image: Image.Image, side: int, channels: int, where: str) -> NDArray[np.uint8]:
    """Return the image as ``[channels, side, side]`` uint8.

    Raises:
        DataError: a colour image was asked for in one channel (turning it grey would be another mode than the one
            named), or its pixels have no known scale.
    """
    image = plain(image, where)
    if channels == 1 and image.mode != "L":
        raise DataError(f"{where}: the image has colours, but 1 channel was asked for. Ask for 3 channels.")
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    pixels = np.asarray(image, dtype=np.uint8)
    stacked = np.repeat(pixels[None], channels, axis=0) if image.mode == "L" else pixels.transpose(2, 0, 1)
    return np.ascontiguousarray(stacked)


def plain(image: Image.Image, where: str) -> Image.Image:
    """Return the image in 8 bits, grey (``L``) or in colours (``RGB``); what shows through is white, as on a page.

    Args:
        image: of any mode.
        where: how to name the image in a message.

    Raises:
        DataError: its pixels have no known scale, or cannot be converted.
    """
    if image.mode in ("I", "F"):
        raise DataError(f"{where}: the image has {image.mode}-mode pixels, whose scale is not known. Save it as PNG.")
    try:
        if image.mode in ("P", "PA"):
            return _of_palette(image)
        if image.mode.startswith("I;16"):
            return _of_sixteen_bits(image)
        return _on_white(image, "L" if image.mode in _GREY_MODES else "RGB")
    except Exception as error:  # a colour space that this build of Pillow cannot convert, for one
        problem = f"{image.mode}-mode pixels that cannot be converted ({error})"
        raise DataError(f"{where}: the image has {problem}. Save it as PNG.") from error


def _on_white(image: Image.Image, mode: str) -> Image.Image:
    """Return the image in this mode, with white wherever it is transparent."""
    if image.mode.endswith("A") or "transparency" in image.info:
        page = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(page, image.convert("RGBA")).convert(mode)
    return image if image.mode == mode else image.convert(mode)


def _of_palette(image: Image.Image) -> Image.Image:
    """Return an image without its palette; it is grey if all colours of the palette that are used are."""
    coloured = _on_white(image, "RGB")
    pixels = np.asarray(coloured)
    return coloured if (pixels != pixels[..., :1]).any() else coloured.getchannel(0)


def _of_sixteen_bits(image: Image.Image) -> Image.Image:
    """Return a 16-bit grey image in 8 bits; its transparent shade, if it names one, is of 16 bits too."""
    values = np.asarray(image).astype(np.uint16)
    shades = (values >> 8).astype(np.uint8)
    if isinstance(transparent := image.info.get("transparency"), int):
        shades[values == transparent] = 255
    return Image.fromarray(shades)


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
