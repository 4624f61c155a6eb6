"""Datasets of the Hugging Face Hub, from a server on this machine that answers as the Hub does, or worse."""

import contextlib
import hashlib
import http.server
import io
import json
import os
import signal
import subprocess
import sys
import threading
import types
import zipfile
from importlib.metadata import version
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import transference as tr
from tests import originals as make
from transference.cli import main
from transference.datasets.intake import HubAddress
from transference.errors import UsageError

hub = pytest.importorskip("huggingface_hub", reason="huggingface-hub is not installed; pip install 'transference[hub]'")

COMMIT, LATER = "a" * 40, "b" * 40
TOKEN = "hf_" + "secret" * 5


class Hub:
    """One dataset repository, ``owner/birds``: what it holds, how it answers, and what it was asked.

    Args:
        files: contents by path.
    """

    def __init__(self, files):
        self.files = files
        self.commits = {"main": COMMIT, COMMIT: COMMIT}
        self.listed = None
        self.refused = None
        self.answer = lambda handler, content, start: handler.wfile.write(content[start:])
        self.asked = []

    def tree(self):
        if self.listed is not None:
            return self.listed
        return [entry(path, content) for path, content in self.files.items()]

    def fetched(self):
        return sorted({path for method, path, _ in self.asked if method == "GET" and not path.startswith("api/")})


