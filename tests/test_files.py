import os
import socket
import stat
import threading

import pytest
import torch

import transference as tr
from transference.files import sweep, write_aside


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


def left_behind(path, process):
    """An aside as a killed process of this machine leaves it."""
    made = []
    write_aside(path, lambda aside: made.append(aside.name))
    path.unlink()
    aside = path.with_name(made[0].replace(f".{os.getpid()}.", f".{process}."))
    aside.write_text("half")
    return aside


def test_asides_of_the_dead_are_swept_and_of_the_living_kept(tmp_path):
    dead, living = (left_behind(tmp_path / "x[1].json", process) for process in (99999999, os.getppid()))
    other = left_behind(tmp_path / "y.json", 99999999)
    write_aside(tmp_path / "x[1].json", lambda aside: aside.write_text("whole"))
    assert not dead.exists()
    assert {child.name for child in tmp_path.iterdir()} == {"x[1].json", living.name, other.name}


def test_what_another_host_is_writing_is_let_be(tmp_path, monkeypatch):
    """Its process number says nothing here, and neither does that of a program of an earlier version."""
    with monkeypatch.context() as there:
        there.setattr(socket, "gethostname", lambda: "elsewhere")
        theirs = left_behind(tmp_path / "x.json", 99999999)
    earlier = tmp_path / ".x.json.99999999.tmp"
    earlier.write_text("half")
    write_aside(tmp_path / "x.json", lambda aside: aside.write_text("whole"))
    assert theirs.exists()
    assert earlier.exists()
    sweep(tmp_path)
    assert [child.name for child in tmp_path.iterdir()] == ["x.json"]


def test_two_writers_with_one_process_number_each_publish_a_whole_file(tmp_path):
    """As on two hosts, or in two containers, that share a disk."""
    path, begun, go_on = tmp_path / "x.bin", threading.Event(), threading.Event()

    def slowly(aside):
        with aside.open("wb") as file:
            file.write(b"a" * 1000)
            begun.set()
            assert go_on.wait(20)
            file.write(b"a" * 1000)

    slow = threading.Thread(target=write_aside, args=(path, slowly))
    slow.start()
    assert begun.wait(20)
    write_aside(path, lambda aside: aside.write_bytes(b"b" * 1000))
    assert path.read_bytes() == b"b" * 1000
    go_on.set()
    slow.join()
    assert path.read_bytes() == b"a" * 2000
    assert [child.name for child in tmp_path.iterdir()] == ["x.bin"]


def test_one_of_many_exclusive_writers_is_the_first(tmp_path):
    path, won = tmp_path / "x.json", []

    def write(number):
        try:
            write_aside(path, lambda aside: aside.write_text(str(number)), exclusive=True)
        except FileExistsError:
            return
        won.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [path.read_text()] == [str(number) for number in won]
    assert [child.name for child in tmp_path.iterdir()] == ["x.json"]


def test_a_disk_without_hard_links_is_written_too(tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("pathlib.Path.hardlink_to", refuse)
    write_aside(tmp_path / "x.json", lambda aside: aside.write_text("first"), exclusive=True)
    with pytest.raises(FileExistsError):
        write_aside(tmp_path / "x.json", lambda aside: aside.write_text("second"), exclusive=True)
    assert (tmp_path / "x.json").read_text() == "first"


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_permissions_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        write_aside(tmp_path / "x.txt", lambda aside: aside.write_text("x"))
        for name in ("x.safetensors", "x.pt"):
            tr.save_checkpoint(tr.Checkpoint({"w": torch.zeros(2)}, 0), tmp_path / name)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o666 & ~umask}


def test_a_name_may_be_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("ä" * 123 + ".json")
    write_aside(path, lambda aside: aside.write_text("x"))
    assert [child.name for child in tmp_path.iterdir()] == [path.name]


def test_a_pipe_is_written_to_as_it_is(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_aside(pipe, lambda path: path.write_text("through"))
        assert os.read(reader, 100) == b"through"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
