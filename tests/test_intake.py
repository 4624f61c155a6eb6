"""What comes from outside: archives, pickles and images that mean harm, each refused with its message and nothing left behind."""

import bz2
import codecs
import gzip
import io
import os
import pickle
import stat
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from tests import originals as make
from transference.datasets import _decode
from transference.datasets._decode import decode
from transference.datasets.intake import Limits, is_archive, read_object_array, read_pickle, unpack
from transference.errors import DataError


def tar_of(*members, kind="w:gz"):
    """A tar archive of ``(name, content)`` or of ready-made members."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=kind) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return content.getvalue()


def special(name, kind, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zip_of(*members, **settings):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, **settings) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return content.getvalue()


def zip_link():
    info = zipfile.ZipInfo("images/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zip_of((info, "/etc/passwd"))


def sparse():
    """A member that claims a gigabyte of holes."""
    header = bytearray(tar_of(("images/sparse", b""), kind="w")[:512])
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[483:495] = b"%011o\0" % 2**30
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + bytes(1024)


def long_header():
    """An extended header that claims 2 GiB, for a reader that asks for it all at once."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 2**31
    return info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024)


def encrypted():
    content = bytearray(zip_of(("a.png", b"abc")))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def twice():
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zip_of(("a.png", b"1"), ("a.png", b"2"))


def lying_size():
    """A zip entry that unpacks to more than it says."""
    content = bytearray(zip_of(("a.png", bytes(100_000))))
    at = content.index(b"PK\x01\x02") + 24
    content[at : at + 4] = struct.pack("<I", 10)
    return bytes(content)


def packed_by(method):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        archive.writestr("a.png", bytes(1000))
    return content.getvalue()


def signed(header):
    """A tar header with its checksum made right."""
    blank = header[:148] + b" " * 8 + header[156:]
    return blank[:148] + b"%06o\0 " % sum(blank) + blank[156:]


def negative_size():
    header = bytearray(tar_of(PLAIN, kind="w")[:512])
    header[124:136] = b"\xff" * 12
    return signed(bytes(header)) + bytes(1024)


def damaged_header():
    """The second of two headers has a bit that was flipped; a reader that takes it for the end loses a file and says nothing."""
    content = bytearray(tar_of(PLAIN, ("images/b.png", b"content"), kind="w"))
    content[1024 + 3] ^= 1
    return bytes(content)


def altered(content):
    return content[:20_000] + bytes([content[20_000] ^ 1]) + content[20_001:]


