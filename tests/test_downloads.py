"""Downloads from a server on this machine that truncates, stalls, redirects, and serves the wrong bytes."""

import contextlib
import hashlib
import http.server
import os
import threading
import time

import pytest
from click.testing import CliRunner

from tests import originals as make
from transference.cli import main
from transference.datasets import intake, originals
from transference.datasets.intake.downloads import Patience, Remote, download
from transference.errors import DataError, UsageError

CONTENT = os.urandom(300_000)
QUICK = Patience(timeout=0.5, attempts=3, pause=0.01)


@contextlib.contextmanager
def serving(behaviour):
    """A server whose answer to a request is ``behaviour(handler, start)``; ``start`` is the first byte asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            text = self.headers.get("Range", "bytes=0-")
            start = int(text.removeprefix("bytes=").rstrip("-"))
            asked.append((self.path, start))
            with contextlib.suppress(ConnectionError):
                behaviour(self, start)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/data.zip", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def head(handler, status, **headers):
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()


def honest(handler, start, stop=None, content=CONTENT):
    """Answer as a server that can go on from anywhere; with ``stop`` it ends there, having promised more."""
    if start:
        head(
            handler,
            206,
            Content_Length=len(content) - start,
            Content_Range=f"bytes {start}-{len(content) - 1}/{len(content)}",
        )
    else:
        head(handler, 200, Content_Length=len(content))
    handler.wfile.write(content[start:stop])


def remote(url, content=CONTENT, size=True, kind="sha256"):
    return Remote(url, len(content) if size else None, f"{kind}:{hashlib.new(kind, content).hexdigest()}")


def fetch(what, folder):
    return download(what, folder, schemes=("http",), patience=QUICK)


def left_in(folder):
    """What lies there beside the lock."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


@pytest.mark.parametrize("size", [True, False])
@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_whole_file_comes_once(tmp_path, size, kind):
    with serving(honest) as (url, asked):
        assert fetch(remote(url, size=size, kind=kind), tmp_path).read_bytes() == CONTENT
        assert fetch(remote(url, size=size, kind=kind), tmp_path).name == "data.zip"
    assert len(asked) == 1, "what is there already is not fetched again"
    assert left_in(tmp_path) == ["data.zip"]


@pytest.mark.parametrize("size", [True, False])
def test_a_server_that_truncates_is_asked_for_the_rest(tmp_path, size):
    def behaviour(handler, start):
        honest(handler, start, start + 70_000)

    with serving(behaviour) as (url, asked):
        assert fetch(remote(url, size=size), tmp_path).read_bytes() == CONTENT
    assert [start for _, start in asked] == [0, 70_000, 140_000, 210_000, 280_000]


def test_a_server_that_stops_for_good_leaves_a_part_that_is_continued(tmp_path):
    def stopping(handler, start):
        if start:
            head(handler, 503)
        else:
            honest(handler, start, 100_000)

    with serving(stopping) as (url, asked):
        with pytest.raises(
            DataError, match=r"the server answered 503 .*; 100000 of 300000 bytes have come. Repeat the command"
        ):
            fetch(remote(url), tmp_path)
        assert len(asked) == 1 + QUICK.attempts
    assert left_in(tmp_path) == [".data.zip.part"], "no half file under the file's name"
    with serving(honest) as (url, asked):
        assert fetch(remote(url), tmp_path).read_bytes() == CONTENT
    assert asked[0][1] == 100_000


@pytest.mark.slow
def test_a_server_that_stalls_is_given_up(tmp_path):
    def behaviour(handler, start):
        if start:
            time.sleep(QUICK.timeout * 1.5)
            return
        honest(handler, start, 100_000)
        handler.wfile.flush()
        time.sleep(QUICK.timeout * 1.5)

    with (
        serving(behaviour) as (url, _),
        pytest.raises(DataError, match=r"the server stopped answering; 100000 of 300000 bytes"),
    ):
        fetch(remote(url), tmp_path)


def test_a_server_that_cannot_go_on_sends_everything_again(tmp_path):
    (tmp_path / ".data.zip.part").write_bytes(b"x" * 1000)

    def behaviour(handler, start):
        del start
        honest(handler, 0)

    with serving(behaviour) as (url, asked):
        assert fetch(remote(url), tmp_path).read_bytes() == CONTENT
    assert asked[0][1] == 1000


def test_a_part_that_fits_nothing_is_dropped(tmp_path):
    (tmp_path / ".data.zip.part").write_bytes(b"x" * 400_000)

    def behaviour(handler, start):
        if start >= len(CONTENT):
            head(handler, 416)
        else:
            honest(handler, start)

    with serving(behaviour) as (url, _):
        assert fetch(remote(url, size=False), tmp_path).read_bytes() == CONTENT


