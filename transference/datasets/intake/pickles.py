"""Python pickles of plain data, read without running what they say.

A pickle is a small program. `pickle.Unpickler` runs it, but it can only call what ``find_class`` hands out, and here that is four stand-ins
which hold bytes and check them. No function of numpy, or of anyone else, is ever called on a word of the file.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

import numpy as np
from numpy.typing import NDArray

from transference.errors import DataError

_MOST = 4 * 2**30


def read_pickle(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of numbers, texts, lists and uint8 arrays, written by Python 2 or 3.

    Args:
        path: the file.

    Returns:
        The dictionary; bytes that Python 2 wrote for text are text again, arrays are numpy arrays of uint8.

    Raises:
        DataError: the file holds anything else, is damaged, or larger than 4 GiB.
    """
    if path.stat().st_size > _MOST:
        raise DataError(f"{path} has {path.stat().st_size} bytes; a pickle of more than {_MOST} is not read.")
    try:
        with path.open("rb") as file:
            _check_memo(file)
            content = _Restricted(file, encoding="bytes").load()
        plain: dict[str, Any] = _Plain()(content if isinstance(content, dict) else {"content": content})
    except Exception as error:  # a hostile or damaged pickle can make the unpickler raise anything
        raise DataError(
            f"{path} cannot be read as a pickle of plain data ({error}). Is it the original file? Copy it again."
        ) from error
    return plain


class _StandIn:
    """What the unpickler gets in place of a class or function. It cannot be given attributes: its methods stay as they are."""

    __slots__ = ()

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it gives a state to something that has none")


class _Encode(_StandIn):
    """For ``_codecs.encode(text, "latin1")``, which is how Python 3 writes bytes for Python 2. Encoded once, however often it is used."""

    __slots__ = ("text",)

    def __init__(self, text: object, encoding: object = "") -> None:
        if encoding not in ("latin1", b"latin1") or not isinstance(text, str):
            raise pickle.UnpicklingError(f"it encodes text as {encoding!r}")
        self.text = text


class _ArrayType(_StandIn):
    """For ``numpy.ndarray``, which is only ever an argument."""

    __slots__ = ()

    def __new__(cls, *_: object) -> NoReturn:
        raise pickle.UnpicklingError("it calls numpy.ndarray")


class _Dtype(_StandIn):
    """For ``numpy.dtype``: only uint8, whose further state means nothing."""

    __slots__ = ()

    def __init__(self, code: object, *_: object) -> None:
        if code not in ("u1", b"u1", "|u1", b"|u1"):
            raise pickle.UnpicklingError(f"it holds an array of dtype {code!r}, not uint8")

    def __setstate__(self, state: object) -> None:
        """Ignore byte order and alignment: a byte has none."""


class _Array(_StandIn):
    """For ``numpy.core.multiarray._reconstruct`` and the array that it makes."""

    __slots__ = ("order", "raw", "shape")

    def __init__(self, *_: object) -> None:
        self._take(b"", (0,), "C")

    def __setstate__(self, state: object) -> None:
        """Take (version, shape, dtype, is_fortran, bytes).

        Raises:
            UnpicklingError: they do not describe an array of bytes.
        """
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Dtype):
            raise pickle.UnpicklingError("it holds an array of unknown form")
        self._take(state[4], state[1], "F" if state[3] else "C")

    def _take(self, raw: object, shape: object, order: object) -> None:
        if (
            not isinstance(shape, tuple)
            or not all(isinstance(n, int) and n >= 0 for n in shape)
            or order not in ("C", "F")
        ):
            raise pickle.UnpicklingError(f"it holds an array of shape {shape!r}")
        self.raw, self.shape, self.order = raw, shape, order


class _FromBuffer(_Array):
    """For ``numpy._core.numeric._frombuffer``, the same in protocol 5."""

    __slots__ = ()

    def __init__(self, raw: object, dtype: object, shape: object, order: object) -> None:
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("it holds an array of unknown form")
        self._take(bytes(raw) if isinstance(raw, bytearray) else raw, shape, order)


class _Restricted(pickle.Unpickler):
    _ALLOWED: ClassVar[dict[tuple[str, str], type]] = {
        ("_codecs", "encode"): _Encode,
        ("numpy", "ndarray"): _ArrayType,
        ("numpy", "dtype"): _Dtype,
        **{(f"numpy.{core}.multiarray", "_reconstruct"): _Array for core in ("core", "_core")},
        **{(f"numpy.{core}.numeric", "_frombuffer"): _FromBuffer for core in ("core", "_core")},
    }

    def find_class(self, module: str, name: str, /) -> type:
        """Return a stand-in.

        Raises:
            UnpicklingError: there is none for this name.
        """
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which plain data do not need") from None

    def persistent_load(self, pid: object, /) -> NoReturn:
        """Refuse.

        Raises:
            UnpicklingError: always.
        """
        raise pickle.UnpicklingError(f"it refers to {pid!r} outside of the file")


class _Plain:
    """Turns stand-ins into what they stand for. What the file uses in several places is turned once: it may be nested without end."""

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}
        self._bytes: dict[int, bytes] = {}

    def __call__(self, value: object) -> Any:  # noqa: ANN401 - plain data
        if id(value) not in self._done:
            self._done[id(value)] = self._turned(value)
        return self._done[id(value)]

    def _turned(self, value: object) -> Any:  # noqa: ANN401
        if isinstance(value, _Array):
            return self._array(value)
        if isinstance(value, (list, tuple)):
            return [self(item) for item in value]
        if isinstance(value, dict):
            return {self._key(key): self(item) for key, item in value.items()}
        if isinstance(value, bytes):
            return value.decode("latin1")
        if isinstance(value, _Encode):
            return value.text
        if value is None or isinstance(value, (str, int, float)):
            return value
        raise pickle.UnpicklingError(f"it holds a {type(value).__name__}")

    def _array(self, array: _Array) -> NDArray[np.uint8]:
        raw = self._encoded(array.raw) if isinstance(array.raw, _Encode) else array.raw
        if not isinstance(raw, bytes) or math.prod(array.shape) != len(raw):
            size = len(raw) if isinstance(raw, bytes) else "no"
            raise pickle.UnpicklingError(f"it holds an array of shape {array.shape} with {size} bytes")
        return np.frombuffer(raw, np.uint8).reshape(array.shape, order="F" if array.order == "F" else "C")

    def _encoded(self, text: _Encode) -> bytes:
        key = id(text.text)
        if key not in self._bytes:
            self._bytes[key] = text.text.encode("latin1")
        return self._bytes[key]

    def _key(self, key: object) -> str:
        text = self(key)
        if not isinstance(text, str):
            raise pickle.UnpicklingError(f"it has a key that is a {type(text).__name__}")
        return text


def _check_memo(file: IO[bytes]) -> None:
    """Raise `UnpicklingError` if the pickle numbers what it remembers higher than it needs to: room is made for every number below.

    Raises:
        UnpicklingError: it does.
    """
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > count + 1:
            raise pickle.UnpicklingError(f"it remembers something under the number {argument}")
    file.seek(0)
