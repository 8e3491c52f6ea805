# ruff: noqa: UP010, UP028, UP031, UP032
"""Find a Python that can run the course, then hand over to environment.py.

``make lab`` and ``make test`` start here, with whatever Python the machine calls ``python3``. This
file therefore stays in the syntax that Python 2.7 and 3.14 both read: an old Python must be able to
say in one sentence what is missing, and it cannot if it stops at a syntax error.
"""

from __future__ import print_function

import os
import subprocess
import sys

# The first version that works and the first that does not: requires-python of pyproject.toml.
OLDEST = (3, 10)
BEYOND = (3, 14)
RANGE = "Python 3.10, 3.11, 3.12 or 3.13"
INSTALL_HINT = (
    "install one of them (python.org/downloads, your system's package manager, or "
    "`uv python install 3.12`), then run `make lab PYTHON=/path/to/python3.12`"
)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROBE = "import sys; print('%d %d' % sys.version_info[:2]); import ensurepip, venv"


def fail(sentence):
    """End with one sentence on stderr and exit status 1."""
    sys.stderr.write("\n" + sentence + "\n")
    sys.exit(1)


def suitable(version):
    """Whether ``version``, a tuple (major, minor), is one that the course runs on."""
    return OLDEST <= version < BEYOND


def probe(executable):
    """Ask an interpreter for ``(version, can_make_environments)``; None if it does not run."""
    try:
        process = subprocess.Popen(
            [executable, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        words = process.communicate()[0].decode("ascii", "replace").split()
        return (int(words[0]), int(words[1])), process.returncode == 0
    except (OSError, ValueError, IndexError):
        return None  # not there, or a launcher that has no Python behind it


def on_path(name):
    """Every executable file called ``name`` on PATH, first found first."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    paths = [os.path.join(folder, name) for folder in folders if folder]
    return [path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)]


def alternatives():
    """Other interpreters to try: the course's own, then the versions on PATH, newest first."""
    yield os.path.join(ROOT, ".venv", "bin", "python")
    for minor in range(BEYOND[1] - 1, OLDEST[1] - 1, -1):
        for path in on_path("python3.%d" % minor):
            yield path


def choose():
    """The interpreter to use; ends with a sentence when the machine has none."""
    mine = (sys.version_info[0], sys.version_info[1])
    without_venv = None  # the first suitable Python that cannot make an environment
    if suitable(mine):
        found = probe(sys.executable)
        if found is not None and found[1]:
            return sys.executable
        without_venv = (sys.executable, mine)
        reason = "has no venv and ensurepip modules"
    else:
        reason = "is too %s" % ("old" if mine < OLDEST else "new")
    for path in alternatives():
        found = probe(path)
        if found is None or not suitable(found[0]):
            continue
        if found[1]:
            if not path.startswith(ROOT + os.sep):
                print(
                    "Python %d.%d (%s) %s; using Python %d.%d (%s)."
                    % (mine + (sys.executable, reason) + found[0] + (path,))
                )
            return path
        without_venv = without_venv or (path, found[0])
    if without_venv:
        path, version = without_venv
        fail(
            "Python %d.%d (%s) cannot make environments because its venv and ensurepip modules "
            "are missing: on Debian or Ubuntu run `sudo apt install python3-venv python%d.%d-venv`,"
            " elsewhere install a complete Python, and then start again."
            % (version + (path,) + version)
        )
    fail(
        "The course runs on %s, but %s is Python %d.%d, which %s, and no other was found on PATH: "
        "%s." % ((RANGE, sys.executable) + mine + (reason, INSTALL_HINT))
    )


def main():
    python = choose()
    sys.stdout.flush()
    script = os.path.join(ROOT, "tools", "environment.py")
    os.execv(python, [python, script] + sys.argv[1:])  # one process, so that Ctrl-C has one reader


if __name__ == "__main__":
    main()
