import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import transference as tr
from transference._streams import Stream
from transference.datasets import _decode, dataset_names, find_reader, parquet, split_sizes
from transference.datasets import strokes as drawn_strokes
from transference.errors import DataError, UsageError

MODES = ("strokes", "textures", "shapes")


def picture(colour=(200, 10, 60), size=(9, 12), kind="PNG"):
    content = io.BytesIO()
    Image.new("RGB" if isinstance(colour, tuple) else "L", size, colour).save(content, kind)
    return content.getvalue()


def write_parquet(path, rows, metadata=None):
    table = pa.Table.from_pylist(rows)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)


def rows(n_classes=3, per_class=2, **extra):
    return [
        {
            "image": {"bytes": picture((40 * c, 0, k)), "path": f"{c}-{k}.png"},
            "label": c,
            "class_name": f"class {c}",
            "split": "train",
            **extra,
        }
        for c in reversed(range(n_classes))
        for k in reversed(range(per_class))
    ]


@pytest.mark.parametrize("mode", MODES)
def test_generated_modes_are_whole_and_repeat(mode):
    dataset = tr.open_dataset(f"{mode}:val")
    assert dataset.images.shape == (16 * 30, 3, 28, 28)
    assert dataset.images.dtype == torch.uint8
    assert dataset.class_sizes == (30,) * 16
    assert tr.open_dataset(f"{mode}:val").digest == dataset.digest


def test_generated_modes_look_different_and_classes_can_be_told_apart():
    means = []
    for mode in MODES:
        dataset = tr.open_dataset(f"{mode}:val")
        images = dataset.images.double() / 255
        means.append(images.mean())
        by_class = images.unflatten(0, (16, 30))
        within, between = by_class.var(dim=1).mean(), by_class.mean(dim=1).var(dim=0).mean()
        assert between > 0.1 * within, f"the classes of {mode} are hidden by the differences within them"
    assert min(abs(a - b) for i, a in enumerate(means) for b in means[:i]) > 0.05


def test_splits_share_no_class():
    names = [set(tr.open_dataset(f"shapes:{split}").class_names) for split in ("train", "val", "test")]
    assert [len(n) for n in names] == [64, 16, 20]
    assert len(set.union(*names)) == 100


def test_side_and_channels_are_as_asked():
    assert tr.open_dataset("shapes:val", side=20).images.shape == (480, 3, 20, 20)
    grey = tr.open_dataset("strokes:val", channels=1)
    assert grey.images.shape == (480, 1, 28, 28)
    colour = tr.open_dataset("strokes:val", channels=3).images
    assert torch.equal(colour, grey.images.expand(-1, 3, -1, -1)), "one channel is repeated to three"


def test_parquet_is_sorted_decoded_and_named(tmp_path):
    write_parquet(tmp_path / "toy.parquet", rows())
    dataset = tr.open_dataset("toy:train", data_root=tmp_path, side=4)
    assert dataset.class_names == ("class 0", "class 1", "class 2")
    assert dataset.starts == (0, 2, 4, 6)
    assert dataset.image_ids == ("0-0.png", "0-1.png", "1-0.png", "1-1.png", "2-0.png", "2-1.png")
    assert dataset.images[3].flatten(1).tolist() == [[40] * 16, [0] * 16, [1] * 16]


