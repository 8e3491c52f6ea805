"""The standard that every chapter meets, as rules; chapters/README.md explains it to authors."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from gptlib.notebook_page import Cell, Notebook
from gptlib.notebook_rules import Problem, Rule

HEADINGS = (
    "Before you start",
    "Paper and here",
    "Summary",
    "Quiz",
    "Workbook",
    "Readings",
)
LABELS = ("Papers", "Objectives", "Needs", "Run time")
MAX_LINES = 25
MAX_SECONDS = 90


@dataclass(frozen=True)
class Amounts:
    """What a chapter has to hold, as (least, most)."""

    cells: tuple[int, int] = (40, 90)
    words: tuple[int, int] = (2000, 5000)
    figures: int = 4
    predictions: int = 3
    views: int = 1
    table: bool = True


START_HERE = Amounts((20, 60), (1000, 5000), figures=2, predictions=1, views=0, table=False)


def amounts(nb: Notebook) -> Amounts:
    """Chapter 00 is a tour, and shorter."""
    return START_HERE if nb.stem.startswith("00_") else Amounts()


def headings(nb: Notebook) -> Iterator[Problem]:
    """One H1, then the sections of the standard, each once and in order."""
    first = [cell for cell, level, _ in nb.headings if level == 1]
    if len(first) != 1:
        yield Problem("headings", None, f"has {len(first)} headings of level 1; needs exactly one")
    elif first[0].index != 0:
        yield Problem("headings", first[0], "the heading of level 1 belongs into the first cell")
    titles = [text for _, level, text in nb.headings if level == 2]
    needed = [h for h in HEADINGS if h != "Paper and here" or amounts(nb).table]
    for name in needed:
        if titles.count(name) != 1:
            yield Problem(
                "headings", None, f"has {titles.count(name)} sections ## {name}; needs one"
            )
    present = [title for title in titles if title in HEADINGS]
    if present != sorted(present, key=HEADINGS.index):
        yield Problem("headings", None, f"orders its sections {present}; needs {list(HEADINGS)}")


def opening(nb: Notebook) -> Iterator[Problem]:
    """What will be built, from which papers, to what end, after what, and in which time."""
    if nb.cells and "**You will build**" not in nb.cells[0].source:
        yield Problem("opening", nb.cells[0], "needs a sentence with **You will build**")
    text = _text(nb.sections.get("Before you start", []))
    parts = _labelled(text)
    for label in LABELS:
        if not parts.get(label, "").strip():
            yield Problem("opening", None, f"## Before you start needs a paragraph **{label}.**")
    if "Papers" in parts and not re.search(
        r"arXiv:\s?\d{4}\.\d{4,5}|arxiv\.org/abs/|\b(?:19|20)\d{2}\b", parts["Papers"]
    ):
        yield Problem("opening", None, "**Papers.** names no arXiv id and no year of a citation")
    count = _list_items(parts.get("Objectives", ""))
    if "Objectives" in parts and not 3 <= count <= 5:
        yield Problem("opening", None, f"**Objectives.** lists {count} items; needs 3 to 5")
    if "Run time" in parts and not re.search(
        r"\d+(?:\.\d+)?[\s-]*(?:s\b|sec|min)", parts["Run time"]
    ):
        yield Problem("opening", None, "**Run time.** names no measured time in seconds or minutes")


def run_time(nb: Notebook) -> Iterator[Problem]:
    """A chapter runs in 90 seconds on two cores."""
    seconds = nb.record.get("seconds", 0)
    if seconds > MAX_SECONDS:
        yield Problem("run_time", None, f"ran {seconds:g} s, at most {MAX_SECONDS}; shorten it")


def predictions(nb: Notebook) -> Iterator[Problem]:
    """Questions put before the cell that answers them, with a folded answer."""
    found = [c for c in nb.prose if "**Predict" in c.source and _folds(c)]
    needed = amounts(nb).predictions
    if len(found) < needed:
        yield Problem(
            "predictions",
            None,
            f"has {len(found)} cells with **Predict and an answer in <details>; needs {needed}",
        )


def figures(nb: Notebook) -> Iterator[Problem]:
    """Figures that teach, drawn by the code."""
    tags = [tag for cell in nb.code for page in cell.output_pages() for tag, _ in page.tags]
    found, needed = tags.count("figure"), amounts(nb).figures
    if found < needed:
        yield Problem("figures", None, f"shows {found} figures (<figure>); needs {needed}")


def interactive_view(nb: Notebook) -> Iterator[Problem]:
    """At least one view of gptlib.widgets that is shown."""
    names: set[str] = set()
    shown = 0
    for cell in nb.code:
        tree = parse(cell.source)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
                "gptlib.widgets"
            ):
                names |= {alias.asname or alias.name for alias in node.names}
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        for node in ast.walk(tree):  # a variable that was made from a view counts as the view
            if isinstance(node, ast.Assign) and names & {
                n.id for n in ast.walk(node.value) if isinstance(n, ast.Name)
            }:
                names |= {t.id for t in node.targets if isinstance(t, ast.Name)}
        calls = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "show"
        ]
        shown += bool(calls and names & used)
    if shown < amounts(nb).views:
        yield Problem(
            "interactive_view",
            None,
            "shows no interactive view; import one from gptlib.widgets and call its .show()",
        )


def paper_table(nb: Notebook) -> Iterator[Problem]:
    """What the authors reported beside what this machine showed."""
    if not amounts(nb).table or "Paper and here" not in nb.sections:
        return
    cells = nb.sections["Paper and here"]
    written = any(tag == "table" for c in cells if c.kind == "markdown" for tag, _ in c.html.tags)
    if not written and not any(c.outputs for c in cells if c.kind == "code"):
        yield Problem("paper_table", None, "## Paper and here holds no table")


def quiz(nb: Notebook) -> Iterator[Problem]:
    """Five questions, each with its answer folded."""
    found = sum(_folds(c) for c in nb.sections.get("Quiz", []) if c.kind == "markdown")
    if found < 5:
        yield Problem("quiz", None, f"## Quiz has {found} answers in <details>; needs 5")


def workbook(nb: Notebook) -> Iterator[Problem]:
    """A link to the workbook of the same name, or to the page about workbooks until it is there."""
    there = (nb.path.parent.parent / "exercises" / nb.path.name).exists()
    wanted = f"../exercises/{nb.path.name if there else 'README.md'}"
    cells = [c for c in nb.sections.get("Workbook", []) if c.kind == "markdown"]
    links = [attrs.get("href") for c in cells for tag, attrs in c.html.tags if tag == "a"]
    if wanted not in links:
        yield Problem("workbook", None, f"## Workbook needs a link to {wanted}")


def readings(nb: Notebook) -> Iterator[Problem]:
    """Three to six readings, each with a line on why."""
    count = _list_items(_text(nb.sections.get("Readings", [])))
    if not 3 <= count <= 6:
        yield Problem("readings", None, f"## Readings lists {count} items; needs 3 to 6")


def length(nb: Notebook) -> Iterator[Problem]:
    """Neither a leaflet nor a book; code cells of 25 lines or fewer."""
    needs = amounts(nb)
    if not needs.cells[0] <= len(nb.cells) <= needs.cells[1]:
        yield Problem("length", None, f"has {len(nb.cells)} cells; needs {_range(needs.cells)}")
    words = sum(cell.html.words for cell in nb.prose)
    if not needs.words[0] <= words <= needs.words[1]:
        yield Problem("length", None, f"has {words} words of prose; needs {_range(needs.words)}")
    for cell in nb.code:
        lines = len(cell.source.split("\n"))
        if lines > MAX_LINES:
            yield Problem(
                "length", cell, f"has {lines} lines, at most {MAX_LINES}; split it by idea"
            )


def chinese_terms(nb: Notebook) -> Iterator[Problem]:
    """Key terms also have their Chinese name."""
    if not any(re.search(r"[\u4e00-\u9fff]", cell.source) for cell in nb.prose):
        yield Problem("chinese_terms", None, "gives no Chinese term (自注意力 self-attention)")


CHAPTER_RULES: list[Rule] = [
    headings,
    opening,
    run_time,
    predictions,
    figures,
    interactive_view,
    paper_table,
    quiz,
    workbook,
    readings,
    length,
    chinese_terms,
]


def parse(source: str) -> ast.Module:
    """The syntax tree of a code cell without its magics; an empty one where it is no Python."""
    lines = ["" if line.lstrip().startswith(("%", "!")) else line for line in source.split("\n")]
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError:
        return ast.Module(body=[], type_ignores=[])


def _text(cells: list[Cell]) -> str:
    return "\n\n".join(cell.source for cell in cells if cell.kind == "markdown")


def _folds(cell: Cell) -> int:
    return sum(tag == "details" for tag, _ in cell.html.tags)


def _labelled(text: str) -> dict[str, str]:
    """What follows each `**Label.**` at the start of a paragraph or list item, to the next one."""
    pattern = rf"^(?:[-*]\s+)?\*\*({'|'.join(LABELS)})[.:]?\*\*[.:]?"
    pieces = re.split(pattern, text, flags=re.M)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _list_items(text: str) -> int:
    return len(re.findall(r"^(?:[-*+]|\d+[.)])\s+\S", text, flags=re.M))


def _range(pair: tuple[int, int]) -> str:
    return f"{pair[0]:,} to {pair[1]:,}"
