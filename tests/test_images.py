"""From files to pixels: photographs stand upright, and every kind of pixel is right or refused by name."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image, ImageOps

import transference as tr
from tests import originals as make
from tests.test_preparing import broken_header, call, prepared
from transference.datasets import _decode, prepared_files
from transference.datasets.views import invert
from transference.errors import DataError, SpecMismatchError

ORIENTATION = 0x0112
STORED_AS = {
    1: lambda upright: upright,
    2: np.fliplr,
    3: lambda upright: np.rot90(upright, 2),
    4: np.flipud,
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}
"""What a camera stores of an upright picture, by the orientation that it writes beside it (EXIF 2.32, tag 274)."""


def quarters():
    """A picture whose quarters are told apart, 32 × 24."""
    upright = np.zeros((24, 32, 3), np.uint8)
    upright[:12, :16], upright[:12, 16:], upright[12:, :16] = (250, 250, 250), (250, 0, 0), (0, 0, 250)
    return upright


def photograph(orientation, kind, **settings):
    """Return an encoded picture that is stored as a camera would hold it."""
    stored = Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](quarters())))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = io.BytesIO()
    stored.save(content, kind, exif=exif, **settings)
    return content.getvalue()


def pixels(content, side=8, channels=3):
    return _decode.to_pixels(_decode.decode(content, "photo"), side, channels, "photo").astype(int)


def upright_pixels(side=8):
    return (
        np.asarray(Image.fromarray(quarters()).resize((side, side), Image.Resampling.LANCZOS))
        .transpose(2, 0, 1)
        .astype(int)
    )


@pytest.mark.parametrize("orientation", STORED_AS)
@pytest.mark.parametrize(("kind", "settings"), [
    ("JPEG", {"quality": 95, "subsampling": 0}), ("MPO", {"quality": 95, "subsampling": 0}), ("PNG", {}),
    ("WEBP", {"lossless": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("TIFF", {"compression": "jpeg"}),
])  # fmt: skip
def test_photographs_stand_upright(orientation, kind, settings):
    """Decoded at another shape: a turn after scaling would be another picture."""
    difference = np.abs(pixels(photograph(orientation, kind, **settings)) - upright_pixels())
    assert difference.max() <= (0 if kind in ("PNG", "WEBP") or settings.get("compression") == "tiff_lzw" else 12)


@pytest.mark.parametrize("orientation", [3, 6])
def test_photographs_in_folders_and_parquet_files_are_turned_alike(tmp_path, orientation):
    content = photograph(orientation, "JPEG", quality=95, subsampling=0)
    make.write_folder(tmp_path / "folder", {"c/0.jpg": content})
    pq.write_table(
        pa.table({"image": [{"bytes": content, "path": "c/0.jpg"}], "class_name": ["c"]}), tmp_path / "table.parquet"
    )
    a, b = (tr.open_dataset(f"{name}:all", data_root=tmp_path, side=8) for name in ("folder", "table"))
    assert a.digest == b.digest
    assert np.abs(a.images[0].numpy().astype(int) - upright_pixels()).max() <= 12


def test_a_turn_that_only_xmp_asks_for_is_taken_too():
    stored = np.ascontiguousarray(STORED_AS[6](quarters()))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    content = io.BytesIO()
    Image.fromarray(stored).save(content, "WEBP", lossless=True, xmp=xmp)
    assert np.array_equal(pixels(content.getvalue()), upright_pixels())


def test_colours_of_a_palette_and_transparency_turn_with_the_picture():
    shown = np.zeros((24, 32, 4), np.uint8)
    shown[:12, :, 3], shown[:12, :16, 0] = 255, 255  # red and black above, transparent below
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    for image in (Image.fromarray(shown[::-1, ::-1].copy()), Image.fromarray(shown[::-1, ::-1].copy()).quantize(4)):
        content = io.BytesIO()
        image.save(content, "PNG", exif=exif)
        corners = pixels(content.getvalue(), side=32)[:, [0, 0, -1, -1], [0, -1, 0, -1]].T.tolist()
        assert corners == [[255, 0, 0], [0, 0, 0], [255, 255, 255], [255, 255, 255]]


def with_exif(exif, kind):
    content = io.BytesIO()
    Image.fromarray(quarters()).save(
        content, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {"subsampling": 0, "quality": 95})
    )
    return content.getvalue()


TIFF_HEAD = b"II*\0\x08\0\0\0"
ONE_TAG = TIFF_HEAD + b"\x01\0"


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged EXIF data; by default nobody is told
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", ids=lambda exif: f"{len(exif)} bytes", argvalues=[
    b"", b"Exif\0\0", b"nonsense", TIFF_HEAD, TIFF_HEAD[:6], b"II*\0\xff\xff\xff\xff",
    ONE_TAG + b"\x12\x01\x03\0\x01\0\0\0",  # ends in the entry
    ONE_TAG + b"\x12\x01\x03\0\x01\0\0\0\x09\0\0\0\0\0\0\0",  # nine
    ONE_TAG + b"\x12\x01\x03\0\x01\0\0\0\0\0\0\0\0\0\0\0",  # nought
    ONE_TAG + b"\x12\x01\x02\0\x02\0\0\0top\0\0\0\0\0",  # a text
    ONE_TAG + b"\x12\x01\x05\0\x01\0\0\0\xff\xff\xff\xff\0\0\0\0",  # a fraction that lies elsewhere
    ONE_TAG + b"\x12\x01\x99\0\x01\0\0\0\x06\0\0\0\0\0\0\0",  # of no known type
    b"II*\0" + b"\x08\0\0\0" + b"\xff\xff" + b"\x12\x01\x03\0" * 20,  # 65535 entries
])  # fmt: skip
def test_broken_exif_data_do_not_fail_an_image(exif, kind):
    assert np.abs(pixels(with_exif(exif, kind)) - upright_pixels()).max() <= 12


def test_an_image_without_a_turn_is_decoded_as_it_always_was(tmp_path):
    """The digest is of version 0.1."""
    make.write_folder(
        tmp_path / "toys",
        {f"{c}/{k}.png": make.encoded(make.noise([c, k], (20, 20))) for c in range(2) for k in range(2)},
    )
    assert tr.open_dataset("toys:all", data_root=tmp_path, side=20).digest == GOLDEN


GOLDEN = "5c98264736840ace5e19e15943c00fdf"


# Prepared files


def of_version_0_1(file):
    """Make a prepared file one of version 0.1, which wrote nothing of its decoding."""

    def older(head):
        about = json.loads(head["__metadata__"]["about"])
        head["__metadata__"]["about"] = json.dumps(
            {k: v for k, v in about.items() if k not in ("decoding", "notes", "left_out")}
        )
        return head

    content = broken_header(file.path.read_bytes(), older)
    file.path.unlink()
    file.path.write_bytes(content)


def test_what_an_older_version_prepared_is_told_apart(tmp_path, caplog):
    place = make.write_folder(tmp_path / "toys", {f"c/{k}.png": make.encoded(make.noise(k)) for k in range(2)})
    of_version_0_1(prepared("toys", place, tmp_path / "data"))
    tr.open_dataset("toys:all", data_root=tmp_path / "data", side=9)
    assert "decoding 1, now 2" in caplog.text
    assert "photographs were not turned upright" in caplog.text
    assert "Prepare toys again with --force" in call("datasets", "list", "--data-root", tmp_path / "data").stdout
    with pytest.raises(SpecMismatchError, match="by a version that decodes otherwise .1, now 2.*--force"):
        prepared("toys", place, tmp_path / "data", side=5)
    prepared("toys", place, tmp_path / "data", force=True)
    assert prepared_files(tmp_path / "data")[0].unread().lines == []


def test_what_is_prepared_now_says_nothing_of_its_decoding(tmp_path, caplog):
    prepared("toys", make.write_folder(tmp_path / "toys", {"c/0.png": make.encoded(make.noise(1))}), tmp_path / "data")
    tr.open_dataset("toys:all", data_root=tmp_path / "data", side=9)
    assert caplog.text == ""


# Kinds of pixels

SLOPE = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (16, 1))
GREY = Image.fromarray(SLOPE)
COLOUR = Image.fromarray(np.dstack([SLOPE, SLOPE.T, 255 - SLOPE]))
WHITE = np.full_like(SLOPE, 255)


def file_of(image, kind, **settings):
    content = io.BytesIO()
    image.save(content, kind, **settings)
    return content.getvalue()


def alpha(value):
    return Image.new("L", GREY.size, value)


def transparent(image, shade):
    """Encode a PNG in which one shade is transparent."""
    return file_of(image, "PNG", transparency=shade)


SIXTEEN = SLOPE.astype(np.uint16) * 257


@pytest.mark.parametrize(("content", "expected"), ids=lambda _: "image", argvalues=[
    (file_of(GREY, "PNG"), SLOPE),
    (file_of(GREY.point(lambda value: 255 * (value > 99)).convert("1"), "PNG"), 255 * (SLOPE > 99)),
    (file_of(GREY.point(lambda value: 255 * (value > 99)).convert("1"), "TIFF", compression="group4"), 255 * (SLOPE > 99)),
    (file_of(GREY.convert("P"), "PNG"), SLOPE),
    (file_of(GREY.convert("P"), "GIF"), SLOPE),
    (file_of(GREY.convert("P"), "BMP"), SLOPE),
    (file_of(GREY.quantize(16), "PNG"), np.asarray(GREY.quantize(16).convert("L"))),
    (file_of(GREY.point(lambda value: 255 * (value > 99)).quantize(2), "PNG"), 255 * (SLOPE > 99)),
    (file_of(Image.merge("LA", [GREY, alpha(255)]), "PNG"), SLOPE),
    (file_of(Image.merge("LA", [GREY, alpha(0)]), "PNG"), WHITE),
    (file_of(Image.merge("LA", [GREY, alpha(255)]), "TIFF"), SLOPE),
    (file_of(Image.fromarray(SIXTEEN), "PNG"), SLOPE),
    (file_of(Image.fromarray(SIXTEEN), "TIFF"), SLOPE),
    (transparent(GREY, 255), SLOPE),
    (transparent(GREY, 0), np.where(SLOPE == 0, 255, SLOPE)),
    (transparent(Image.fromarray(SIXTEEN), 0), np.where(SLOPE == 0, 255, SLOPE)),
    (transparent(GREY.quantize(16), 0), None),
    (file_of(GREY, "PPM"), SLOPE),
    (file_of(GREY, "JPEG", quality=100), SLOPE),
])  # fmt: skip
def test_images_without_colours_serve_one_channel_and_three(content, expected):
    one, three = pixels(content, 16, 1), pixels(content, 16, 3)
    assert np.array_equal(np.repeat(one, 3, axis=0), three)
    if expected is not None:
        assert np.abs(one[0] - expected).max() <= 1


@pytest.mark.parametrize("content", ids=lambda _: "image", argvalues=[
    file_of(COLOUR, "PNG"),
    file_of(COLOUR.convert("RGBA"), "PNG"),
    file_of(COLOUR, "WEBP", lossless=True),
    file_of(COLOUR.convert("CMYK"), "TIFF"),
    file_of(COLOUR, "TIFF", compression="tiff_lzw"),
    file_of(COLOUR, "BMP"),
    file_of(COLOUR, "PPM"),
    file_of(COLOUR.convert("RGBA"), "TIFF"),
    file_of(COLOUR.convert("RGBX"), "TIFF"),
])  # fmt: skip
def test_colours_are_right_and_refused_in_one_channel(content):
    assert np.abs(pixels(content, 16) - np.asarray(COLOUR).transpose(2, 0, 1)).max() <= 1
    with pytest.raises(DataError, match="photo: the image has colours, but 1 channel was asked for"):
        pixels(content, channels=1)


def test_a_palette_with_one_colour_has_colours():
    image = GREY.convert("RGB")
    image.putpixel((3, 3), (255, 0, 0))
    with pytest.raises(DataError, match="has colours"):
        pixels(file_of(image.quantize(256), "PNG"), channels=1)


@pytest.mark.parametrize(
    "image", [Image.fromarray(SLOPE.astype(np.float32)), Image.fromarray(SLOPE.astype(np.int32) * 257)]
)
def test_pixels_without_a_scale_are_refused_by_name(image):
    decoded = _decode.decode(file_of(image, "TIFF"), "photo")
    for use in (lambda image: _decode.to_pixels(image, 8, 3, "photo"), lambda image: invert(image, "photo")):
        with pytest.raises(DataError, match="photo: the image has .-mode pixels, whose scale is not known"):
            use(decoded)


@pytest.mark.parametrize("mode", ["LAB", "HSV", "YCbCr", "RGBa", "I;16B", "I;16L", "PA", "RGBX"])
def test_modes_that_files_seldom_have_are_converted_too(mode):
    try:
        image = Image.new(mode, (4, 4))
    except ValueError:
        pytest.skip(f"this Pillow has no mode {mode}")
    assert _decode.to_pixels(image, 4, 3, "photo").shape == (3, 4, 4)


def test_a_conversion_that_pillow_cannot_do_is_told(monkeypatch):
    def fail(*_, **__):
        raise ValueError("conversion from LAB to RGB not supported")

    monkeypatch.setattr(Image.Image, "convert", fail)
    with pytest.raises(
        DataError, match=r"photo: the image has CMYK-mode pixels that cannot be converted \(conversion from LAB"
    ):
        _decode.to_pixels(Image.new("CMYK", (4, 4)), 4, 3, "photo")


@pytest.mark.parametrize(
    "image", [GREY, GREY.convert("P"), Image.merge("LA", [GREY, alpha(255)]), Image.fromarray(SIXTEEN)]
)
def test_every_grey_image_is_inverted_as_grey(image):
    inverted = invert(image, "photo")
    assert inverted.mode == "L"
    assert np.abs(np.asarray(inverted).astype(int) - np.asarray(ImageOps.invert(GREY))).max() <= 1


def test_transparent_paper_is_inverted_as_white():
    ink = Image.merge(
        "RGBA", [*[Image.new("L", (2, 2), 0)] * 3, Image.fromarray(np.array([[255, 0], [0, 0]], np.uint8))]
    )
    assert np.asarray(invert(ink, "photo"))[..., 0].tolist() == [[255, 0], [0, 0]]


def test_damaged_images_are_named_up_to_ten(tmp_path):
    good = make.encoded(make.noise(1))
    place = make.write_folder(tmp_path / "toys", {f"c/{k:02d}.png": good if k > 2 else good[:60] for k in range(5)})
    with pytest.raises(
        DataError, match=r"^3 images of toys:all cannot be used:(\n  .*c/0[012].png: the image cannot.*){3}$"
    ):
        tr.open_dataset("toys:all", data_root=tmp_path)
    for path in place.rglob("*.png"):
        path.write_bytes(b"")
    (place / "c" / "00.png").write_bytes(good)
    make.write_folder(place, {f"d/{k:02d}.png": b"" for k in range(9)})
    with pytest.raises(DataError, match=r"^At least 10 images of toys:all cannot be used:(\n.*){10}$"):
        tr.open_dataset("toys:all", data_root=tmp_path)


def test_a_prepared_photograph_is_the_decoded_one(tmp_path):
    place = make.write_folder(tmp_path / "photos", {f"c/{k}.jpg": photograph(k, "JPEG") for k in STORED_AS})
    mapped = prepared("photos", place, tmp_path / "data", side=8).open("all", 3)
    assert torch.equal(mapped.images, tr.open_dataset("photos:all", data_root=tmp_path, side=8).images)
