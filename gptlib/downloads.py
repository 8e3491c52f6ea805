"""One file of public data: from the folder in ``GPTLIB_DATA``, from the cache, or downloaded.

Whatever way it comes, its SHA-256 is checked, so that every reader works on the same bytes.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

# Seconds to wait for a connection, and then for each piece of the file: a machine without a
# network should say so quickly.
_TIMEOUT = (5, 30)


class DataUnavailableError(RuntimeError):
    """A data file is neither on this machine nor to be had from the network, or is damaged."""


def fetch(relative_path: str, url: str, sha256: str, what: str) -> Path:
    """The path of a checked copy of one public file.

    It is looked for in ``$GPTLIB_DATA/relative_path``, then in the user's cache, and is
    otherwise downloaded from ``url`` into the cache. ``sha256``: the file's checksum in
    hexadecimal. ``what``: what the file is, for messages ("the text of Tiny Shakespeare").

    Raises :class:`DataUnavailableError`, which names the remedies, when the file can't be had
    or when the copy found is not the one expected.
    """
    folder = os.environ.get("GPTLIB_DATA")
    if folder:
        given = Path(folder).expanduser() / relative_path
        if given.is_file():
            _check(given, sha256, what)
            return given
    return _download(relative_path, url, sha256, what)


def _check(path: Path, sha256: str, what: str) -> None:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise DataUnavailableError(
            f"{path} is not {what} that this course uses: its SHA-256 is {found}, expected "
            f"{sha256}; replace the file, or remove it so that it is downloaded"
        )


def _download(relative_path: str, url: str, sha256: str, what: str) -> Path:
    # Imported here: whoever has the data in a folder never pays for the network libraries.
    import pooch
    import requests

    target = pooch.os_cache("gptlib") / relative_path
    problem = ""
    try:
        return Path(
            pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}",
                fname=target.name,
                path=target.parent,
                downloader=pooch.HTTPDownloader(timeout=_TIMEOUT),
            )
        )
    except ValueError:  # pooch's word for a checksum that differs
        problem = "what came from there is not the expected file (its SHA-256 differs)"
    except (requests.ConnectionError, requests.Timeout):
        problem = "no connection to that host"
    except OSError as error:  # a refusing server, a disk without room
        problem = f"{type(error).__name__}: {error}"
    # Raised outside of the handlers, so that no traceback of the network library is shown.
    raise DataUnavailableError(
        f"{what} is not on this machine and could not be downloaded from {url} ({problem}). "
        "Either connect to the network and run this again, or save that file elsewhere, copy it "
        f"to FOLDER/{relative_path} and set the environment variable GPTLIB_DATA to FOLDER "
        f"(GPTLIB_DATA is {_setting()})"
    )


def _setting() -> str:
    folder = os.environ.get("GPTLIB_DATA")
    return f"now {folder!r}, which does not hold it" if folder else "not set"
