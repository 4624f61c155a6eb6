import os

import pytest

from transference.files import write_aside


def test_the_new_content_arrives_by_rename(tmp_path):
    path = tmp_path / "new" / "x.json"
    write_aside(path, lambda aside: aside.write_text("old"))
    before = path.stat().st_ino

    def write(aside):
        assert aside.parent == path.parent, "a rename is atomic within one folder only"
        assert path.read_text() == "old"
        aside.write_text("new")

    write_aside(path, write)
    assert path.read_text() == "new"
    assert path.stat().st_ino != before, "written in place, a reader could see half of it"
    assert [child.name for child in path.parent.iterdir()] == ["x.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "x.json"
    path.write_text("old")

    def write(aside):
        aside.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_aside(path, write)
    assert path.read_text() == "old"
    assert [child.name for child in tmp_path.iterdir()] == ["x.json"]


def test_asides_of_the_dead_are_swept_and_of_the_living_kept(tmp_path):
    dead, living, other = (tmp_path / name for name in (".x.json.99999999.tmp", f".x.json.{os.getppid()}.tmp", ".y.json.99999999.tmp"))
    for aside in (dead, living, other):
        aside.write_text("half")
    write_aside(tmp_path / "x.json", lambda aside: aside.write_text("whole"))
    assert {child.name for child in tmp_path.iterdir()} == {"x.json", living.name, other.name}
