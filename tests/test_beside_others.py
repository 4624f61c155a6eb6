"""A folder of several datasets: only the one that is asked for is prepared, and none is mixed with another."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests import originals as make
from transference.cli import main
from transference.datasets import find_reader, prepared_files
from transference.datasets._parts import datasets_among

NAMES = ("cifar100", "omniglot", "cub200", "tiny_imagenet")


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def table(path, classes, split=None, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [make.encoded(make.noise([seed, k])) for k, _ in enumerate(classes)]
    columns = {"image": [{"bytes": content, "path": None} for content in images], "class_name": classes}
    pq.write_table(pa.table(columns | ({"split": split} if split else {})), path)
    return path


def classes_in(folder, prefix):
    make.write_folder(
        folder, {f"{prefix} {c}/{k}.png": make.encoded(make.noise([c, k])) for c in range(2) for k in range(3)}
    )


@pytest.fixture
def several(tmp_path):
    """Four datasets in a folder, a file each."""
    for seed, name in enumerate(NAMES):
        table(
            tmp_path / "all" / f"{name}.parquet",
            [f"{name} {k}" for k in range(2 + seed)],
            ["train"] * (2 + seed),
            seed,
        )
    return tmp_path / "all"


def prepare(name, place, data, *words):
    return call("datasets", "prepare", name, "--from", place, "--data-root", data, "--side", 9, *words)


def test_only_the_one_that_is_called_so_is_meant(several, tmp_path):
    result = prepare("cub200", several, tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "cub200:train        4 classes" in result.stdout
    assert (
        f"cub200 is cub200.parquet of {several}; not read: cifar100.parquet, omniglot.parquet, tiny_imagenet.parquet"
        in result.stderr
    )


def test_where_none_is_called_so_all_are_read_and_named(several, tmp_path):
    result = prepare("aircrafts", several, tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert (
        "the names of 4 parquet files are not those of one dataset (cifar100.parquet, cub200.parquet" in result.stderr
    )
    assert "all are read as aircrafts" in result.stderr


@pytest.mark.parametrize(
    "stems",
    [
        ("train", "test"),
        ("train_0", "train_1", "test-0"),
        ("birds_train", "birds-test"),
        ("train", "extra", "unlabelled"),
        ("birds-train-00000-of-00001", "birds-test-00000-of-00001"),
        ("fold1-00000-of-00001", "fold2-00000-of-00001"),
        ("part-0", "part-1"),
        ("part-00000-7f3a-c000.snappy", "part-00003-91bc-c000.snappy"),
        ("550e8400-e29b-41d4-a716-446655440000-0", "550e8400-e29b-41d4-a716-4466554400aa-0"),
        ("0000", "0001"),
        ("birds-03", "birds-07"),
        ("birds1", "birds2"),
        ("birds", "birds (1)"),
        ("data/part-0", "part-1"),
        ("split=train/birds", "split=train/cars"),
    ],
)
def test_parts_of_one_dataset_are_one(tmp_path, stems):
    assert datasets_among([tmp_path / f"{stem}.parquet" for stem in stems], tmp_path) == []


@pytest.mark.parametrize(
    "stems",
    [
        NAMES,
        ("cifar10", "cifar100"),
        ("cifar-10", "cifar-100"),
        ("cifar", "cifar100"),
        ("fc100", "cub200"),
        ("base_model", "developers"),
        ("cars-train", "cars-test", "cub-train", "cub-test"),
        ("cars-train-00000-of-00001", "cub-train-00000-of-00001"),
        ("part-0", "omniglot"),
        ("data/cub", "cars"),
        ("train/cub", "train/cars"),
    ],
)
def test_names_of_several_datasets_are_several(tmp_path, stems):
    files = [f"{stem}.parquet" for stem in stems]
    assert sorted(datasets_among([tmp_path / file for file in files], tmp_path)) == sorted(files)


def find_classes(data):
    [file] = prepared_files(data, "birds")
    return next(iter(file.classes().values()))


def as_folders(place):
    classes_in(place / "birds", "bird")
    classes_in(place / "cars", "car")


def as_archives(place):
    for name in ("bird", "car"):
        classes_in(place / f".{name}", name)
        files = {
            str(path.relative_to(place / f".{name}")): path.read_bytes() for path in place.rglob(f"{name} */*.png")
        }
        make.write_zip(place / f"{name}s.zip", files)


def as_configurations(place):
    for name in ("bird", "car"):
        table(place / f"{name}s" / "train" / "0000.parquet", [f"{name} 0", f"{name} 1"])


def as_folder_of_parts(place):
    table(place / "birds.parquet" / "part-0.parquet", ["bird 0"])
    table(place / "birds.parquet" / "part-1.parquet", ["bird 1"], seed=1)
    table(place / "cars.parquet", ["car 0", "car 1"])


def as_folder_beside_a_table(place):
    classes_in(place / "birds", "bird")
    table(place / "cars.parquet", ["car 0", "car 1"])


def as_archive_beside_a_table(place):
    as_archives(place)
    (place / "cars.zip").unlink()
    table(place / "cars.parquet", ["car 0", "car 1"])


def as_archive_of_tables(place):
    files = [table(place / "made" / f"{name}s.parquet", [f"{name} 0", f"{name} 1"]) for name in ("bird", "car")]
    make.write_zip(place / "both.zip", {file.name: file.read_bytes() for file in files})


@pytest.mark.parametrize(
    "lay",
    [
        as_folders,
        as_archives,
        as_configurations,
        as_folder_of_parts,
        as_folder_beside_a_table,
        as_archive_beside_a_table,
        as_archive_of_tables,
    ],
)
def test_whatever_the_form_of_the_others(lay, tmp_path):
    place = tmp_path / "there"
    place.mkdir()
    lay(place)
    asked = place / "both.zip" if lay is as_archive_of_tables else place
    result = prepare("birds", asked, tmp_path / "data", "--dry-run")
    assert result.exit_code == 0, result.output
    assert "2 classes" in result.stdout
    assert "birds is birds" in result.stderr
    assert prepare("birds", asked, tmp_path / "data").exit_code == 0
    assert set(find_classes(tmp_path / "data")) == {"bird 0", "bird 1"}


def test_a_class_that_is_called_so_is_no_dataset(tmp_path):
    make.write_folder(
        tmp_path / "there",
        {f"{c}/{k}.png": make.encoded(make.noise([k, len(c)])) for c in ("birds", "cars") for k in range(3)},
    )
    result = prepare("birds", tmp_path / "there", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "2 classes       6 images" in result.stdout


def test_a_split_that_is_called_so_is_no_dataset(tmp_path):
    for seed, split in enumerate(("train", "test")):
        table(tmp_path / "there" / f"{split}.parquet", ["a", "b"], seed=seed)
    result = prepare("train", tmp_path / "there", tmp_path / "data")
    assert "train:train" in result.stdout, result.output
    assert "train:test" in result.stdout


def test_two_that_are_called_so_are_told(tmp_path):
    as_folder_beside_a_table(tmp_path / "there")
    (tmp_path / "there" / "cars.parquet").rename(tmp_path / "there" / "birds.parquet")
    result = prepare("birds", tmp_path / "there", tmp_path / "data")
    assert result.exit_code == 1
    assert "birds.parquet could be birds; give the one that is meant with --from" in result.stderr


def test_the_images_beside_a_prepared_file_are_those_it_was_made_from(several):
    assert prepare("cub200", several, several).exit_code == 0
    assert find_reader("cub200", several).classes() == {"train": {f"cub200 {k}": 1 for k in range(4)}}
    result = call("datasets", "verify", "cub200", "--data-root", several)
    assert result.exit_code == 0, result.output


def test_an_archive_of_several_is_told(tmp_path):
    as_archive_of_tables(tmp_path)
    result = prepare("boats", tmp_path / "both.zip", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "the names of 2 parquet files are not those of one dataset" in result.stderr
    assert ".preparing" not in result.stderr


def paired(place):
    place.mkdir(exist_ok=True)
    description = place / "two.toml"
    description.write_text('label = "label"\n[modalities.left]\n[modalities.right]\n[split]\ncolumn = "split"\n')
    arrays = {
        "left": np.eye(6),
        "right": np.eye(6),
        "label": np.array(list("ababab")),
        "split": np.array(["train"] * 6),
    }
    np.savez(place / "birds.npz", **arrays)
    return description


def test_paired_data_of_ones_own_are_found_by_their_name(tmp_path):
    description = paired(tmp_path / "there")
    table(tmp_path / "there" / "cars.parquet", ["car 0", "car 1"])
    result = prepare("birds", tmp_path / "there", tmp_path / "data", "--paired", description)
    assert result.exit_code == 0, result.output
    assert "2 classes" in result.stdout
    other = prepare("boats", tmp_path / "there", tmp_path / "data", "--paired", description)
    assert other.exit_code == 1
    assert "holds no boats.parquet or boats.npz; there are birds.npz, cars.parquet" in other.stderr


def test_paired_data_are_not_images_of_another_dataset(tmp_path):
    paired(tmp_path / "there")
    table(tmp_path / "there" / "cars.parquet", ["car 0", "car 1"])
    result = prepare("birds", tmp_path / "there", tmp_path / "data")
    assert result.exit_code == 2
    assert "birds.npz holds arrays of paired data" in result.stderr