def entry(path, content, large=True):
    told = {"type": "file", "path": path, "size": len(content)}
    git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    if not large:
        return {**told, "oid": git}
    digest = hashlib.sha256(content).hexdigest()
    return {**told, "oid": "0" * 40, "lfs": {"oid": digest, "size": len(content), "pointerSize": 130}}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.handle_any("HEAD")

    def do_GET(self):
        self.handle_any("GET")

    def handle_any(self, method):
        told = self.server.hub
        path = unquote(urlsplit(self.path).path).lstrip("/")
        told.asked.append((method, path.removeprefix(f"datasets/owner/birds/resolve/{COMMIT}/"), dict(self.headers)))
        with contextlib.suppress(ConnectionError):
            if told.refused:
                self.head(told.refused[0], **({"X-Error-Code": told.refused[1]} if told.refused[1] else {}))
            elif path.startswith("api/datasets/owner/birds"):
                self.api(told, path.removeprefix("api/datasets/owner/birds").lstrip("/"))
            elif path.startswith("datasets/owner/birds/resolve/"):
                _, _, inside = path.removeprefix("datasets/owner/birds/resolve/").partition("/")
                self.content(told, method, inside)
            else:
                self.head(401)

    def api(self, told, path):
        if path.startswith("tree/"):
            self.json(told.tree())
        elif (revision := path.removeprefix("revision/") or "main") in told.commits:
            self.json({"id": "owner/birds", "sha": told.commits[revision]})
        else:
            self.head(404, **{"X-Error-Code": "RevisionNotFound"})

    def content(self, told, method, path):
        content = told.files[path]
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        about = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if start:
            about["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.head(206 if start else 200, length=len(content) - start, **about)
        if method == "GET":
            told.answer(self, content, start)

    def json(self, value):
        content = json.dumps(value).encode()
        self.head(200, length=len(content))
        self.wfile.write(content)

    def head(self, status, length=0, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": length, **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(files):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = Hub(files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.hub, f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def told(monkeypatch, tmp_path):
    """A Hub that the environment names, nobody's token, and a library that does not wait between attempts."""
    with serving(shards()) as (found, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr("huggingface_hub.file_download.time", types.SimpleNamespace(sleep=lambda _: None))
        yield found


def parquet(class_names, seed, n=2):
    rows = [
        {"image": {"bytes": make.encoded(make.noise(seed + 10 * c + k)), "path": None}, "class_name": name}
        for c, name in enumerate(class_names)
        for k in range(n)
    ]
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), content)
    return content.getvalue()


def shards():
    return {
        ".gitattributes": b"*.parquet filter=lfs\n",
        "README.md": b"# Birds\n",
        "data/train-00000-of-00002.parquet": parquet(["owl", "wren"], 0),
        "data/train-00001-of-00002.parquet": parquet(["robin"], 100),
        "data/test-00000-of-00001.parquet": parquet(["tit", "crow"], 200),
    }


def folders():
    return {
        f"{split}/{name}/{k}.png": make.encoded(make.noise(10 * n + k))
        for n, (split, name) in enumerate([("train", "owl"), ("train", "wren"), ("test", "tit"), ("test", "crow")])
        for k in range(2)
    }


def prepare(tmp_path, *words, place="hf://datasets/owner/birds"):
    asked = ["datasets", "prepare", "birds", "--download", "--from", place, "--data-root", tmp_path / "data", *words]
    return CliRunner().invoke(main, [str(word) for word in asked])


def refused(result, code, text):
    """One line on stderr that says so, and nothing of the user's token."""
    last = result.stderr.strip().splitlines()[-1]
    assert result.exit_code == code, result.output
    assert last.startswith("error: ")
    assert text in last, last
    assert not [
        line for line in result.stderr.splitlines() if not (line.startswith(("note: ", "error: ")) or " %, " in line)
    ]
    assert "secret" not in result.output


def kept(tmp_path, commit=COMMIT):
    folder = tmp_path / "data" / ".downloads" / "hub" / "owner--birds" / commit
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def about(tmp_path):
    return tr.datasets.prepared_files(tmp_path / "data", "birds")[0].about


@pytest.mark.parametrize("place", ["hf://datasets/owner/birds", "owner/birds", f"hf://datasets/owner/birds@{COMMIT}/"])
def test_parquet_files_are_fetched_and_prepared(tmp_path, told, place):
    result = prepare(tmp_path, place=place)
    assert result.exit_code == 0, result.output
    assert "birds:train        3 classes       6 images" in result.stdout
    assert f"is the commit {COMMIT}; 3 files" in result.stderr
    assert "not fetched: 1 without suffix (.gitattributes); 1 .md (README.md)" in result.stderr
    assert about(tmp_path)["from"] == f"hf://datasets/owner/birds@{COMMIT}"
    wanted = sorted(path for path in told.files if path.startswith("data/"))
    assert told.fetched() == kept(tmp_path) == wanted


def test_the_images_are_those_of_a_copy_by_hand(tmp_path, told):
    assert prepare(tmp_path).exit_code == 0
    make.write_folder(tmp_path / "hand" / "birds", told.files)
    one, other = (tr.open_dataset("birds:train", data_root=tmp_path / root, side=28) for root in ("data", "hand"))
    assert one.digest == other.digest


def test_what_is_here_is_not_fetched_again(tmp_path, told):
    assert prepare(tmp_path).exit_code == 0
    told.asked.clear()
    result = prepare(tmp_path, "--side", 14)
    assert result.exit_code == 0, result.output
    assert told.fetched() == []


def test_class_folders_are_fetched_where_there_is_no_parquet(tmp_path, told):
    told.files = {**folders(), "sheet.png": b"no class", "labels.json": b"{}"}
    told.listed = [entry(path, content, large=path.endswith(".png")) for path, content in told.files.items()]
    result = prepare(tmp_path)
    assert result.exit_code == 0, result.output
    assert "birds:test         2 classes       4 images" in result.stdout
    assert "not fetched: 1 .json (labels.json); 1 .png (sheet.png)" in result.stderr


def test_small_files_are_checked_by_their_git_digest(tmp_path, told):
    told.files = folders()
    told.listed = [entry(path, content, large=False) for path, content in told.files.items()]
    assert prepare(tmp_path).exit_code == 0
    told.listed[0]["oid"] = "1" * 40
    refused(prepare(tmp_path, "--side", 14), 1, "train/owl/0.png came otherwise than")


def test_an_archive_is_fetched_and_unpacked(tmp_path, told):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path, image in folders().items():
            archive.writestr(path, image)
    told.files = {"birds.zip": content.getvalue(), "README.md": b""}
    result = prepare(tmp_path)
    assert result.exit_code == 0, result.output
    assert "birds:train        2 classes       4 images" in result.stdout
    told.files["more.zip"] = content.getvalue()
    refused(prepare(tmp_path), 1, "holds 2 archives (birds.zip, more.zip)")
    assert prepare(tmp_path, place="hf://datasets/owner/birds/birds.zip").exit_code == 0


def test_a_known_form_brings_its_archives(tmp_path, told):
    archive = make.write_zip(tmp_path / "images_background.zip", make.omniglot("images_background")).read_bytes()
    told.files = {"raw/images_background.zip": archive, "raw/extra.zip": archive, "x.parquet": b""}
    result = prepare(tmp_path, "--form", "omniglot", place="owner/birds/raw")
    assert result.exit_code == 0, result.output
    assert told.fetched() == ["raw/images_background.zip"]


def test_configurations_are_not_fetched_together(tmp_path, told):
    told.files = {f"{config}/train/0000.parquet": parquet(["owl", "wren"], 0) for config in ("big", "small")}
    refused(prepare(tmp_path), 1, "holds 2 configurations (big, small), which are datasets of their own; name one")
    assert told.fetched() == []
    told.commits["refs/convert/parquet"] = COMMIT
    result = prepare(tmp_path, place="hf://datasets/owner/birds@refs/convert/parquet/big")
    assert result.exit_code == 0, result.output
    assert told.fetched() == ["big/train/0000.parquet"]
    assert about(tmp_path)["from"] == f"hf://datasets/owner/birds@{COMMIT}/big"


def test_a_dataset_of_other_things_is_not_fetched(tmp_path, told):
    told.files = {"train.jsonl": b"{}", "README.md": b""}
    refused(
        prepare(tmp_path),
        1,
        "holds no parquet file, images in class folders or archive, but 1 .md (README.md); 1 .jsonl (train.jsonl)",
    )
    assert told.fetched() == []


def test_another_commit_has_a_folder_of_its_own(tmp_path, told):
    assert prepare(tmp_path).exit_code == 0
    told.commits["main"] = LATER
    result = prepare(tmp_path, "--force")
    assert result.exit_code == 0, result.output
    assert kept(tmp_path) == kept(tmp_path, LATER)
    assert about(tmp_path)["from"] == f"hf://datasets/owner/birds@{LATER}"


def test_a_connection_that_breaks_is_taken_up_where_it_broke(tmp_path, told, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 500)  # what comes is written in such blocks

    def answer(handler, content, start):
        handler.wfile.write(content[start : start + 1000])

    told.answer = answer
    result = prepare(tmp_path)
    assert result.exit_code == 0, result.output
    starts = {headers["Range"] for method, _, headers in told.asked if method == "GET" and "Range" in headers}
    assert "bytes=1000-" in starts


def test_an_interrupted_download_goes_on_when_it_is_repeated(tmp_path, told):
    broken = "data/train-00001-of-00002.parquet"

    def answer(handler, content, start):
        if content == told.files[broken]:
            handler.wfile.write(b"" if start else content[:100])
        else:
            handler.wfile.write(content[start:])

    told.answer = answer
    refused(prepare(tmp_path), 1, "could not be fetched")
    here = kept(tmp_path)
    assert broken not in here
    assert not (tmp_path / "data" / "birds.28x28x3.safetensors").exists()
    told.asked.clear()
    told.answer = lambda handler, content, start: handler.wfile.write(content[start:])
    result = prepare(tmp_path)
    assert result.exit_code == 0, result.output
    assert broken in told.fetched()
    assert not set(told.fetched()) & set(here), "what had come is kept"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="a process is interrupted otherwise there")