def test_a_part_that_was_all_is_taken(tmp_path):
    """The length is not known, and the connection broke after the last byte: nothing is left to ask for."""
    (tmp_path / ".data.zip.part").write_bytes(CONTENT)
    with serving(lambda handler, _: head(handler, 416)) as (url, asked):
        assert fetch(remote(url, size=False), tmp_path).read_bytes() == CONTENT
    assert len(asked) == 1


def test_a_server_that_goes_on_elsewhere_is_not_believed(tmp_path):
    (tmp_path / ".data.zip.part").write_bytes(CONTENT[:1000])

    def behaviour(handler, start):
        if start:  # the right length, from the wrong place
            head(
                handler,
                206,
                Content_Length=len(CONTENT) - 5000,
                Content_Range=f"bytes 5000-{len(CONTENT) - 1}/{len(CONTENT)}",
            )
            handler.wfile.write(CONTENT[5000:])
        else:
            honest(handler, start)

    with serving(behaviour) as (url, asked):
        assert fetch(remote(url), tmp_path).read_bytes() == CONTENT
    assert [start for _, start in asked] == [1000, 0]


def test_a_server_that_does_not_tell_the_length_of_all(tmp_path):
    (tmp_path / ".data.zip.part").write_bytes(CONTENT[:1000])

    def behaviour(handler, start):
        head(handler, 206, Content_Range=f"bytes {start}-{len(CONTENT) - 1}/*")
        handler.wfile.write(CONTENT[start:])

    with serving(behaviour) as (url, _):
        assert fetch(remote(url, size=False), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("nonsense", ["-5", "9" * 400, "many"])
def test_nonsense_for_a_length_is_not_believed(tmp_path, nonsense):
    def behaviour(handler, start):
        del start
        head(handler, 200, Content_Length=nonsense)
        handler.wfile.write(CONTENT)

    with serving(behaviour) as (url, _):
        assert fetch(remote(url, size=False), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("target", ["http://[::1/x", "http://127.0.0.1:port/x", "http://a b/"])
def test_nonsense_for_an_address_is_told(tmp_path, target):
    with (
        serving(lambda handler, _: head(handler, 302, Location=target)) as (url, _),
        pytest.raises(DataError, match="downloaded"),
    ):
        fetch(remote(url), tmp_path)


def test_two_do_not_write_into_one_part(tmp_path):
    begun, goes_on = threading.Event(), threading.Event()

    def behaviour(handler, start):
        begun.set()
        goes_on.wait(30)
        honest(handler, start)

    patient = Patience(timeout=30, attempts=1)
    with serving(behaviour) as (url, asked):
        first = threading.Thread(
            target=download, args=(remote(url), tmp_path), kwargs={"schemes": ("http",), "patience": patient}
        )
        first.start()
        begun.wait(30)
        try:
            with pytest.raises(UsageError, match="is being downloaded into by another process"):
                fetch(remote(url), tmp_path)
        finally:
            goes_on.set()
            first.join()
    assert ((tmp_path / "data.zip").read_bytes(), len(asked)) == (CONTENT, 1)


def test_wrong_bytes_are_told_and_not_kept(tmp_path):
    behaviour = lambda handler, start: honest(handler, start, content=CONTENT[::-1])
    message = r"sent another file than the one expected: its digest is sha256:\w{64}, expected was sha256:\w{64}"
    with serving(behaviour) as (url, _), pytest.raises(DataError, match=message):
        fetch(remote(url), tmp_path)
    assert left_in(tmp_path) == []


def test_a_wrong_part_is_not_kept_either(tmp_path):
    (tmp_path / ".data.zip.part").write_bytes(b"x" * 1000)
    with serving(honest) as (url, _):
        with pytest.raises(DataError, match="sent another file"):
            fetch(remote(url), tmp_path)
        assert fetch(remote(url), tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("size", [True, False])
def test_a_server_that_never_ends_is_stopped(tmp_path, size):
    def behaviour(handler, start):
        del start
        head(handler, 200, **({} if size else {"Content_Length": len(CONTENT)}))
        for _ in range(50):
            handler.wfile.write(CONTENT)

    with (
        serving(behaviour) as (url, _),
        pytest.raises(DataError, match="more than the 300000 bytes expected|sent another file"),
    ):
        fetch(remote(url, CONTENT + b"!" if not size else CONTENT, size=size), tmp_path)
    assert left_in(tmp_path) == []


def test_redirects_are_followed_and_keep_the_range(tmp_path):
    (tmp_path / ".data.zip.part").write_bytes(CONTENT[:1000])

    def behaviour(handler, start):
        if handler.path == "/data.zip":
            head(handler, 302, Location="/elsewhere.zip")
        else:
            honest(handler, start)

    with serving(behaviour) as (url, asked):
        assert fetch(remote(url), tmp_path).read_bytes() == CONTENT
    assert asked == [("/data.zip", 1000), ("/elsewhere.zip", 1000)]


@pytest.mark.parametrize("target", ["https://127.0.0.1:9/x", "file:///etc/passwd", "ftp://127.0.0.1/x"])
def test_redirects_to_what_was_not_allowed_are_refused(tmp_path, target):
    with (
        serving(lambda handler, _: head(handler, 302, Location=target)) as (url, _),
        pytest.raises(DataError, match="leads to .* not http|url 'file:.* is not allowed"),
    ):
        fetch(remote(url), tmp_path)


def test_redirects_in_a_circle_end(tmp_path):
    with (
        serving(lambda handler, _: head(handler, 302, Location="/data.zip")) as (url, _),
        pytest.raises(DataError, match="302"),
    ):
        fetch(remote(url), tmp_path)


def test_only_https_by_default(tmp_path):
    with serving(honest) as (url, asked):
        with pytest.raises(
            DataError, match=r"http://.* is not https; a file that comes over an open line can be exchanged"
        ):
            download(remote(url), tmp_path)
        assert asked == []


def test_a_missing_file_is_told_at_once(tmp_path):
    with serving(lambda handler, _: head(handler, 404)) as (url, asked):
        with pytest.raises(DataError, match="the server answered 404 Not Found"):
            fetch(remote(url), tmp_path)
        assert len(asked) == 1


def test_nobody_there(tmp_path):
    with serving(honest) as (url, _):
        pass
    with pytest.raises(DataError, match=r"could not be downloaded: .*refused; 0 of 300000 bytes"):
        fetch(remote(url), tmp_path)


def test_a_wrong_file_that_lies_there_is_not_taken(tmp_path):
    (tmp_path / "data.zip").write_bytes(b"mine")
    with (
        serving(honest) as (url, _),
        pytest.raises(DataError, match="data.zip was there already: its digest is sha256:.* Move it away"),
    ):
        fetch(remote(url), tmp_path)
    assert (tmp_path / "data.zip").read_bytes() == b"mine"


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def test_the_command_downloads_and_prepares(tmp_path, monkeypatch):
    archive = make.write_zip(tmp_path / "images_background.zip", make.omniglot("images_background")).read_bytes()
    with serving(lambda handler, start: honest(handler, start, content=archive)) as (url, asked):
        known = originals.find_original("omniglot")
        here = Remote(
            url.replace("data.zip", "images_background.zip"),
            len(archive),
            f"sha256:{hashlib.sha256(archive).hexdigest()}",
        )
        monkeypatch.setattr(
            "transference.cli.work.datasets.find_original",
            lambda _: originals.Original(**{**vars(known), "remotes": (here,)}),
        )
        monkeypatch.setattr(
            intake,
            "download",
            lambda remote, folder, progress: download(remote, folder, schemes=("http",), patience=QUICK),
        )
        words = ("datasets", "prepare", "omniglot", "--download", "--data-root", tmp_path / "data")
        first = call(*words)
        assert first.exit_code == 0, first.output
        assert "omniglot:train" in first.stdout
        again = call(*words, "--side", 14)
        assert again.exit_code == 0, again.output
    assert len(asked) == 1, "the archive is kept for another size"


def test_the_command_says_where_to_get_what_it_may_not_download(tmp_path):
    result = call("datasets", "prepare", "mini-imagenet", "--download", "--data-root", tmp_path)
    assert result.exit_code == 2
    assert "may not be downloaded automatically. Get it from https://www.image-net.org" in result.stderr
    assert "train.csv, val.csv and test.csv" in result.stderr
    result = call("datasets", "prepare", "birds", "--download", "--data-root", tmp_path)
    assert (result.exit_code, "Nothing is known of where birds" in result.stderr) == (2, True)


def test_every_address_is_https_and_pinned():
    for name in originals.original_names():
        for file in originals.find_original(name).remotes:
            kind, _, digest = file.digest.partition(":")
            assert file.url.startswith("https://")
            assert len(digest) == {"sha256": 64, "md5": 32}[kind]
            assert file.name in originals.find_original(name).archives
