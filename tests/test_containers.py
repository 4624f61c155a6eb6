"""Every form in which images may lie on a disk gives the same classes and pixels. A new form is a line in `WRITERS`."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import transference as tr
from tests.test_preparing import prepared
from transference.datasets import CONTAINERS, Folder, dataset_names, find_reader, places_of, split_sizes, stray_files
from transference.datasets._tree import look
from transference.errors import DataError

SIDE = 9
IMAGES = {
    (split, f"{split} {c}", k): np.random.default_rng([c, k, len(split)]).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    for split in ("train", "test")
    for c in range(2)
    for k in range(3)
}
"""By split, class and number."""


def encoded(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def class_folders(root):
    for (split, name, k), pixels in IMAGES.items():
        (folder := root / "birds" / split / name).mkdir(parents=True, exist_ok=True)
        (folder / f"{k}.png").write_bytes(encoded(pixels))


def rows(*splits):
    return [
        {"image": {"bytes": encoded(pixels), "path": f"{name}/{k}.png"}, "class_name": name, "split": split}
        for (split, name, k), pixels in IMAGES.items()
        if split in splits
    ]


def parquet_file(root):
    pq.write_table(pa.Table.from_pylist(rows("train", "test")), root / "birds.parquet")


def parquet_shards(root):
    (root / "birds").mkdir()
    for split in ("train", "test"):
        pq.write_table(pa.Table.from_pylist(rows(split)), root / "birds" / f"{split}.parquet")


WRITERS = {class_folders: "class folders", parquet_file: "parquet file", parquet_shards: "parquet file"}
"""What writes `IMAGES` as the mode birds into a data root, and the container's title."""


@pytest.fixture(params=WRITERS, ids=lambda write: write.__name__)
def form(request, tmp_path):
    (root := tmp_path / "data").mkdir()
    request.param(root)
    return root, WRITERS[request.param]


def check(dataset, split):
    expected = {key[1:]: pixels for key, pixels in IMAGES.items() if key[0] == split}
    assert dataset.class_names == tuple(dict.fromkeys(name for name, _ in expected))
    images = [torch.from_numpy(pixels).permute(2, 0, 1) for pixels in expected.values()]
    torch.testing.assert_close(dataset.images, torch.stack(images))


def test_the_images_are_those_that_were_written(form):
    root, _ = form
    for split, word in (("train", "train"), ("test", "novel")):
        check(tr.open_dataset(f"birds:{word}", data_root=root, side=SIDE), split)
    with pytest.raises(DataError, match="has no split 'val'; it has train, test"):
        tr.open_dataset("birds:val", data_root=root, side=SIDE)


def test_they_are_listed_under_their_name_and_are_no_stray_file(form):
    root, title = form
    assert dataset_names(root)[-1] == "birds"
    assert stray_files(root) == []
    (place,) = places_of("birds", root)
    reader = find_reader("birds", root)
    assert (reader.name, reader.where) == ("birds", str(place))
    assert {split: tuple(size) for split, size in split_sizes(reader).items()} == {"train": (2, 6), "test": (2, 6)}
    if place.is_dir():
        assert next(container.title for container in CONTAINERS if container.recognises(look(place))) == title
    else:
        assert next(container.title for container in CONTAINERS if container.suffix == place.suffix) == title


def test_the_mark_survives_a_copy_and_tells_another_name(form, tmp_path):
    root, _ = form
    mark = find_reader("birds", root).mark()
    assert find_reader("birds", root).mark() == mark
    copied = root.rename(tmp_path / "elsewhere")
    assert find_reader("birds", copied).mark().content == mark.content


def test_they_can_be_prepared_from_where_they_are(form, tmp_path):
    root, _ = form
    (place,) = places_of("birds", root)
    for split in ("train", "test"):
        check(prepared("birds", place, tmp_path / "ready", side=SIDE).open(split, 3), split)


def test_two_forms_of_one_name_are_refused(tmp_path):
    class_folders(tmp_path)
    parquet_file(tmp_path)
    with pytest.raises(DataError, match=r"Both .*birds and .*birds\.parquet could be birds"):
        find_reader("birds", tmp_path)


def test_every_container_has_a_writer_and_declines_an_empty_folder(tmp_path):
    assert {container.title for container in CONTAINERS} == set(WRITERS.values())
    suffixes = [container.suffix for container in CONTAINERS if container.suffix]
    assert len(set(suffixes)) == len(suffixes)
    for container in CONTAINERS:
        assert not container.recognises(Folder(tmp_path, (), ()))
        with pytest.raises(DataError, match="holds no"):
            container.open(Folder(tmp_path, (), ()))