def test_ctrl_c_does_not_wait_for_a_slow_server(tmp_path, told):
    begun, ended = threading.Event(), threading.Event()

    def answer(handler, content, start):
        handler.wfile.write(content[start : start + 100])
        begun.set()
        ended.wait(60)
        handler.wfile.write(content[start + 100 :])

    told.answer = answer
    command = [
        sys.executable,
        "-m",
        "transference",
        "datasets",
        "prepare",
        "birds",
        "--download",
        "--from",
        "owner/birds",
    ]
    with subprocess.Popen(
        [*command, "--data-root", tmp_path / "data"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert begun.wait(60)
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=8)  # the library itself would wait for the block, or ten seconds
        finally:
            process.kill()
            ended.set()
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "interrupted; repeat the same command to go on from here"
    told.answer = lambda handler, content, start: handler.wfile.write(content[start:])
    assert prepare(tmp_path).exit_code == 0
    assert all(path.startswith("data/") for path in kept(tmp_path)), "nothing half is left"


@pytest.mark.parametrize("change", [lambda content: content[:-1] + b"!", lambda content: content[:-10]])
def test_a_file_that_is_another_one_than_listed_is_not_kept(tmp_path, told, change):
    told.listed, whole = told.tree(), dict(told.files)
    changed = "data/test-00000-of-00001.parquet"
    told.files = {**told.files, changed: change(told.files[changed])}
    refused(prepare(tmp_path), 1, f"{changed} came otherwise than {COMMIT} lists it")
    assert changed not in kept(tmp_path)
    told.files = whole
    assert prepare(tmp_path).exit_code == 0


def test_a_file_that_was_changed_here_is_fetched_again(tmp_path, told):
    assert prepare(tmp_path).exit_code == 0
    here = next((tmp_path / "data" / ".downloads").rglob("test-*.parquet"))
    here.write_bytes(b"x" * here.stat().st_size)
    told.asked.clear()
    result = prepare(tmp_path)
    assert result.exit_code == 0, result.output
    assert told.fetched() == ["data/test-00000-of-00001.parquet"]


@pytest.mark.parametrize(
    "name", ["../x/a.png", "/tmp/x/a.png", "x/../../a.png", "x//a.png", "C:/x/a.png", "x\\..\\a/b.png"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path, told, name):
    told.files = {**folders(), name: b"x"}
    refused(prepare(tmp_path), 1, "which would lie outside of its folder; nothing was fetched")
    assert told.fetched() == []


@pytest.mark.parametrize("commit", ["../../x", "", None, "A" * 40])
def test_a_commit_that_is_none_is_not_believed(tmp_path, told, commit):
    told.commits["main"] = commit
    refused(prepare(tmp_path), 1, "which makes no sense")


@pytest.mark.parametrize(
    "listed",
    [
        [{"type": "file", "path": "a.parquet", "size": 1}],
        [{"type": "file", "path": "a.parquet", "size": -1, "oid": "0" * 40}],
        [{"type": "file", "path": "a.parquet", "size": 1, "oid": "../x"}],
        [{"type": "file"}],
        [17],
    ],
)
def test_nonsense_in_a_listing_is_told(tmp_path, told, listed):
    told.listed = listed
    refused(prepare(tmp_path), 1, "hf://datasets/owner/birds ")


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((403, "GatedRepo"), "is gated: ask for access on http://127.0.0.1"),
        ((401, "RepoNotFound"), "or it is private (401). Is its name right?"),
        ((404, "RepoNotFound"), "or it is private (404). Is its name right?"),
        ((403, None), "forbids it (403)"),
        ((503, None), "answers 503. Repeat the command later"),
    ],
)
def test_a_hub_that_gives_nothing_is_told_in_a_line(tmp_path, told, answer, text):
    told.refused = answer
    refused(prepare(tmp_path), 1, text)
    assert not (tmp_path / "data").exists()