PLAIN = ("images/a.png", b"content")
REFUSED = {
    "parent in tar": (
        lambda: tar_of(PLAIN, ("../escaped", b"x")),
        r"holds '../escaped', which is not a plain relative name",
    ),
    "parent inside": (lambda: tar_of(("images/../../escaped", b"x")), "is not a plain relative name"),
    "absolute in tar": (lambda: tar_of(PLAIN, ("/tmp/escaped", b"x")), "is not a plain relative name"),
    "parent in zip": (lambda: zip_of(PLAIN, ("../escaped", b"x")), "is not a plain relative name"),
    "absolute in zip": (lambda: zip_of(("/tmp/escaped", b"x")), "is not a plain relative name"),
    "backslash in zip": (lambda: tar_of(("..\\escaped", b"x")), "is not a plain relative name"),
    "drive letter": (lambda: zip_of(("C:escaped", b"x")), "is not a plain relative name"),
    "control letter": (lambda: tar_of(("images/a\x1b[2J.png", b"x")), "is not a plain relative name"),
    "too deep": (lambda: tar_of(("a/" * 40 + "b", b"x")), "is not a plain relative name"),
    "too long": (lambda: tar_of(("a" * 300, b"x")), "is not a plain relative name"),
    "link": (lambda: tar_of(PLAIN, special("images/link", tarfile.SYMTYPE, "/etc")), "a link, device or sparse file"),
    "through a link": (
        lambda: tar_of(special("images", tarfile.SYMTYPE, "/tmp"), ("images/escaped", b"x")),
        "a link, device or sparse",
    ),
    "hard link": (
        lambda: tar_of(PLAIN, special("b.png", tarfile.LNKTYPE, "images/a.png")),
        "a link, device or sparse file",
    ),
    "device": (lambda: tar_of(special("null", tarfile.CHRTYPE)), "a link, device or sparse file"),
    "pipe": (lambda: tar_of(special("pipe", tarfile.FIFOTYPE)), "a link, device or sparse file"),
    "sparse": (sparse, "a link, device or sparse file"),
    "link in zip": (zip_link, "a link or device"),
    "encrypted": (encrypted, "which is encrypted"),
    "twice in zip": (twice, "holds a.png twice"),
    "twice in tar": (lambda: tar_of(PLAIN, PLAIN), "holds images/a.png twice"),
    "file and folder": (lambda: tar_of(("a", b"x"), ("a/b", b"x")), "cannot be unpacked"),
    "too many": (lambda: tar_of(*((f"{k}.png", b"") for k in range(60))), "holds more than 50 files"),
    "too many in zip": (lambda: zip_of(*((f"{k}.png", b"") for k in range(60))), "holds 60 files, more than 50"),
    "too large": (lambda: tar_of(("noise", os.urandom(5_000_000)), kind="w"), "unpacks to more than 4000000 bytes"),
    "too large in zip": (lambda: zip_of(("noise", os.urandom(5_000_000))), "unpacks to more than 4000000 bytes"),
    "bomb in tar": (lambda: tar_of(("zeros", bytes(3_000_000))), "unpacks to more than 100 times its own size"),
    "bomb in zip": (lambda: zip_of(("zeros", bytes(3_000_000))), "unpacks to more than 100 times its own size"),
    "bomb of bombs": (lambda: gzip.compress(bytes(3_000_000)), "neither|cannot be unpacked|more than 100 times"),
    "long header": (long_header, r"has a header that claims \d+ bytes"),
    "bzip2 in zip": (lambda: packed_by(zipfile.ZIP_BZIP2), "compressed in a way that is not read"),
    "lzma in zip": (lambda: packed_by(zipfile.ZIP_LZMA), "compressed in a way that is not read"),
    "negative size": (negative_size, "holds|cannot be unpacked"),
    "damaged header": (damaged_header, "a damaged header at byte 1024"),
    "cut at a header": (lambda: tar_of(PLAIN, PLAIN, kind="w")[:1024], "a damaged header at byte 1024"),
    "size that lies": (lying_size, "cannot be unpacked"),
    "cut tar": (lambda: tar_of(("noise", os.urandom(50_000)))[:-20_000], "cannot be unpacked .* Is it whole?"),
    "cut before the checksum": (lambda: tar_of(("noise", os.urandom(50_000)))[:-6], "cannot be unpacked"),
    "wrong checksum": (lambda: tar_of(PLAIN)[:-8] + b"\0" * 8, "cannot be unpacked"),
    "cut zip": (lambda: zip_of(("noise", os.urandom(50_000)))[:-20_000], "cannot be unpacked"),
    "altered zip": (lambda: altered(zip_of(("noise", os.urandom(50_000)))), "cannot be unpacked"),
    "no archive": (lambda: b"just some text", "cannot be unpacked"),
    "empty file": (lambda: b"", "cannot be unpacked"),
}
LIMITS = Limits(files=50, size=4_000_000)


def everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.parametrize("case", REFUSED)
def test_hostile_archives_are_refused_and_leave_nothing(case, tmp_path):
    build, message = REFUSED[case]
    (tmp_path / "outer").mkdir()
    archive = tmp_path / "outer" / "evil"
    archive.write_bytes(build())
    before = everything_in(tmp_path)
    with pytest.raises(DataError, match=message) as refused:
        unpack(archive, tmp_path / "outer" / "place" / "target", LIMITS)
    assert str(archive) in str(refused.value)
    assert everything_in(tmp_path) in (before, sorted([*before, "outer/place"]))