def test_row_order_does_not_matter_but_content_does(tmp_path):
    write_parquet(tmp_path / "a.parquet", rows())
    write_parquet(tmp_path / "b.parquet", rows()[::-1])
    changed = rows()
    changed[0]["image"]["bytes"] = picture((1, 2, 3))
    write_parquet(tmp_path / "c.parquet", changed)
    a, b, c = (tr.open_dataset(f"{name}:train", data_root=tmp_path).digest for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("path", ["same.png", None])
def test_ids_are_rows_where_paths_do_not_tell_images_apart(tmp_path, path):
    nameless = [{**row, "image": {**row["image"], "path": path}} for row in rows()]
    write_parquet(tmp_path / "n.parquet", nameless)
    ids = tr.open_dataset("n:train", data_root=tmp_path).image_ids
    assert sorted(ids) == [f"row {k}" for k in range(6)]


def test_parquet_with_hugging_face_label_names(tmp_path):
    plain = [{"image": row["image"], "label": row["label"]} for row in rows()]
    features = {"info": {"features": {"label": {"names": ["ant", "bee", "cat"]}}}}
    write_parquet(tmp_path / "named.parquet", plain, {"huggingface": json.dumps(features)})
    write_parquet(tmp_path / "bare.parquet", plain)
    assert tr.open_dataset("named:all", data_root=tmp_path).class_names == ("ant", "bee", "cat")
    assert tr.open_dataset("bare:all", data_root=tmp_path).class_names == ("0", "1", "2")


@pytest.mark.parametrize("split", ["all", "train"])
def test_class_folders_with_and_without_splits(tmp_path, split):
    root = tmp_path / "birds" / ("" if split == "all" else split)
    for c in "ba":
        (root / c).mkdir(parents=True)
        for k in (1, 0):
            (root / c / f"{k}.png").write_bytes(picture())
    (root / "a" / "notes.txt").write_text("not an image")
    dataset = tr.open_dataset(f"birds:{split}", data_root=tmp_path, side=5)
    assert dataset.class_names == ("a", "b")
    assert dataset.images.shape == (4, 3, 5, 5)
    with pytest.raises(DataError, match=f"has no split 'test'; it has {split}"):
        tr.open_dataset("birds:test", data_root=tmp_path)


def test_grey_and_colour_images_mix_in_three_channels_only(tmp_path):
    mixed = rows(1, 2)
    mixed[0]["image"]["bytes"] = picture(77)
    write_parquet(tmp_path / "mixed.parquet", mixed)
    images = tr.open_dataset("mixed:train", data_root=tmp_path, side=2).images
    assert images[1].flatten().tolist() == [77] * 12
    with pytest.raises(DataError, match="has colours, but 1 channel was asked for"):
        tr.open_dataset("mixed:train", data_root=tmp_path, channels=1)
    with pytest.raises(DataError, match="channels 1 or 3"):
        tr.open_dataset("mixed:train", data_root=tmp_path, channels=2)


def broken(tmp_path, name):
    """Make one broken dataset and return its mode."""
    path = tmp_path / f"{name}.parquet"
    good = rows()
    if name == "truncated":
        good[2]["image"]["bytes"] = picture(size=(64, 64), kind="JPEG")[:300]
        write_parquet(path, good)
    elif name == "corrupt":
        write_parquet(path, good)
        path.write_bytes(path.read_bytes()[:200])
    elif name == "damaged":  # the footer is whole, a page is not
        write_parquet(path, good)
        content = bytearray(path.read_bytes())
        content[60:400] = bytes(340)
        path.write_bytes(content)
    elif name == "columns":
        pq.write_table(pa.table({"picture": [b"", b""]}), path)
    elif name == "bytesless":
        good[0]["image"]["bytes"] = None
        write_parquet(path, good)
    elif name == "unlabelled":
        good[0]["class_name"] = None
        write_parquet(path, good)
    elif name == "ambiguous":
        good[0]["label"] = 99
        write_parquet(path, good)
    elif name == "empty":
        (tmp_path / name).mkdir()
    elif name == "twice":
        write_parquet(path, good)
        (tmp_path / name).mkdir()
    return f"{name}:train"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated", r"row 2 \(1-1.png\): the image cannot be decoded"),
        ("corrupt", "cannot be read as a parquet file"),
        ("damaged", "damaged|cannot be decoded|cannot be read"),
        ("columns", r"has the columns picture; it needs 'image'"),
        ("bytesless", "row 0 .* holds no image bytes"),
        ("unlabelled", "rows without class_name"),
        ("ambiguous", "one class_name for several labels"),
        ("empty", "holds no images in class folders .* found: nothing"),
        ("twice", "Both .* could be twice"),
        ("absent", "There is no dataset 'absent', neither generated nor in .* there are: shapes, strokes, textures"),
    ],
)
def test_bad_datasets_are_named(tmp_path, name, message):
    with pytest.raises(DataError, match=message):
        tr.open_dataset(broken(tmp_path, name), data_root=tmp_path)


def test_a_near_miss_is_suggested():
    with pytest.raises(
        DataError,
        match="There is no generated mode 'stroke'; give the folder that holds it with --data-root.*Did you mean strokes",
    ):
        tr.open_dataset("stroke:train")
    with pytest.raises(UsageError, match="NAME:SPLIT"):
        tr.open_dataset("strokes")
    with pytest.raises(DataError, match="is not a folder"):
        tr.open_dataset("birds:train", data_root="/nowhere/at/all")


def test_an_image_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_decode, "MOST_PIXELS", 50)
    write_parquet(tmp_path / "bomb.parquet", rows())
    with pytest.raises(DataError, match=r"row 0 .*: 9 × 12 pixels could be a decompression bomb"):
        tr.open_dataset("bomb:train", data_root=tmp_path)


