"""A chapter made for the tests: the smallest notebook that meets every rule of the standard."""

from __future__ import annotations

import base64
import struct
import zlib

NAME = "03_made.ipynb"
SENTENCE = "The score of two positions is the product of a query and a key. "


def png(width: int = 4, height: int = 1) -> str:
    """A white PNG as base64."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\xff" * width) * height)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return base64.b64encode(data).decode()


def figure(width: int = 4, alt: str = "a white line") -> dict:
    """The output of gptlib.plotting.show."""
    image = f'<img src="data:image/png;base64,{png(width)}" alt="{alt}">'
    data = {"text/html": f"<figure>{image}</figure>", "text/plain": alt}
    return {"output_type": "display_data", "metadata": {}, "data": data}


def code(source: str, *outputs: dict) -> dict:
    return {
        "cell_type": "code",
        "id": None,
        "metadata": {},
        "source": source,
        "outputs": list(outputs),
        "execution_count": 1,
    }


def text(source: str) -> dict:
    return {"cell_type": "markdown", "id": None, "metadata": {}, "source": source}


OPENING = """## Before you start

**Papers.** Vaswani et al. 2017, arXiv:1706.03762.

**Objectives.** At the end you can

1. compute a score;
2. mask the future;
3. count the cost.

**Needs.** Tensors, from chapter 1.

**Run time.** 20 seconds on two cores."""

FOLDED = "<details><summary>Answer</summary>\n\nOnly the last two.\n\n</details>"
QUIZ = "## Quiz\n\n" + "\n\n".join(f"{n}. Who moved?\n\n{FOLDED}" for n in range(1, 6))
READINGS = "## Readings\n\n" + "\n".join(f"- Paper {n}: the best picture of it." for n in range(3))


def chapter() -> list[dict]:
    """The cells, 41 of them; a test breaks one thing in them and sees which rule notices."""
    cells = [
        text("# 3. Self-attention\n\n**You will build** a layer that mixes positions."),
        text(OPENING),
        text("## 3.1 A model that peeks\n\nSelf-attention (自注意力) mixes. " + SENTENCE * 40),
        code("from gptlib.widgets import AttentionHeads\nview = AttentionHeads()"),
        code("view.show()", figure()),
    ]
    for n in range(3):
        cells += [text(f"**Predict first.** Which outputs move in case {n}?\n\n{FOLDED}")]
        cells += [code(f"draw({n})", figure())]
    for n in range(12):
        cells += [text(SENTENCE * 10), code(f"x = {n}")]
    cells += [
        text("## Paper and here\n\n| paper | here |\n|---|---|\n| 2017 | today |"),
        text("## Summary\n\nPositions mix, see [the start](#3.1-A-model-that-peeks)."),
        text(QUIZ),
        text("## Workbook\n\n[Not written yet](../exercises/README.md)"),
        text(READINGS),
        code("print('done')"),
    ]
    return cells
