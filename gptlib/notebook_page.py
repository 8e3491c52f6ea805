"""A notebook as its rules see it: cells, their HTML, headings, sections, links.

Markdown is rendered by the library that also makes the HTML page, so a rule sees what a reader
sees: a code block that shows `<img>` is text, and `![alt](file)` is an image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from html.parser import HTMLParser
from pathlib import Path

from gptlib.notebook_form import text_of
from gptlib.notebooks import read

_NOT_PROSE = {"code", "pre", "style", "script"}
_VOID = {"img", "br", "hr", "link", "input", "meta", "source", "col", "area", "embed", "wbr"}
_WORD = re.compile(r"[A-Za-z0-9À-ɏ]+(?:['’.,-][A-Za-z0-9À-ɏ]+)*|[\u3400-\u9fff]")


class Html(HTMLParser):
    """The tags of a piece of HTML, its prose, and the text of its scripts and style sheets."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.headings: list[tuple[int, str]] = []
        self.prose = ""
        self.programs = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self._open.append(tag)
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append((int(tag[1]), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in self._open:
            while self._open.pop() != tag:
                pass
        self.prose += " "

    def handle_data(self, data: str) -> None:
        if any(re.fullmatch(r"h[1-6]", tag) for tag in self._open):
            level, text = self.headings[-1]
            self.headings[-1] = (level, text + data)
        if {"script", "style"} & set(self._open):
            self.programs += data
        if not _NOT_PROSE & set(self._open):
            self.prose += data

    @property
    def words(self) -> int:
        """Words of the prose; a Chinese character counts as one."""
        return len(_WORD.findall(self.prose))


@lru_cache(maxsize=1024)
def markdown(source: str) -> Html:
    """A Markdown cell as the page shows it (attachments stay links)."""
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

    class Plain(IPythonRenderer):
        def _embed_image_or_attachment(self, src: str) -> str:
            return src

    renderer = Plain(escape=False, exclude_anchor_links=True)
    return Html(MarkdownWithMath(renderer=renderer).render(source))


def anchor(heading: str) -> str:
    """The name under which JupyterLab and nbconvert link to a heading."""
    return heading.strip().replace(" ", "-")


@dataclass(frozen=True)
class Cell:
    """One cell: `index` counts all cells from 0, as JupyterLab's own messages do."""

    index: int
    id: str
    kind: str
    source: str
    outputs: list[dict] = field(default_factory=list)
    count: int | None = None
    tags: tuple[str, ...] = ()

    @cached_property
    def html(self) -> Html:
        """A Markdown cell, rendered."""
        return markdown(self.source)

    def output_pages(self) -> Iterator[Html]:
        """The HTML, SVG and Markdown that the cell's outputs put on the page."""
        for output in self.outputs:
            for mime, value in output.get("data", {}).items():
                if mime in ("text/html", "image/svg+xml"):
                    yield Html(text_of(value))
                elif mime == "text/markdown":
                    yield markdown(text_of(value))


@dataclass(frozen=True)
class Notebook:
    """A notebook file, read once, for all rules."""

    path: Path
    text: str
    nb: dict

    @classmethod
    def open(cls, path: str | Path) -> Notebook:
        """Read a file once; raises what `gptlib.notebooks.read` raises."""
        nb = read(path)
        return cls(Path(path), Path(path).read_text(encoding="utf-8"), nb)

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def record(self) -> dict:
        """What `gptlib notebooks run` stored: executed (hash), seconds."""
        return self.nb.get("metadata", {}).get("gptlib", {})

    @property
    def is_chapter(self) -> bool:
        return self.path.resolve().parent.name == "chapters"

    @cached_property
    def cells(self) -> list[Cell]:
        return [
            Cell(
                index,
                str(cell.get("id", "")),
                cell["cell_type"],
                text_of(cell["source"]),
                cell.get("outputs", []),
                cell.get("execution_count"),
                tuple(cell.get("metadata", {}).get("tags", [])),
            )
            for index, cell in enumerate(self.nb["cells"])
        ]

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == "code"]

    @property
    def prose(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.kind == "markdown"]

    @cached_property
    def headings(self) -> list[tuple[Cell, int, str]]:
        """All headings in order: (cell, level, text)."""
        return [(c, level, text.strip()) for c in self.prose for level, text in c.html.headings]

    @cached_property
    def sections(self) -> dict[str, list[Cell]]:
        """The cells under each `##` heading. A Markdown cell that holds several headings is cut,
        so that each section has only its own text; what comes before the first is under ""."""
        sections: dict[str, list[Cell]] = {"": []}
        current = ""
        for cell in self.cells:
            if cell.kind != "markdown":
                sections[current].append(cell)
                continue
            for title, text in _cut(cell.source):
                if title is not None:
                    current = title
                    sections.setdefault(current, [])
                sections[current].append(Cell(cell.index, cell.id, "markdown", text))
        return sections


def _cut(source: str) -> Iterator[tuple[str | None, str]]:
    """A Markdown source cut before each `## ` line outside a code fence: (title, text)."""
    title, lines, fenced = None, [], False
    for line in source.split("\n"):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        if line.startswith("## ") and not fenced:
            if lines:
                yield title, "\n".join(lines)
            title, lines = line[3:].strip(), []
        lines.append(line)
    yield title, "\n".join(lines)