def test_real_images_open_with_their_splits(shared):
    root = shared / "data"
    assert {"omniglot", "cifar100", "strokes"} <= set(dataset_names(root))
    sizes = split_sizes(find_reader("omniglot", root))
    assert {split: size.classes for split, size in sizes.items()} == {"train": 803, "val": 161, "test": 659}
    table = pd.read_parquet(root / "cub200.parquet", columns=["class_name", "split"])
    birds = tr.open_dataset("cub200:val", data_root=root)
    assert set(birds.class_names) == set(table.loc[table["split"] == "val", "class_name"])
    assert 0.2 < float(np.asarray(birds.images).mean()) / 255 < 0.8


def test_sixteen_bits_are_scaled_and_transparency_is_white(tmp_path):
    folder = tmp_path / "odd" / "class"
    folder.mkdir(parents=True)
    Image.fromarray(np.array([[0, 0x4000], [0x8000, 0xFFFF]], dtype=np.uint16)).save(folder / "a.png")
    Image.new("RGBA", (2, 2), (255, 0, 0, 0)).save(folder / "b.png")
    images = tr.open_dataset("odd:all", data_root=tmp_path, side=2).images
    assert images[0, 0].flatten().tolist() == [0, 0x40, 0x80, 0xFF]
    assert images[1].unique().tolist() == [255]
    Image.fromarray(np.array([[0.5]], dtype=np.float32)).save(folder / "c.tiff")
    with pytest.raises(DataError, match="F-mode pixels, whose scale is not known"):
        tr.open_dataset("odd:all", data_root=tmp_path)


def test_postscript_is_never_handed_to_an_interpreter(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    evil = rows()
    evil[0]["image"]["bytes"] = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"
    write_parquet(tmp_path / "evil.parquet", evil)
    with pytest.raises(DataError, match="cannot be decoded"):
        tr.open_dataset("evil:train", data_root=tmp_path)
    assert not (tmp_path / "executed").exists()


def test_text_in_place_of_bytes_opens_no_file(tmp_path):
    secret = tmp_path / "secret.png"
    secret.write_bytes(picture())
    write_parquet(tmp_path / "evil.parquet", [{"image": {"bytes": str(secret), "path": "x"}, "class_name": "a"}])
    with pytest.raises(DataError, match="a struct of binary bytes and path"):
        tr.open_dataset("evil:all", data_root=tmp_path)


def test_a_generated_mode_does_not_hide_ones_own(tmp_path):
    write_parquet(tmp_path / "shapes.parquet", rows())
    with pytest.raises(DataError, match="Both the registered mode shapes and .*shapes.parquet could be shapes"):
        tr.open_dataset("shapes:train", data_root=tmp_path)


def test_unlabelled_rows_and_bad_metadata_are_told(tmp_path):
    plain = [{"image": row["image"], "label": row["label"] - 1} for row in rows()]
    names = {"info": {"features": {"label": {"names": ["ant", "bee", "cat"]}}}}
    write_parquet(tmp_path / "unlabelled.parquet", plain, {"huggingface": json.dumps(names)})
    with pytest.raises(DataError, match=r"has the labels \[-1\], which have no name"):
        tr.open_dataset("unlabelled:all", data_root=tmp_path)
    write_parquet(tmp_path / "bad.parquet", plain, {"huggingface": "{"})
    with pytest.raises(DataError, match="huggingface metadata that cannot be read"):
        tr.open_dataset("bad:all", data_root=tmp_path)


def test_a_numeric_split_is_a_split(tmp_path):
    write_parquet(tmp_path / "n.parquet", [{**row, "split": 1} for row in rows()])
    assert tr.open_dataset("n:1", data_root=tmp_path).split == "1"


def encoded_columns(path, **columns):
    """Write a parquet file whose columns are of the given arrow types."""
    images = pa.array([row["image"] for row in rows(2, 2)])
    pq.write_table(pa.table({"image": images, **columns}), path)


@pytest.mark.parametrize(("columns", "message"), [
    ({"class_name": pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 1]), ["ant", "bee"])}, "has rows without class_name"),
    ({"class_name": pa.array(["a", "b", "a", "b"]), "split": pa.array(["train", None, "train", "val"])}, "has rows without split"),
    ({"label": pa.array([0.5, 1.0, 1.5, 2.0])}, "has the column label of type double; it needs text or integers"),
    ({"label": pa.array([[1], [2], [1], [2]])}, "has the column label of type list"),
    ({"label": pa.array([b"\xff", b"a", b"b", b"c"])}, "has the column label of type binary"),
    ({"class_name": pa.array([True, False, True, False])}, "has the column class_name of type bool"),
])  # fmt: skip
def test_columns_of_other_types_and_empty_cells_are_told(tmp_path, columns, message):
    encoded_columns(tmp_path / "odd.parquet", **columns)
    with pytest.raises(DataError, match=message):
        tr.open_dataset("odd:train", data_root=tmp_path)