def test_a_revision_or_path_that_is_not_there_is_told(tmp_path, told):
    refused(prepare(tmp_path, place="owner/birds@v9"), 1, "has no revision v9")
    refused(prepare(tmp_path, place="owner/birds/eggs"), 1, "owner/birds has no eggs at aaaa")
    refused(prepare(tmp_path, place="owner/fish"), 1, "Is its name right?")


def test_nobody_there(tmp_path, told, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    refused(prepare(tmp_path), 1, "could not be fetched: [Errno")


def test_a_user_who_is_offline_is_told_so(tmp_path, told, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    refused(prepare(tmp_path), 1, "HF_HUB_OFFLINE is set")
    assert told.asked == []


def test_without_the_library_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    refused(prepare(tmp_path), 2, "pip install 'transference[hub]'")


def test_the_hub_hears_the_users_token_and_nothing_of_the_machine(tmp_path, told):
    assert prepare(tmp_path).exit_code == 0
    sent = [{name.lower(): value for name, value in headers.items()} for _, _, headers in told.asked]
    assert {headers["authorization"] for headers in sent} == {f"Bearer {TOKEN}"}
    assert {headers["user-agent"] for headers in sent} == {f"transference/{version('transference')}"}


def test_a_name_or_form_that_cannot_be_is_told_before_anything_is_fetched(tmp_path, told):
    words = [
        "datasets",
        "prepare",
        "shapes",
        "--download",
        "--from",
        "owner/birds",
        "--data-root",
        str(tmp_path / "data"),
    ]
    refused(CliRunner().invoke(main, words), 2, "shapes is a generated mode")
    refused(prepare(tmp_path, "--form", "fish"), 2, "No dataset 'fish' is known")
    assert told.asked == []


def test_what_lies_here_is_not_looked_for_there(tmp_path, told):
    place = make.write_folder(tmp_path / "birds", folders())
    refused(prepare(tmp_path, place=place), 2, "is here already; leave out --download")
    assert told.asked == []


@pytest.mark.parametrize("text", ["hf://owner/birds", "https://example.org/datasets/o/n", "birds", "a/b@", "a/b/../c"])
def test_other_addresses_are_none_of_a_dataset(text):
    with pytest.raises(
        UsageError, match=r"names no dataset of the Hugging Face Hub; write it as hf://datasets/OWNER/NAME"
    ):
        HubAddress.parse(text)


@pytest.mark.parametrize(
    "text",
    ["hf://datasets/o/n", "hf://datasets/o/n@v1.0", "hf://datasets/o/n@refs/pr/3/a/b", "hf://datasets/o/n/a b.zip"],
)
def test_an_address_is_read_as_it_is_written(text):
    assert str(HubAddress.parse(text)) == text
