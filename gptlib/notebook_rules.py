"""What every stored notebook has to obey, one small function a rule.

A rule takes a `Notebook` and yields problems; a problem says where it is and what to do.
The rules that only chapters have to obey are in `gptlib.chapter_rules`.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gptlib.notebook_form import WIDGET_STATE, WIDGET_VIEW, normalise, render, source_hash, text_of
from gptlib.notebook_page import Cell, Html, Notebook, anchor, markdown

MAX_BYTES = 1_000_000
MAX_LINES = 40
MAX_WIDTH = 1100  # pixels: a page of 11 inches at 100 dpi
# Cells that may be skipped or may raise, as (file name, cell id). The course needs none.
ALLOWED_MARKERS: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True)
class Problem:
    """A broken rule: its name, the cell (None for the notebook), what is wrong, what to do."""

    rule: str
    cell: Cell | None
    message: str

    def __str__(self) -> str:
        where = f"cell {self.cell.index} ({self.cell.id}): " if self.cell else ""
        return f"{where}{self.message} [{self.rule}]"


Rule = Callable[[Notebook], Iterator[Problem]]


def stale_outputs(nb: Notebook) -> Iterator[Problem]:
    """Outputs belong to the code above them. A notebook without any output need not be run."""
    cleared = not nb.is_chapter and not any(c.outputs or c.count for c in nb.code)
    if cleared and "executed" not in nb.record:
        return
    if nb.record.get("executed") != source_hash(nb.nb):
        yield Problem(
            "stale_outputs",
            None,
            "the code has changed since the outputs were made; use gptlib notebooks run",
        )
    for cell in nb.code:
        if cell.source and cell.count is None:
            yield Problem("stale_outputs", cell, "was never run; use gptlib notebooks run")


def normal_form(nb: Notebook) -> Iterator[Problem]:
    """The bytes on disk are the normal form."""
    if nb.text != render(normalise(nb.nb)):
        yield Problem(
            "normal_form", None, "is not in the normal form; use gptlib notebooks clean (or run)"
        )


def error_outputs(nb: Notebook) -> Iterator[Problem]:
    """No stored error: an error that teaches is caught and printed."""
    for cell in nb.code:
        for output in cell.outputs:
            if output["output_type"] == "error":
                yield Problem(
                    "error_outputs",
                    cell,
                    f"holds the error {output['ename']}; repair it, or catch it and print it",
                )


def widget_state(nb: Notebook) -> Iterator[Problem]:
    """No widget state: it is large, and GitHub refuses notebooks where it is incomplete."""
    if "widgets" in nb.nb.get("metadata", {}):
        yield Problem("widget_state", None, "holds widget state; use gptlib notebooks clean")
    for cell in nb.code:
        if any({WIDGET_VIEW, WIDGET_STATE} & set(o.get("data", {})) for o in cell.outputs):
            yield Problem("widget_state", cell, "holds a widget view; use gptlib notebooks clean")


def alt_text(nb: Notebook) -> Iterator[Problem]:
    """Every picture says in words what it shows, so it comes from `gptlib.plotting.show`."""
    for cell, page in _pages(nb):
        for tag, attrs in page.tags:
            if tag == "img" and not attrs.get("alt", "").strip():
                yield Problem("alt_text", cell, "an image has no alt text; say what it shows")
            named = {"aria-label", "aria-labelledby", "aria-hidden"} & set(attrs)
            if tag == "svg" and not named and "title" not in {t for t, _ in page.tags}:
                yield Problem("alt_text", cell, "an svg has no aria-label; say what it shows")
    for cell in nb.code:
        for output in cell.outputs:
            for mime in output.get("data", {}):
                if mime.startswith("image/"):
                    yield Problem(
                        "alt_text",
                        cell,
                        f"a bare {mime} output has no alt text; draw through gptlib.plotting.show",
                    )


_REMOTE = re.compile(r"\s*(?:https?:)?//", re.I)
_REMOTE_CSS = re.compile(r"url\(\s*['\"]?(?:https?:)?//|@import\s+['\"](?:https?:)?//", re.I)
_LOADS = ("src", "srcset", "href", "xlink:href", "data", "poster", "background", "action")


def remote_urls(nb: Notebook) -> Iterator[Problem]:
    """The page loads nothing from a server; a link that a reader clicks is no load."""
    for cell, page in _pages(nb):
        for tag, attrs in page.tags:
            loads = [attrs[name] for name in _LOADS if name in attrs and tag != "a"]
            if any(_REMOTE.match(url) for url in loads) or _REMOTE_CSS.search(
                attrs.get("style", "")
            ):
                yield Problem(
                    "remote_urls",
                    cell,
                    f"<{tag}> loads something from a server; put it into the repository",
                )
        if re.search(r"https?://", page.programs) or _REMOTE_CSS.search(page.programs):
            yield Problem(
                "remote_urls",
                cell,
                "a script or style sheet names a server; put what it loads into the repository",
            )


_DATA_URL = re.compile(r"data:[\w/+.-]+;base64,[A-Za-z0-9+/=\s]+")
_UNIX_PATH = re.compile(r"(?<![\w/.~:-])/(?:home|root|Users|tmp|mnt|private)(?=[/\\\"'`\s)<]|$)")
_WINDOWS_PATH = re.compile(r"\b[A-Za-z]:[\\/]{1,2}(?:Users|Windows|Program|Temp)\b", re.I)


def machine_paths(nb: Notebook) -> Iterator[Problem]:
    """Nothing names a folder of the machine on which the notebook was run."""
    own = {str(nb.path.resolve().parent), str(Path.home())} - {"/", "."}
    for cell in nb.cells:
        texts = [("source", cell.source)] + [("output", text) for text in _texts(cell.outputs)]
        for where, text in texts:
            text = _DATA_URL.sub("", text)
            hit = _UNIX_PATH.search(text) or _WINDOWS_PATH.search(text)
            if hit or any(re.search(re.escape(path) + r"(?![\w-])", text) for path in own):
                shown = f" {hit.group()}" if hit else ""
                yield Problem(
                    "machine_paths",
                    cell,
                    f"its {where} names a folder of this machine{shown}; use a relative path, "
                    "print path.name",
                )


def long_cells(nb: Notebook) -> Iterator[Problem]:
    """At most 40 lines in any code cell (chapters: 25)."""
    for cell in nb.code:
        lines = len(cell.source.split("\n"))
        if lines > MAX_LINES:
            yield Problem(
                "long_cells", cell, f"has {lines} lines, at most {MAX_LINES}; split it by idea"
            )


def size(nb: Notebook) -> Iterator[Problem]:
    """At most 1 MB, so that a clone stays quick and GitHub still shows the notebook."""
    number = len(nb.text.encode())
    if number > MAX_BYTES:
        yield Problem(
            "size",
            None,
            f"has {number / 1e6:.2f} MB, at most {MAX_BYTES / 1e6:g}; draw smaller figures",
        )


def wide_images(nb: Notebook) -> Iterator[Problem]:
    """PNG images at most 1,100 pixels wide: about 100 dots an inch on the page."""
    for cell, page in _pages(nb):
        for tag, attrs in page.tags:
            width = _png_width(attrs.get("src", "")) if tag == "img" else 0
            if width > MAX_WIDTH:
                yield Problem(
                    "wide_images",
                    cell,
                    f"an image is {width} pixels wide, at most {MAX_WIDTH}; use at most 100 dpi",
                )


_MARKERS = re.compile(r"^\s*#\s*(NBVAL_SKIP|NBVAL_RAISES_EXCEPTION)\s*$", re.M)
_TAGS = {"nbval-skip", "nbval-raises-exception", "raises-exception", "skip-execution"}


def skipped_cells(nb: Notebook) -> Iterator[Problem]:
    """Every cell is run by the suite, and none is expected to fail."""
    for cell in nb.code:
        marks = _MARKERS.findall(cell.source) + sorted(_TAGS & set(cell.tags))
        if marks and (nb.path.name, cell.id) not in ALLOWED_MARKERS:
            yield Problem(
                "skipped_cells",
                cell,
                f"is marked {', '.join(marks)}; let it run, or catch the error and print it",
            )


def broken_links(nb: Notebook) -> Iterator[Problem]:
    """A relative link leads to a file that exists, and its anchor to a heading in it."""
    for cell in nb.prose:
        for tag, attrs in cell.html.tags:
            url = attrs.get("href" if tag == "a" else "src" if tag == "img" else "", "")
            parts = urlsplit(url)
            if not url or parts.scheme or parts.netloc:
                continue
            target = (nb.path.parent / unquote(parts.path)) if parts.path else nb.path
            if not target.exists():
                yield Problem("broken_links", cell, f"links to {url}, which does not exist")
            elif parts.fragment and unquote(parts.fragment) not in _anchors(target, nb):
                yield Problem(
                    "broken_links",
                    cell,
                    f"links to {url}, but there is no heading #{unquote(parts.fragment)}",
                )


RULES: list[Rule] = [
    stale_outputs,
    normal_form,
    error_outputs,
    widget_state,
    alt_text,
    remote_urls,
    machine_paths,
    long_cells,
    size,
    wide_images,
    skipped_cells,
    broken_links,
]


def problems(path: str | Path) -> list[Problem]:
    """All problems of a notebook; a file in chapters/ also has to meet the chapters' standard."""
    from gptlib.chapter_rules import CHAPTER_RULES

    nb = Notebook.open(path)
    rules = RULES + (CHAPTER_RULES if nb.is_chapter else [])
    return [problem for rule in rules for problem in rule(nb)]


