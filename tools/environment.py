"""Make .venv, install the pinned packages into it, and keep it right.

    python tools/environment.py lab        what reading and running the notebooks needs
    python tools/environment.py test       the same and what the suite needs
    python tools/environment.py settings   only JupyterLab's settings, into a conda environment

``make lab`` comes here through bootstrap.py on every start. Once the environment is complete, a
small file inside it (the stamp) says what it was made from, and nothing else is looked at. Standard
library only: nothing is installed yet when this runs.
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "gptlib-environment.json"
LOG = VENV / "gptlib-install.log"

EXTRAS = {"lab": {"lab"}, "test": {"lab", "test"}}

# Measured on Linux with PyTorch's CPU build: downloads, the finished environment, and what pip
# needs in between, in bytes. PyTorch's CUDA build takes several times as much.
NEEDED_BYTES = 3_000_000_000
FIRST_RUN = (
    "The first run downloads about 0.4 GB, fills 1.6 GB, and takes about 2 minutes where the "
    "network is fast.\n"
)
CUDA_NOTE = (
    "On Linux, pip's default PyTorch comes with CUDA and takes several GB more; README.md says how "
    "to get the CPU build.\n"
)

# JupyterLab 4.6 runs widget callbacks on a second kernel thread, where they race pyplot and leave
# plots half drawn (jupyterlab#19719); the other two keep a first start quiet and off the network.
LAB_SETTINGS = {
    "@jupyterlab/apputils-extension:kernels-settings": {"commsOverSubshells": "disabled"},
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
}

DISK_SIGNS = r"No space left on device|\[Errno 28\]|Disk quota exceeded|not enough space"
NETWORK_SIGNS = (
    r"NewConnectionError|Failed to establish a new connection|name resolution|Connection refused"
    r"|ConnectTimeout|ReadTimeout|Read timed out|Max retries exceeded|ProxyError|SSLError"
    r"|CERTIFICATE_VERIFY_FAILED|Network is unreachable|Connection broken|RemoteDisconnected"
    r"|ConnectionResetError|IncompleteRead"
)


def fail(sentence: str) -> NoReturn:
    """End with one sentence on stderr and exit status 1."""
    sys.stdout.flush()
    raise SystemExit("\n" + sentence)


def say(text: str) -> None:
    print(text, flush=True)


def write_atomically(path: Path, text: str) -> None:
    """Write a file under a temporary name beside it, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def requirements_hash(root: Path = ROOT) -> str:
    """A hash of everything that decides what is installed.

    Of pyproject.toml only the tables that concern the installation count: a changed linter rule is
    no reason to go to the network.
    """
    kept, keep = [], False
    for line in (root / "pyproject.toml").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            keep = line.startswith(("[build-system", "[project", "[tool.hatch"))
        if keep:
            kept.append(line)
    constraints = (root / "constraints.txt").read_text(encoding="utf-8")
    return hashlib.sha256("\n".join([*kept, constraints]).encode()).hexdigest()


def read_stamp() -> dict:
    """What the environment says about itself; empty when it says nothing that can be read."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
        return stamp if isinstance(stamp, dict) else {}
    except (OSError, ValueError):
        return {}


def write_stamp(state: str, extras: set[str], python: str) -> None:
    """``state`` is "building" from before the first change until the last, then "ready"."""
    stamp = {
        "state": state,
        "root": str(ROOT),
        "python": python,
        "extras": sorted(extras),
        "requirements": requirements_hash(),
    }
    write_atomically(STAMP, json.dumps(stamp, indent=1) + "\n")


def python_version() -> str | None:
    """major.minor of the environment's Python; None when it is gone or does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def fault(stamp: dict) -> str | None:
    """Why the existing .venv has to be made again; None when it can be kept."""
    if stamp.get("state") == "building":
        return "its installation was interrupted"
    if stamp and stamp.get("root") != str(ROOT):
        return f"it was made for {stamp.get('root')}"
    version = python_version()
    if version is None:
        return "the Python that it was made with is gone"
    if stamp and stamp.get("python") != version:
        return f"it was made with Python {stamp.get('python')}, which is now {version}"
    if not stamp:  # made by hand: keep it when its pip works and belongs to this folder
        pip = VENV / "bin" / "pip"
        head = pip.read_bytes()[:1024] if pip.is_file() else b""
        if os.fsencode(VENV) not in head:
            return "it has no pip of its own"
    return None


def remove_venv(reason: str) -> None:
    """Delete .venv, but only what this tool or ``python -m venv`` has made."""
    if VENV.is_symlink():
        fail(
            f".venv is a link to {os.path.realpath(VENV)} and cannot be used ({reason}): "
            "remove the link and start again."
        )
    if not (STAMP.exists() or (VENV / "pyvenv.cfg").exists()) and any(VENV.iterdir()):
        fail(f"{VENV} exists but is no Python environment: move it elsewhere and start again.")
    say(f"Making .venv again: {reason}.")
    shutil.rmtree(VENV)


def check_disk() -> None:
    """End with a sentence when the disk cannot hold the environment."""
    free = shutil.disk_usage(ROOT).free
    if free < NEEDED_BYTES:
        fail_disk(f"only {free / 1e9:.1f} GB are free")


def fail_disk(what: str) -> NoReturn:
    fail(
        f"The disk is too full: the environment needs {NEEDED_BYTES / 1e9:.0f} GB on the disk of "
        f"{ROOT} ({what}; PyTorch's CUDA build on Linux needs several GB more, README.md says how "
        "to get the CPU build): free some space and start again."
    )


