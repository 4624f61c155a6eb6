"""From bytes to pixels: the only place that decodes and scales images."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from transference.errors import DataError

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What is tried on a file. Others stay out: Pillow hands PostScript to an external interpreter, for one."""

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
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"{where}: the image cannot be decoded ({error}). Replace or remove the file.") from error
    return image


def to_pixels(image: Image.Image, side: int, channels: int, where: str) -> NDArray[np.uint8]:
    """Return the image as ``[channels, side, side]`` uint8.

    Raises:
        DataError: a colour image was asked for in one channel (turning it grey would be another mode than the one named), or its pixels
            have no known scale.
    """
    if image.mode in ("I", "F"):
        raise DataError(f"{where}: the image has {image.mode}-mode pixels, whose scale is not known. Save it with 8 or 16 bits a channel.")
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