@pytest.mark.parametrize("kind", ["w", "w:gz", "w:bz2", "zip"])
def test_honest_archives_are_unpacked_whole(kind, tmp_path):
    files = {"images/a.png": os.urandom(300_000), "images/b/ü.png": b"", "list.txt": b"words " * 9}
    content = (
        zip_of(*files.items()) if kind == "zip" else tar_of(special("./", tarfile.DIRTYPE), *files.items(), kind=kind)
    )
    (tmp_path / "archive").write_bytes(content)
    assert is_archive(tmp_path / "archive")
    unpack(tmp_path / "archive", tmp_path / "target")
    found = {
        path.relative_to(tmp_path / "target").as_posix(): path.read_bytes()
        for path in (tmp_path / "target").rglob("*")
        if path.is_file()
    }
    assert found == files
    assert everything_in(tmp_path)[:1] == ["archive"]


def test_a_tar_that_ends_with_a_zip_is_a_tar(tmp_path):
    (tmp_path / "outer.tar").write_bytes(tar_of(PLAIN, ("inner.zip", zip_of(("b.png", b"x"))), kind="w"))
    unpack(tmp_path / "outer.tar", tmp_path / "target")
    assert everything_in(tmp_path / "target") == ["images", "images/a.png", "inner.zip"]


NO_ARCHIVES = {
    "nothing": b"",
    "two letters": b"PK",
    "two bytes": b"\x1f\x8b",
    "text in gzip": gzip.compress(b"text"),
    "text in bzip2": bz2.compress(b"text"),
    "the beginning of an image": b"\x89PNG\r\n" + bytes(600),
}


@pytest.mark.parametrize("content", NO_ARCHIVES.values(), ids=NO_ARCHIVES)
def test_what_is_no_archive_is_not_taken_for_one(content, tmp_path):
    (tmp_path / "file").write_bytes(content)
    assert not is_archive(tmp_path / "file")


def test_unpacked_files_are_not_executable_and_belong_to_us(tmp_path):
    info = tarfile.TarInfo("run.sh")
    info.mode, info.uid = 0o4777, 12345
    (tmp_path / "a.tar").write_bytes(tar_of(info))
    unpack(tmp_path / "a.tar", tmp_path / "target")
    state = (tmp_path / "target" / "run.sh").stat()
    assert not state.st_mode & 0o7111
    assert state.st_uid == os.getuid()


# Pickles


class Harm:
    def __init__(self, function, *words):
        self.call = function, words

    def __reduce__(self):
        return self.call