def test_dictionary_columns_are_texts(tmp_path):
    encoded_columns(tmp_path / "d.parquet", class_name=pa.array(["ant", "bee", "ant", "bee"]).dictionary_encode())
    assert tr.open_dataset("d:all", data_root=tmp_path).class_names == ("ant", "bee")


def test_two_columns_of_one_name_are_told(tmp_path):
    table = pa.table(
        [pa.array([row["image"] for row in rows(1, 2)]), ["a", "b"], ["c", "d"]], names=["image", "label", "label"]
    )
    pq.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match="has two columns of one name among image, label, label"):
        tr.open_dataset("t:all", data_root=tmp_path)


@pytest.mark.parametrize(("names", "message"), [
    (["ant", "ant", "cat"], "gives one name to several labels"),
    ("abc", "label names that are no list of texts"),
    ([1, 2, 3], "label names that are no list of texts"),
    ({"0": "ant"}, "label names that are no list of texts"),
    (["ant"], r"has the labels \[1, 2\], which have no name"),
])  # fmt: skip
def test_label_names_that_do_not_fit_are_told(tmp_path, names, message):
    plain = [{"image": row["image"], "label": row["label"]} for row in rows()]
    write_parquet(
        tmp_path / "n.parquet", plain, {"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}})}
    )
    with pytest.raises(DataError, match=message):
        tr.open_dataset("n:all", data_root=tmp_path)


def test_a_file_that_claims_too_many_rows_is_told(tmp_path, monkeypatch):
    write_parquet(tmp_path / "n.parquet", rows())
    monkeypatch.setattr(parquet, "_MOST_ROWS", 5)
    with pytest.raises(DataError, match="has 6 rows, more than 5"):
        tr.open_dataset("n:train", data_root=tmp_path)


def test_missing_shards_are_counted(tmp_path):
    (tmp_path / "s").mkdir()
    for number in (0, 2):
        write_parquet(tmp_path / "s" / f"train-{number:05d}-of-00004.parquet", rows())
    with pytest.raises(DataError, match="lacks 2 of 4 files of the split train, the first is number 1"):
        tr.open_dataset("s:train", data_root=tmp_path)


def test_validation_is_another_word_for_val(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / "birds" / split / "robin").mkdir(parents=True)
        (tmp_path / "birds" / split / "robin" / "a.png").write_bytes(picture())
    assert list(find_reader("birds", tmp_path).classes()) == ["train", "val"]
    write_parquet(tmp_path / "bees.parquet", rows(split="validation"))
    assert tr.open_dataset("bees:val", data_root=tmp_path).split == "val"


def test_class_names_keep_every_letter(tmp_path):
    """A fixed-width array of texts would drop the last one."""
    write_parquet(tmp_path / "n.parquet", [{**row, "class_name": f"{row['label']}\0"} for row in rows()])
    assert tr.open_dataset("n:train", data_root=tmp_path).class_names == ("0\0", "1\0", "2\0")


def test_the_mark_of_a_parquet_file_is_of_its_content(tmp_path):
    marks = []
    for c in (1, 2):
        write_parquet(tmp_path / "n.parquet", [{**row, "class_name": f"class {c}"} for row in rows(1)])
        marks.append(find_reader("n", tmp_path).mark())
    assert marks[0].content != marks[1].content


def test_a_generated_mode_is_drawn_once_in_a_process():
    first = tr.open_dataset("strokes:val", side=20).images
    assert tr.open_dataset("strokes:val", side=20).images is first
    assert tr.open_dataset("strokes:val", side=20, channels=1).images is not first
    assert tr.open_dataset("strokes:test", side=20).images is not first


def test_ink_ends_where_the_nearest_point_of_a_stroke_is_too_far(monkeypatch):
    points = np.array([[0.2, 0.3], [0.25, 0.4], [0.8, 0.1]])
    monkeypatch.setattr(drawn_strokes, "_written_by", lambda hand, curves: points)
    canvas = drawn_strokes._draw(Stream("class"), Stream("image"), 4)
    thickness = float(Stream("strokes", "hand", 4).uniform(0.028, 0.055))
    side = canvas.shape[0]
    for row, column in np.ndindex(side, side):
        nearest = min(np.hypot((column + 0.5) / side - x, (row + 0.5) / side - y) for x, y in points)
        assert canvas[row, column] == pytest.approx((thickness - nearest) * side + 0.5, abs=1e-9)
