"""Fetching a data file: the given folder, the cache, the network, and what is said without them."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gptlib.downloads import DataUnavailableError, fetch

CONTENT = b"to be, or not to be\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> Path:
    import pooch

    cache = tmp_path / "cache"
    monkeypatch.setattr(pooch, "os_cache", lambda project: cache / project)
    monkeypatch.delenv("GPTLIB_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return cache / "gptlib"


@pytest.fixture
def server(tmp_path):
    """A web server on this machine that has the file ``play.txt``."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "play.txt").write_bytes(CONTENT)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def nobody() -> str:
    """An address on this machine where no server listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_the_given_folder_comes_first(tmp_path, monkeypatch, nobody) -> None:
    (tmp_path / "plays").mkdir()
    (tmp_path / "plays" / "play.txt").write_bytes(CONTENT)
    monkeypatch.setenv("GPTLIB_DATA", str(tmp_path))
    path = fetch("plays/play.txt", f"{nobody}/play.txt", SHA256, "the play")
    assert path == tmp_path / "plays" / "play.txt"


def test_another_file_in_the_given_folder_is_refused(tmp_path, monkeypatch, server) -> None:
    (tmp_path / "play.txt").write_bytes(CONTENT.replace(b"\n", b"\r\n"))
    monkeypatch.setenv("GPTLIB_DATA", str(tmp_path))
    with pytest.raises(DataUnavailableError, match=f"is not the play .* expected {SHA256}"):
        fetch("play.txt", f"{server}/play.txt", SHA256, "the play")


def test_a_download_is_kept(own_cache, server, nobody) -> None:
    path = fetch("plays/play.txt", f"{server}/play.txt", SHA256, "the play")
    assert path.read_bytes() == CONTENT
    assert path.resolve() == (own_cache / "plays" / "play.txt").resolve()
    assert fetch("plays/play.txt", f"{nobody}/play.txt", SHA256, "the play") == path


def test_a_damaged_copy_in_the_cache_is_replaced(own_cache, server) -> None:
    own_cache.mkdir(parents=True)
    (own_cache / "play.txt").write_bytes(b"half a fi")
    assert fetch("play.txt", f"{server}/play.txt", SHA256, "the play").read_bytes() == CONTENT


def test_a_download_with_another_checksum_is_refused(own_cache, server) -> None:
    with pytest.raises(DataUnavailableError, match="SHA-256 differs"):
        fetch("play.txt", f"{server}/play.txt", "0" * 64, "the play")
    assert not (own_cache / "play.txt").exists()


def test_a_missing_page_is_named(server) -> None:
    with pytest.raises(DataUnavailableError, match="404"):
        fetch("play.txt", f"{server}/absent.txt", SHA256, "the play")


def test_without_a_network_one_error_names_both_remedies(tmp_path, monkeypatch, nobody) -> None:
    start = time.monotonic()
    with pytest.raises(DataUnavailableError) as raised:
        fetch("plays/play.txt", f"{nobody}/play.txt", SHA256, "the play")
    assert time.monotonic() - start < 10
    message = str(raised.value)
    assert "connect to the network" in message
    assert "FOLDER/plays/play.txt" in message and "GPTLIB_DATA is not set" in message
    assert raised.value.__cause__ is None and raised.value.__context__ is None

    monkeypatch.setenv("GPTLIB_DATA", str(tmp_path))
    with pytest.raises(DataUnavailableError, match="which does not hold it"):
        fetch("plays/play.txt", f"{nobody}/play.txt", SHA256, "the play")