def opcodes(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


ENCODE, ARRAY, DTYPE = b"c_codecs\nencode\n", b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy\ndtype\n"
EVIL = {
    "system": (lambda path: pickle.dumps(Harm(os.system, f"touch {path}")), "asks for posix.system"),
    "eval": (lambda path: pickle.dumps(Harm(eval, f"open({str(path)!r}, 'w')")), "asks for builtins.eval"),
    "getattr": (lambda _: pickle.dumps({"a": getattr}), "asks for builtins.getattr"),
    "import by dots": (lambda _: opcodes(b"\x8c\x05numpy\x8c\x0dos.system.foo\x93"), "cannot be read as a pickle"),
    "numpy load": (lambda _: opcodes(b"cnumpy\nload\n(U\x05/etc/tR"), "asks for numpy.load"),
    "objects": (lambda _: pickle.dumps({"data": np.array([Harm(os.getpid)], dtype=object)}), "asks for|dtype"),
    "other numbers": (lambda _: pickle.dumps({"data": np.arange(3.0)}), "an array of dtype 'f8'"),
    "wrong shape": (lambda _: make.python2_pickle({"data": _Shaped((2, 2), b"abc")}), r"shape \(2, 2\) with 3 bytes"),
    "huge shape": (lambda _: make.python2_pickle({"data": _Shaped((2**31 - 1, 2**31 - 1), b"")}), "shape"),
    "persistent": (lambda _: opcodes(b"Psomething\n"), "refers to"),
    "state on a stand-in": (lambda _: opcodes(ENCODE, b"}U\x08__code__Nsb"), "cannot be read as a pickle"),
    "attributes on a class": (lambda _: opcodes(ARRAY, b"N}U\x08__init__Ns\x86b"), "cannot be read as a pickle"),
    "other encoding": (lambda _: opcodes(ENCODE, b"(X\x01\x00\x00\x00aX\x05\x00\x00\x00utf_8tR"), "encodes text as"),
    "ndarray called": (lambda _: opcodes(b"cnumpy\nndarray\n(K\x01tR"), "calls numpy.ndarray"),
    "a set": (lambda _: pickle.dumps({"a": {1, 2}}), "asks for|holds a set"),
    "cut": (lambda _: make.python2_pickle(make.cifar_batch("train"))[:-100], "cannot be read as a pickle"),
    "empty": (lambda _: b"", "cannot be read as a pickle"),
    "text": (lambda _: b"not a pickle", "cannot be read as a pickle"),
    "huge claim": (lambda _: b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".", "cannot be read as a pickle"),
    "far memo": (lambda _: b"\x80\x02}r\xff\xff\xff\x7f.", "remembers something under the number 2147483647"),
    "far memo in text": (lambda _: b"(dp999999999\n.", "remembers something under the number 999999999"),
    "itself": (lambda _: b"\x80\x02}q\x00U\x01ah\x00s.", "cannot be read as a pickle"),
}


class _Shaped:
    """Looks like an array to `make.python2_pickle`."""

    def __init__(self, shape, raw):
        self.shape, self.raw = shape, raw

    def tobytes(self):
        return self.raw


class _Encoded:
    """Bytes as Python 3 writes them for Python 2."""

    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        return codecs.encode, (self.text, "latin1")


class _Again:
    """An array whose bytes are a text that the pickle holds once, however many arrays there are of it."""

    def __init__(self, text):
        self.text = text

    def __reduce__(self):
        empty, start, _ = np.zeros(1, np.uint8).__reduce__()
        return empty, start, (1, (len(self.text),), np.dtype("u1"), False, _Encoded(self.text))


@pytest.mark.parametrize("case", EVIL)
def test_hostile_pickles_do_nothing(case, tmp_path):
    build, message = EVIL[case]
    path, mark = tmp_path / "evil.pkl", tmp_path / "executed"
    path.write_bytes(build(mark))
    with pytest.raises(DataError, match=message) as refused:
        read_pickle(path)
    assert str(path) in str(refused.value)
    assert not mark.exists()
    path.write_bytes(make.python2_pickle(make.cifar_batch("train")))
    assert np.array_equal(read_pickle(path)["data"], make.cifar_batch("train")["data"]), (
        "nothing was changed for the next file"
    )


@pytest.mark.parametrize("write", [
    make.python2_pickle,
    *(lambda content, protocol=protocol: pickle.dumps(content, protocol) for protocol in (0, 2, 3, 4, 5)),
    lambda content: pickle.dumps({key.encode(): value for key, value in content.items()}, 2),
])  # fmt: skip
def test_plain_pickles_of_every_protocol_are_read(write, tmp_path):
    content = {
        **make.cifar_batch("train"),
        "fortran": np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3)),
        "note": None,
        "nested": {"a": (1, 2.5)},
    }
    if write is make.python2_pickle:
        content = make.cifar_batch("train")
    (tmp_path / "good.pkl").write_bytes(write(content))
    found = read_pickle(tmp_path / "good.pkl")
    assert found.keys() == content.keys()
    assert np.array_equal(found["data"], content["data"])
    assert found["filenames"] == content["filenames"]
    if "fortran" in content:
        assert np.array_equal(found["fortran"], content["fortran"])
        assert found["nested"] == {"a": [1, 2.5]}


