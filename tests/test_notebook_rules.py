"""The rules hold for every notebook of the course, and each rule fails on its bad case."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from gptlib.chapter_rules import CHAPTER_RULES, HEADINGS
from gptlib.notebook_rules import RULES, problems
from tests.made_chapter import FOLDED, NAME, QUIZ, READINGS, chapter, code, figure, png, text

ROOT = Path(__file__).resolve().parents[1]
STORED = sorted(
    path
    for room in ("chapters", "solutions", "exercises")
    for path in (ROOT / room).glob("*.ipynb")
)
HTTP = "http" + "://example.org/"


@pytest.mark.parametrize("path", STORED, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_stored_notebook_obeys_every_rule(path):
    found = problems(path)
    assert not found, "\n".join(str(problem) for problem in found)


def test_the_made_chapter_obeys_every_rule(store):
    assert problems(store(chapter(), NAME, "chapters")) == []


def where(cells: list[dict], start: str) -> dict:
    return next(cell for cell in cells if cell["source"].startswith(start))


def edit(start: str, old: str, new: str) -> Callable[[list[dict]], None]:
    """A change of the text of the first cell that starts with `start`."""

    def change(cells: list[dict]) -> None:
        cell = where(cells, start)
        assert old in cell["source"]
        cell["source"] = cell["source"].replace(old, new)

    return change


def add_output(data: dict) -> Callable[[list[dict]], None]:
    output = {"output_type": "display_data", "metadata": {}, "data": data}
    return lambda cells: where(cells, "x = 0")["outputs"].append(output)


def add_text(source: str) -> Callable[[list[dict]], None]:
    return lambda cells: cells.insert(6, text(source))


def set_code(source: str, **fields) -> Callable[[list[dict]], None]:
    return lambda cells: where(cells, "x = 0").update(source=source, **fields)


def print_out(line: str) -> Callable[[list[dict]], None]:
    output = {"output_type": "stream", "name": "stdout", "text": line}
    return lambda cells: where(cells, "x = 0")["outputs"].append(output)


def draw(width: int = 4, alt: str = "a line") -> Callable[[list[dict]], None]:
    return lambda cells: where(cells, "draw(0)").update(outputs=[figure(width, alt)])


error = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["no"]}
tmp = "/" + "tmp" + "/"

# (the rule, words of its message, what is broken)
BAD = [
    ("stale_outputs", "never run", set_code("x = 0", execution_count=None)),
    ("error_outputs", "ValueError", lambda cells: cells[-1]["outputs"].append(error)),
    ("alt_text", "no alt text", add_text("<img src='made.png'>")),
    ("alt_text", "no alt text", add_text("![ ](made.png)")),
    ("alt_text", "no alt text", draw(alt=" ")),
    ("alt_text", "bare image/png", add_output({"image/png": png()})),
    ("alt_text", "bare image/svg", add_output({"image/svg+xml": "<svg aria-label='a'></svg>"})),
    ("alt_text", "aria-label", add_output({"text/html": "<svg><path d=''/></svg>"})),
    ("remote_urls", "<img>", add_text(f"![a]({HTTP}a.png)")),
    ("remote_urls", "<img>", add_text("<img alt='a' src='//example.org/a.png'>")),
    ("remote_urls", "<script>", add_output({"text/html": f"<script src='{HTTP}a.js'></script>"})),
    (
        "remote_urls",
        "<link>",
        add_output({"text/html": f"<link rel=stylesheet href='{HTTP}a.css'>"}),
    ),
    ("remote_urls", "<iframe>", add_text(f"<iframe src='{HTTP}'></iframe>")),
    (
        "remote_urls",
        "<div>",
        add_output({"text/html": f"<div style='background:url({HTTP}a)'></div>"}),
    ),
    (
        "remote_urls",
        "style sheet",
        add_output({"text/html": f"<style>@import '{HTTP}a.css'</style>"}),
    ),
    ("remote_urls", "script", add_output({"text/html": f"<script>fetch('{HTTP}')</script>"})),
    ("machine_paths", "source", set_code(f"open('{tmp}a')")),
    ("machine_paths", "source", add_text("Look into `" + "/" + "home/ada/gpt`.")),
    ("machine_paths", "output", print_out("read C:" + "\\Users\\ada\\a.txt")),
    ("machine_paths", "output", print_out("saved to " + "/" + "root/a.txt")),
    ("machine_paths", "output", add_output({"text/html": "<p>/" + "Users/ada</p>"})),
    ("long_cells", "at most 40", set_code("x = 0\n" * 41)),
    ("size", "at most 1", print_out("x" * 1_000_001)),
    ("wide_images", "1101 pixels", draw(width=1101)),
    ("skipped_cells", "NBVAL_SKIP", set_code("# NBVAL_SKIP\nx = 0")),
    ("skipped_cells", "NBVAL_RAISES", set_code("#NBVAL_RAISES_EXCEPTION\nx = 0")),
    ("skipped_cells", "raises-exc", set_code("x = 0", metadata={"tags": ["raises-exception"]})),
    ("broken_links", "does not exist", add_text("[next](04_nothing.ipynb)")),
    ("broken_links", "no heading", add_text("[there](#3.9-Nowhere)")),
    ("headings", "level 1", edit("# 3.", "# 3.", "### 3.")),
    ("headings", "level 1", add_text("# A second title")),
    *[("headings", f"## {name}", edit(f"## {name}", "## ", "### ")) for name in HEADINGS],
    ("headings", "orders", lambda cells: cells.append(cells.pop(cells.index(where(cells, QUIZ))))),
    ("opening", "You will build", edit("# 3.", "**You will build**", "We build")),
    *[
        ("opening", name, edit("## Before", f"**{name}.**", name))
        for name in ("Papers", "Objectives", "Needs", "Run time")
    ],
    ("opening", "no arXiv id", edit("## Before", "2017, arXiv:1706.03762", "at a conference")),
    ("opening", "lists 2 items", edit("## Before", "3. count the cost.", "")),
    ("opening", "no measured time", edit("## Before", "20 seconds", "not long")),
    ("predictions", "has 2 cells", edit("**Predict first.**", FOLDED, "Think.")),
    ("figures", "shows 3", lambda cells: where(cells, "draw(0)").update(outputs=[])),
    ("interactive_view", "no interactive", edit("view.show()", "view.show()", "print(view)")),
    ("interactive_view", "no interactive", edit("from gptlib", "gptlib.widgets", "widgets")),
    ("paper_table", "no table", edit("## Paper", "|---|---|", "")),
    ("quiz", "has 4 answers", lambda cells: where(cells, QUIZ).update(source=QUIZ[: -len(FOLDED)])),
    (
        "workbook",
        "needs a link",
        edit("## Workbook", "../exercises/README.md", "03_attention.ipynb"),
    ),
    ("readings", "lists 2 items", edit("## Readings", "- Paper 0", "Paper 0")),
    ("readings", "lists 7 items", edit("## Readings", READINGS, READINGS + "\n- one more" * 4)),
    ("length", "39 cells", lambda cells: cells.__delitem__(slice(15, 17))),
    ("length", "91 cells", lambda cells: cells.extend(code(f"y = {n}") for n in range(50))),
    ("length", "words", lambda cells: where(cells, "## 3.1").update(source="## 3.1 A 自")),
    ("length", "words", add_text("word " * 5000)),
    ("length", "at most 25", set_code("x = 0\n" * 26 + "y")),
    ("chinese_terms", "no Chinese", edit("## 3.1", "自注意力", "attention")),
]


@pytest.mark.parametrize(("rule", "words", "broken"), BAD, ids=[f"{b[0]}-{b[1]}" for b in BAD])
def test_each_rule_notices_its_bad_case(store, rule, words, broken):
    cells = copy.deepcopy(chapter())
    broken(cells)
    found = [p for p in problems(store(cells, NAME, "chapters")) if p.rule == rule]
    assert any(words in str(problem) for problem in found), [str(problem) for problem in found]


def test_stale_when_the_code_changed_after_the_run(store):
    path = store(chapter(), NAME, "chapters")
    path.write_text(path.read_text("utf-8").replace('"x = 3"', '"x = 33"'), encoding="utf-8")
    assert [p.rule for p in problems(path)] == ["stale_outputs"]


def test_prose_may_change_after_the_run(store):
    path = store(chapter(), NAME, "chapters")
    path.write_text(path.read_text("utf-8").replace("Positions mix", "They mix"), encoding="utf-8")
    assert problems(path) == []


def test_a_chapter_that_was_never_run_is_stale(store):
    found = problems(store(chapter(), NAME, "chapters", fresh=False))
    assert "stale_outputs" in {p.rule for p in found}


def test_a_workbook_without_outputs_need_not_be_run(store):
    cells = [code("x = 1") | {"execution_count": None}]
    assert problems(store(cells, folder="exercises", fresh=False)) == []


def test_widget_state_is_found(store):
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/html": "<p>a</p>"}
    cells = chapter()
    add_output(view)(cells)
    path = store(cells, NAME, "chapters", normal=False)
    assert {"widget_state", "normal_form"} <= {p.rule for p in problems(path)}


def test_a_notebook_saved_by_another_tool_is_not_in_the_normal_form(store):
    path = store(chapter(), NAME, "chapters")
    path.write_text(path.read_text("utf-8") + "\n", encoding="utf-8")
    assert [p.rule for p in problems(path)] == ["normal_form"]


def test_a_chapter_that_takes_too_long(store):
    found = problems(store(chapter(), NAME, "chapters", seconds=91))
    assert [p.rule for p in found] == ["run_time"]


def test_a_chapter_links_to_its_workbook_as_soon_as_that_is_written(store):
    store([text("# Another")], "01_other.ipynb", "exercises")
    assert problems(store(chapter(), NAME, "chapters")) == []
    store([text("# The same")], NAME, "exercises")
    assert [p.rule for p in problems(store(chapter(), NAME, "chapters"))] == ["workbook"]
    cells = chapter()
    edit("## Workbook", "README.md", NAME)(cells)
    assert problems(store(cells, NAME, "chapters")) == []


def test_what_is_allowed_stays_allowed(store):
    cells = chapter()
    add_text(f"A [link]({HTTP}), `<img src='{HTTP}a.png'>` as code, and /a/tmp/b.")(cells)
    add_text("```html\n<script src='" + HTTP + "'></script>\n# no heading\n```")(cells)
    print_out(HTTP + "tmp/a")(cells)
    set_code("print('Q:\\nA', 1 / 2)")(cells)
    assert problems(store(cells, NAME, "chapters")) == []


def test_only_chapters_have_to_meet_the_standard(store):
    assert problems(store([text("# Hello"), code("x = 1")], folder="solutions")) == []


def test_chapter_00_may_be_shorter(store):
    cells = chapter()
    del cells[11:29], cells[3:5]
    cells.remove(where(cells, "## Paper"))
    where(cells, "## 3.1")["source"] += "One more sentence of six words. " * 30
    found = problems(store(cells, "00_start.ipynb", "chapters"))
    assert found == [], [str(problem) for problem in found]


def test_every_rule_has_a_bad_case():
    """The parametrised cases, and the rules with a test of their own in this file."""
    own = set(re.findall(r'"([a-z_]+)"', Path(__file__).read_text("utf-8")))
    assert {rule.__name__ for rule in RULES + CHAPTER_RULES} <= own


def test_the_authors_page_names_what_the_rules_want():
    page = (ROOT / "chapters" / "README.md").read_text("utf-8")
    for name in HEADINGS:
        assert f"## {name}`" in page
    for label in ("Papers", "Objectives", "Needs", "Run time"):
        assert f"**{label}.**" in page
