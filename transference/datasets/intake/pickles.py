"""Python pickles of plain data, read without running what they say.

A pickle is a small program. `pickle.Unpickler` runs it, but it can only call what ``find_class`` hands out, and here that is four stand-ins
which hold bytes or objects and check them. No function of numpy, or of anyone else, is ever called on a word of the file.
"""

from __future__ import annotations

import math
import pickle
import pickletools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import IO, Any, ClassVar, NoReturn

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from transference.errors import DataError, first_line

_MOST = 4 * 2**30

_DTYPES = {"u1": "uint8", "i4": "int32", "i8": "int64", "f4": "float32", "f8": "float64", "O8": "objects"}
"""The kinds of arrays that are understood at all, by their codes in a file; whoever reads one says which he expects."""


def read_pickle(path: Path) -> dict[str, Any]:
    """Read a pickled dictionary of numbers, texts, lists and uint8 arrays, written by Python 2 or 3.

    Args:
        path: the file.

    Returns:
        The dictionary; bytes that Python 2 wrote for text are text again, arrays are numpy arrays of uint8.

    Raises:
        DataError: the file holds anything else, is damaged, or larger than 4 GiB.
    """
    content = _read(path, lambda _: None, ("u1",))
    return content if isinstance(content, dict) else {"content": content}


def read_object_array(path: Path) -> Any:  # noqa: ANN401 - plain data
    """Read a ``.npy`` file of Python objects, as `numpy.save` writes an array of them, a single dictionary for one.

    Args:
        path: the file.

    Returns:
        What the array holds: a list, or the one object of an array without axes. It is made of dictionaries, lists,
        numbers, texts, and numpy arrays of uint8, int32, int64, float32 and float64, in the byte order of this machine.

    Raises:
        DataError: the file holds anything else, is damaged, or larger than 4 GiB.
    """
    return _read(path, _skip_header, tuple(_DTYPES))


def _read(path: Path, begin: Callable[[IO[bytes]], object], dtypes: Collection[str]) -> Any:  # noqa: ANN401
    """Return what a file holds from where ``begin`` leaves it.

    Raises:
        DataError: it is not plain data with arrays of these dtypes.
    """
    if path.stat().st_size > _MOST:
        raise DataError(f"{path} has {path.stat().st_size} bytes; a pickle of more than {_MOST} is not read.")
    try:
        with path.open("rb") as file:
            begin(file)
            _check_memo(file)
            return _Plain(dtypes)(_Restricted(file, encoding="bytes").load())
    except Exception as error:  # a hostile or damaged pickle can make the unpickler raise anything
        raise DataError(
            f"{path} cannot be read as a pickle of plain data ({first_line(error)}). Is it the original file? Copy it again."
        ) from error


def _skip_header(file: IO[bytes]) -> None:
    """Go past the header of a ``.npy`` file.

    Raises:
        UnpicklingError: it has none, or is of numbers, behind which no pickle stands.
    """
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in readers:
        raise pickle.UnpicklingError(f"it is a .npy file of version {version}")
    _, _, dtype = readers[version](file)
    if dtype != np.dtype(object):
        raise pickle.UnpicklingError(f"it is an array of {dtype}, not of objects")


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
    """For ``numpy.dtype``: a plain kind of number, or of objects, and its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: object, *_: object) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else code
        self.code, self.order = (text.lstrip("|") if isinstance(text, str) else ""), "="
        if self.code not in _DTYPES:
            raise pickle.UnpicklingError(f"it holds an array of dtype {text!r}, which is not read")

    def __setstate__(self, state: object) -> None:
        """Take (version, byte order, subarray, names, fields, …), of which plain numbers have the first two.

        Raises:
            UnpicklingError: there is more of them.
        """
        order = state[1] if isinstance(state, tuple) and len(state) >= 5 else None
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if order not in ("<", ">", "|", "=") or any(part is not None for part in state[2:5]):  # type: ignore[index]
            raise pickle.UnpicklingError("it holds an array of unknown form")
        self.order = order


class _Array(_StandIn):
    """For ``numpy.core.multiarray._reconstruct`` and the array that it makes."""

    __slots__ = ("dtype", "order", "raw", "shape")

    def __init__(self, *_: object) -> None:
        self._take(b"", (0,), _Dtype("u1"), "C")

    def __setstate__(self, state: object) -> None:
        """Take (version, shape, dtype, is_fortran, bytes).

        Raises:
            UnpicklingError: they do not describe an array.
        """
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("it holds an array of unknown form")
        self._take(state[4], state[1], state[2], "F" if state[3] else "C")

    def _take(self, raw: object, shape: object, dtype: object, order: object) -> None:
        if not isinstance(dtype, _Dtype):
            raise pickle.UnpicklingError("it holds an array of unknown form")
        if (
            not isinstance(shape, tuple)
            or not all(isinstance(n, int) and n >= 0 for n in shape)
            or order not in ("C", "F")
        ):
            raise pickle.UnpicklingError(f"it holds an array of shape {shape!r}")
        self.raw, self.shape, self.dtype, self.order = raw, shape, dtype, order


class _FromBuffer(_Array):
    """For ``numpy._core.numeric._frombuffer``, the same in protocol 5."""

    __slots__ = ()

    def __init__(self, raw: object, dtype: object, shape: object, order: object) -> None:
        self._take(bytes(raw) if isinstance(raw, bytearray) else raw, shape, dtype, order)


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
    """Turns stand-ins into what they stand for. What the file uses in several places is turned once: it may be nested without end.

    Args:
        dtypes: codes of the arrays that are expected; others are refused.
    """

    def __init__(self, dtypes: Collection[str]) -> None:
        self._dtypes = dtypes
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

    def _array(self, array: _Array) -> Any:  # noqa: ANN401
        code = array.dtype.code
        if code not in self._dtypes:
            expected = " or ".join(_DTYPES[known] for known in self._dtypes)
            raise pickle.UnpicklingError(f"it holds an array of dtype {code!r}, not {expected}")
        return self._objects(array) if code == "O8" else self._numbers(array)

    def _numbers(self, array: _Array) -> NDArray[Any]:
        raw = self._encoded(array.raw) if isinstance(array.raw, _Encode) else array.raw
        kept = np.dtype(array.dtype.order + array.dtype.code)
        if not isinstance(raw, bytes) or math.prod(array.shape) * kept.itemsize != len(raw):
            size = len(raw) if isinstance(raw, bytes) else "no"
            raise pickle.UnpicklingError(f"it holds an array of shape {array.shape} with {size} bytes")
        values = np.frombuffer(raw, kept).reshape(array.shape, order="F" if array.order == "F" else "C")
        return values.astype(kept.newbyteorder("="), copy=False)

    def _objects(self, array: _Array) -> Any:  # noqa: ANN401
        """Return the list of a row of objects, or the one that an array without axes holds.

        Raises:
            UnpicklingError: there are other axes, or not as many objects as the shape says.
        """
        if not isinstance(array.raw, list) or len(array.shape) > 1 or math.prod(array.shape) != len(array.raw):
            raise pickle.UnpicklingError(
                f"it holds an array of shape {array.shape} of objects that are no list of them"
            )
        return self(array.raw) if array.shape else self(array.raw[0])

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
    start = file.tell()
    for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > count + 1:
            raise pickle.UnpicklingError(f"it remembers something under the number {argument}")
    file.seek(start)