def test_what_a_pickle_uses_often_is_kept_once(tmp_path):
    nested = [1]
    for _ in range(22):  # four million lists for a reader that goes everywhere
        nested = [nested, nested]
    (tmp_path / "nested.pkl").write_bytes(pickle.dumps({"nested": nested}))
    found = read_pickle(tmp_path / "nested.pkl")["nested"]
    assert len(found) == 2
    assert found[0] is found[1]
    array = np.full(100_000, 200, np.uint8)
    text = "".join(map(chr, array.tolist()))
    shared = {str(k): _Again(text) for k in range(50)}
    (tmp_path / "shared.pkl").write_bytes(pickle.dumps(shared, 2))
    found = list(read_pickle(tmp_path / "shared.pkl").values())
    assert np.array_equal(found[0], array)
    assert all(np.shares_memory(found[0], other) for other in found)


def objects_saved(content):
    """What `numpy.save` writes of one object."""
    file = io.BytesIO()
    np.save(file, np.array(content, dtype=object), allow_pickle=True)
    return file.getvalue()


NPY_HEAD = objects_saved({})[:128]
"""Magic letters and header; what follows is the pickle."""

OBJECT_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n)Rq\x01(K\x01%scnumpy\ndtype\n(U\x02O8tR\x89%stb"
"""An array of objects, of a shape and a content that are to be filled in."""

EVIL_ARRAYS = {
    "system": (lambda path: objects_saved({"a": Harm(os.system, f"touch {path}")}), "asks for posix.system"),
    "array of them": (lambda path: objects_saved({"a": np.array([Harm(os.system, f"touch {path}")], object)}), "posix"),
    "a function as an object": (lambda _: objects_saved({"a": np.array([len], object)}), "asks for builtins.len"),
    "a stand-in as an object": (lambda _: NPY_HEAD + opcodes(DTYPE, b"\x85."), "holds a"),
    "fields": (lambda _: objects_saved({"a": np.zeros(2, "f8,f8")}), "dtype 'V16', which is not read"),
    "texts": (lambda _: objects_saved({"a": np.array(["a"])}), "dtype 'U1', which is not read"),
    "times": (lambda _: objects_saved({"a": np.zeros(2, "m8[s]")}), "dtype 'm8', which is not read"),
    "a subarray": (
        lambda _: NPY_HEAD + opcodes(DTYPE, b"(U\x02f8tR(K\x03U\x01<U\x01aNNtb"),
        "an array of unknown form",
    ),
    "more objects than places": (lambda _: NPY_HEAD + opcodes(OBJECT_ARRAY % (b"K\x02\x85", b"]")), "no list of them"),
    "objects in bytes": (lambda _: NPY_HEAD + opcodes(OBJECT_ARRAY % (b"K\x01\x85", b"U\x01a")), "no list of them"),
    "a table of objects": (lambda _: objects_saved({"a": np.array([[1, None]], object)}), "no list of them"),
    "itself": (lambda _: NPY_HEAD + opcodes(OBJECT_ARRAY % (b"K\x01\x85", b"]h\x01a")), "recursion"),
    "floats with too few bytes": (
        lambda _: objects_saved({"a": np.arange(3.0)}).replace(np.arange(3.0).tobytes(), np.arange(3.0).tobytes()[:-1]),
        "cannot be read as a pickle",
    ),
    "numbers": (lambda _: saved(np.arange(3.0)), "is an array of float64, not of objects"),
    "cut": (lambda _: objects_saved({"a": np.arange(3.0)})[:-20], "cannot be read as a pickle"),
    "cut in its header": (lambda _: NPY_HEAD[:50], "cannot be read as a pickle"),
    "a header that is code": (
        lambda path: NPY_HEAD.replace(b"'|O'", b"open") + opcodes(b"}"),
        "cannot be read as a pickle",
    ),
    "another version": (lambda _: NPY_HEAD[:6] + b"\x09\x00" + NPY_HEAD[8:] + opcodes(b"}"), "version"),
    "a header without end": (
        lambda _: NPY_HEAD[:8] + b"\xff\xff" + b" " * 2**16,
        r"\(Header info length \(65535\) is large",
    ),
    "no array": (lambda _: pickle.dumps({"a": list(range(9))}), "magic string is not correct"),
    "far memo": (lambda _: NPY_HEAD + b"\x80\x02}r\xff\xff\xff\x7f.", "under the number 2147483647"),
}


def saved(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("case", EVIL_ARRAYS)
def test_hostile_arrays_of_objects_do_nothing(case, tmp_path):
    build, message = EVIL_ARRAYS[case]
    path, mark = tmp_path / "evil.npy", tmp_path / "executed"
    path.write_bytes(build(mark))
    with pytest.raises(DataError, match=message) as refused:
        read_object_array(path)
    assert str(path) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not mark.exists()


def test_arrays_of_objects_hold_what_was_saved(tmp_path):
    content = {
        "floats": [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)).astype(np.float32)],
        "swapped": np.arange(3, dtype=">f8"),
        "whole": np.arange(4),
        "bytes": np.arange(4, dtype=np.uint8),
        "objects": np.array(["a", None, 2.5], dtype=object),
        "words": ["PEN", ("ABD", 1)],
    }
    files = {f"of protocol {k}": NPY_HEAD + pickle.dumps(np.array(content, object), k) for k in (0, 2, 3, 4, 5)}
    for name, saved_as in {"as saved": objects_saved(content), **files}.items():
        (tmp_path / "good.npy").write_bytes(saved_as)
        found = read_object_array(tmp_path / "good.npy")
        assert list(found) == list(content)
        for key in ("swapped", "whole", "bytes"):
            assert found[key].dtype == content[key].dtype.newbyteorder("="), name
            assert np.array_equal(found[key], content[key]), name
        assert [array.dtype for array in found["floats"]] == [np.float64, np.float32]
        assert all(map(np.array_equal, found["floats"], content["floats"]))
        assert found["objects"] == ["a", None, 2.5]
        assert found["words"] == ["PEN", ["ABD", 1]]
    (tmp_path / "list.npy").write_bytes(objects_saved([1, "two"]))
    assert read_object_array(tmp_path / "list.npy") == [1, "two"]


# Images


def test_an_image_bomb_is_named(monkeypatch):
    monkeypatch.setattr(_decode, "MOST_PIXELS", 50)
    with pytest.raises(DataError, match=r"bomb.png: 20 × 14 pixels could be a decompression bomb"):
        decode(make.encoded(make.noise(0)), "bomb.png")


def test_a_line_of_pixels_is_refused_too():
    with pytest.raises(DataError, match=r"long.png: 70000 × 1 pixels could be a decompression bomb"):
        decode(make.encoded(Image.new("L", (70_000, 1))), "long.png")


def test_a_small_file_that_claims_to_be_enormous_is_refused():
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )
    with pytest.raises(DataError, match="claims.png: the image cannot be decoded"):
        decode(content, "claims.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_damaged_images_are_named_whatever_their_damage(kind):
    """Cut anywhere, or with bytes exchanged anywhere: decoded or refused, never anything else."""
    whole = make.encoded(make.noise(1, (40, 30)), kind)
    rng = np.random.default_rng(5)
    refused = 0
    for k in range(120):
        content = bytearray(whole[: rng.integers(1, len(whole))] if k % 2 else whole)
        for at in rng.integers(0, min(len(content), 400), 6):
            content[at] = rng.integers(0, 256)
        try:
            image = decode(bytes(content), "damaged")
        except DataError as error:
            refused += 1
            assert str(error).startswith("damaged: ")  # noqa: PT017 - of those that are refused
        else:
            assert isinstance(image, Image.Image)
    assert refused > 40