def create_venv() -> None:
    """An empty environment with pip, marked as unfinished from its first moment."""
    # With another environment active, its Python is a link that may vanish: take the real one.
    base = getattr(sys, "_base_executable", None) or sys.executable
    version = "{}.{}".format(*sys.version_info)
    say(f"Creating .venv with Python {version} ({base}).")
    VENV.mkdir(exist_ok=True)
    write_stamp("building", set(), version)
    done = subprocess.run([base, "-m", "venv", str(VENV)], capture_output=True, text=True)
    if done.returncode != 0:
        output = done.stdout + done.stderr
        if re.search(DISK_SIGNS, output):
            fail_disk("it filled up while .venv was made")
        if done.returncode < 0:
            raise KeyboardInterrupt
        fail(
            f"Python could not make an environment in {VENV}: {' '.join(output.split())} On Debian "
            f"or Ubuntu, `sudo apt install python3-venv python{version}-venv` usually helps."
        )


def pip(arguments: list[str]) -> int:
    """Run the environment's pip with the user's own configuration; its exit status."""
    command = [str(PYTHON), "-m", "pip", "install", "--no-user", "--log", str(LOG), *arguments]
    return subprocess.run(command, cwd=ROOT).returncode


def read_log() -> str:
    return LOG.read_text(encoding="utf-8", errors="replace") if LOG.exists() else ""


def put_back(stamp: str | None) -> None:
    """After a failure: the stamp as it was, if pip came to change nothing."""
    if "Installing collected packages" in read_log():
        return
    STAMP.unlink()
    if stamp is not None:
        write_atomically(STAMP, stamp)


def explain(status: int) -> NoReturn:
    """Say why pip failed, from its log."""
    log = read_log()
    if re.search(DISK_SIGNS, log):
        fail_disk(f"it filled up during the installation, see {LOG}")
    if status < 0 or "Operation cancelled by user" in log:
        raise KeyboardInterrupt
    missing = re.search(r"No matching distribution found for ([\w.-]+)", log)
    # Every package but PyTorch has a build for every machine: none at all means no index answered.
    nothing_found = missing and missing[1] != "torch" and "(from versions: none)" in log
    if nothing_found or re.search(NETWORK_SIGNS, log):
        fail(
            "The packages could not be downloaded because there is no working network connection "
            f"(pip's log: {LOG}): connect, check a proxy if you are behind one, and start again; "
            "only the first run needs the network."
        )
    if missing:
        fail(
            f"pip found no {missing[1]} that fits this machine (its log: {LOG}): use a 64-bit "
            "Python 3.10 to 3.13 on Linux, Windows or Apple silicon, or another package index."
        )
    fail(f"pip stopped with status {status}; its log, {LOG}, says why at its end.")


def install(extras: set[str]) -> None:
    """Install the package and its pinned requirements into an environment that exists."""
    names = ",".join(sorted(extras))
    say(f"Installing the packages of [{names}] at the versions of constraints.txt.")
    LOG.unlink(missing_ok=True)
    version = python_version() or ""
    before = STAMP.read_text(encoding="utf-8") if STAMP.exists() else None
    write_stamp("building", extras, version)
    started = time.perf_counter()
    code = "import pip; print(int(pip.__version__.split('.')[0]))"
    found = subprocess.run([PYTHON, "-c", code], capture_output=True, text=True).stdout.strip()
    status = 0
    if found and int(found) < 22:  # older ones cannot install a pyproject.toml in place
        status = pip(["--upgrade", "pip"])
    try:
        status = status or pip(["-e", f".[{names}]", "-c", "constraints.txt"])
    except KeyboardInterrupt:
        put_back(before)
        raise
    if status != 0:
        put_back(before)
        explain(status)
    write_stamp("ready", extras, version)
    say(f"The environment is complete ({time.perf_counter() - started:.0f} s).")


def write_lab_settings(prefix: Path) -> None:
    """JupyterLab's settings for one environment; the user's own settings are not touched."""
    path = prefix / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    text = json.dumps(LAB_SETTINGS, indent=2) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text)


def ensure(extras: set[str]) -> None:
    """Bring .venv to the state that the repository asks for, with as little work as possible."""
    stamp = read_stamp()
    if VENV.exists():
        reason = fault(stamp)
        if reason:
            remove_venv(reason)
            stamp = {}
    complete = stamp.get("requirements") == requirements_hash()
    if complete and extras <= set(stamp.get("extras", [])):
        return
    if not VENV.exists() or not any(VENV.iterdir()):
        check_disk()
        note = CUDA_NOTE if sys.platform == "linux" else ""
        say(FIRST_RUN + note + "Nothing outside .venv and pip's download cache is changed.")
        create_venv()
    install(extras | set(stamp.get("extras", [])))


@contextlib.contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Let one run work on .venv while others wait; the lock ends with the process at the latest."""
    try:
        import fcntl
    except ImportError:  # Windows, where conda makes the environment
        yield
        return
    descriptor = os.open(ROOT, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another run is working on .venv; waiting for it.")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        pass  # a file system without locks
    try:
        yield
    finally:
        os.close(descriptor)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make or update the course's environment.")
    parser.add_argument("what", choices=["lab", "test", "settings"])
    what = parser.parse_args(arguments).what
    if what == "settings":
        prefix = Path(sys.prefix)
        if sys.prefix == sys.base_prefix and not (prefix / "conda-meta").is_dir():
            fail("Activate the environment first (`conda activate gpt-lineage`), then run this.")
        write_lab_settings(prefix)
        return 0
    try:
        with only_one_at_a_time():
            ensure(EXTRAS[what])
            write_lab_settings(VENV)
    except KeyboardInterrupt:
        fail("Stopped. Start again when you like: what was downloaded is kept in pip's cache.")
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fail_disk("it filled up during the installation")
        if isinstance(error, PermissionError):
            fail(f"{error.filename} cannot be written: check who owns it and start again.")
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main())
