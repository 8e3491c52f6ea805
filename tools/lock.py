"""Write constraints.txt: one exact version of every package, for every Python that we support.

Run it with ``make lock`` (it needs uv: ``pip install uv``). Versions that are already pinned are
kept where they still fit the ranges of pyproject.toml; ``make lock ARGS=--upgrade`` moves all of
them to the newest. Afterwards run the whole suite: a new pin is a change like any other.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"

# Chosen by hand. The figures printed in the chapters were made with this PyTorch, and the oracle
# tests were read against this transformers, whose last release for Python 3.10 is older.
HELD = ["torch==2.13.0", "transformers==5.23.0 ; python_full_version >= '3.11'"]

# PyTorch's CUDA build pins these itself and its CPU build does not use them, so that a pin of ours
# could only contradict it.
CUDA = re.compile(r"(nvidia-|cuda-|triton\b)")

HEADER = """\
# Exact versions for Python 3.10 to 3.13. pip reads this file with -c: it installs nothing by
# itself, it only fixes the version of what pyproject.toml asks for. Where one version does not
# serve every Python, a line carries a marker. PyTorch's CUDA packages are left to PyTorch.
#
# Written by `make lock` (tools/lock.py, which needs uv); `make lock ARGS=--upgrade` renews all.
# The pins of torch and transformers are chosen in tools/lock.py.
"""


def resolve(extra_arguments: list[str]) -> list[str]:
    """The lines ``name==version ; marker`` that serve all extras on every supported Python."""
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder, "held.txt")
        held.write_text("\n".join(HELD) + "\n", encoding="utf-8")
        output = Path(folder, "constraints.txt")
        if CONSTRAINTS.exists():
            # uv prefers the versions that it finds in its output file.
            output.write_text(CONSTRAINTS.read_text(encoding="utf-8"), encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--all-extras"]
        command += ["--universal", "--python-version", "3.10", "--constraints", str(held)]
        command += ["--no-header", "--no-annotate", "--quiet", "--output-file", str(output)]
        subprocess.run(command + extra_arguments, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        return output.read_text(encoding="utf-8").splitlines()


def write(pins: list[str]) -> None:
    """Replace constraints.txt by ``pins``, sorted and without the CUDA packages."""
    kept = sorted(line for line in pins if "==" in line and not CUDA.match(line))
    temporary = CONSTRAINTS.with_suffix(".txt.new")
    temporary.write_text(HEADER + "\n" + "\n".join(kept) + "\n", encoding="utf-8")
    os.replace(temporary, CONSTRAINTS)
    print(f"{CONSTRAINTS.name}: {len(kept)} lines")


if __name__ == "__main__":
    write(resolve(sys.argv[1:]))