def _pages(nb: Notebook) -> Iterator[tuple[Cell, Html]]:
    """Everything that becomes HTML: Markdown cells, and the outputs of code cells."""
    for cell in nb.cells:
        if cell.kind == "markdown":
            yield cell, cell.html
        for page in cell.output_pages():
            yield cell, page


def _texts(outputs: list[dict]) -> Iterator[str]:
    for output in outputs:
        yield text_of(output.get("text"))
        yield "\n".join(output.get("traceback", []))
        for mime, value in output.get("data", {}).items():
            if mime.startswith("text/") or mime == "image/svg+xml":
                yield text_of(value)


def _png_width(src: str) -> int:
    """Width in pixels of a PNG in a data URL; 0 for anything else."""
    head, _, data = src.partition("base64,")
    if not head.strip().startswith("data:image/png"):
        return 0
    start = base64.b64decode(re.sub(r"\s", "", data[:64])[:32])
    return struct.unpack(">I", start[16:20])[0] if start[1:4] == b"PNG" else 0


def _anchors(target: Path, nb: Notebook) -> set[str]:
    if target.suffix == ".ipynb":
        other = nb if target.resolve() == nb.path.resolve() else Notebook.open(target)
        return {anchor(text) for _, _, text in other.headings}
    if target.suffix == ".md":
        headings = [text for _, text in markdown(target.read_text(encoding="utf-8")).headings]
        slugs = {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}
        return slugs | {anchor(h) for h in headings}
    return set()
