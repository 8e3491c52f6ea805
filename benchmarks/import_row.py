"""What the library adds to ``import torch``, each side in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.harness import Row, compare

# The bare package imports almost nothing, so the row times what a chapter's first cell imports.
ROOMS = "corpora tokenizers attention model presets sampling optim training evaluation interop"


def importer(statement: str) -> object:
    return lambda: subprocess.run([sys.executable, "-c", statement], check=True)


def import_row() -> Row:
    rooms = ", ".join(ROOMS.split())
    return compare(
        "import",
        importer(f"import gptlib; from gptlib import {rooms}"),
        importer("import torch"),
        peer_name="import torch",
        target=1 / 1.2,
        rounds=9,
        unit="s",
        note="floors 1 to 3 of gptlib, all rooms",
    )


ROWS = {"import": import_row}
