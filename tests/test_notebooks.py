"""Running, storing and printing notebooks, through the functions and through the command."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gptlib import notebook_html, notebooks
from gptlib.cli import app
from gptlib.notebook_form import source_hash
from gptlib.notebook_page import Html
from tests.made_chapter import NAME, chapter, code, figure, png, text

runner = CliRunner()


def empty(source: str) -> dict:
    return code(source) | {"execution_count": None}


def test_run_stores_outputs_counts_and_the_record(store):
    cells = [
        text("# A lesson"),
        empty("import os, sys\nprint(sys.executable == os.environ['RUNS_IN'])"),
        empty("from pathlib import Path\nPath('beside.txt').exists()"),
    ]
    path = store(cells, fresh=False)
    (path.parent / "beside.txt").touch()
    os.environ["RUNS_IN"] = sys.executable
    seen = []
    seconds = notebooks.run(path, on_cell=lambda done, total: seen.append((done, total)))
    nb = notebooks.read(path)
    assert nb["cells"][1]["outputs"][0]["text"] == ["True\n"]
    assert nb["cells"][2]["outputs"][0]["data"]["text/plain"] == ["True"]
    assert [c.get("execution_count") for c in nb["cells"]] == [None, 1, 2]
    assert nb["metadata"]["gptlib"] == {"executed": source_hash(nb), "seconds": seconds}
    assert seen == [(1, 2), (2, 2)]
    assert sorted(p.name for p in path.parent.iterdir()) == ["beside.txt", "lesson.ipynb"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("get_ipython().showtraceback = lambda *a, **k: None\nassert False", "cell 2 failed"),
        ("import time\ntime.sleep(60)", "ran longer than 2 s"),
        ("import os\nos._exit(1)", "the kernel died in cell 2"),
    ],
)
def test_a_failed_run_leaves_the_file_and_says_which_cell(store, source, words):
    path = store([text("# One"), empty("x = 1"), empty(source)], fresh=False)
    before = path.read_bytes()
    with pytest.raises(notebooks.NotebookFailed, match=re.escape(words)) as failure:
        notebooks.run(path, timeout=2)
    assert "cell 2" in str(failure.value)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.skipif(os.name == "nt", reason="sends a POSIX signal")
def test_an_interrupted_run_leaves_the_file(store):
    flag = "Path('started').touch(); time.sleep(60)"
    path = store([empty(f"import time\nfrom pathlib import Path\n{flag}")], fresh=False)
    before = path.read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "gptlib.cli", "notebooks", "run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 60
    while not (path.parent / "started").exists() and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted; the file is unchanged" in said and "Traceback" not in said
    assert path.read_bytes() == before


def test_a_store_that_fails_keeps_the_old_file(store, monkeypatch):
    path = store([text("# One")])
    before = path.read_bytes()

    def full(*args):
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        notebooks.write(path, {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1


def test_run_from_the_shell(store):
    good = store([empty("print(1)")], "good.ipynb", fresh=False)
    bad = store([empty("1 / 0")], "bad.ipynb", fresh=False)
    done = runner.invoke(app, ["notebooks", "run", str(bad), str(good)])
    assert done.exit_code == 1
    assert "cell 0 failed" in done.stderr and "unchanged" in done.stderr
    assert re.search(r"good\.ipynb: [\d.]+ s, stored", done.stdout)


def test_check_and_clean_from_the_shell(store):
    path = store(chapter(), NAME, "chapters")
    assert runner.invoke(app, ["notebooks", "check", str(path.parent)]).exit_code == 0
    nb = json.loads(path.read_text("utf-8"))
    nb["metadata"]["widgets"] = {}
    path.write_text(json.dumps(nb), encoding="utf-8")
    checked = runner.invoke(app, ["notebooks", "check", str(path)])
    assert checked.exit_code == 1
    assert "[widget_state]" in checked.stdout and "2 problems to solve" in checked.stderr
    assert "cleaned" in runner.invoke(app, ["notebooks", "clean", str(path)]).stdout
    assert "in order" in runner.invoke(app, ["notebooks", "clean", str(path)]).stdout
    assert runner.invoke(app, ["notebooks", "check", str(path)]).exit_code == 0


@pytest.mark.parametrize(
    ("name", "content", "status", "words"),
    [
        ("missing.ipynb", None, 2, "there is no file"),
        ("notes.txt", "hello", 2, "does not end in .ipynb"),
        ("", None, 2, "holds no notebook"),
        ("broken.ipynb", "{", 1, "holds no JSON"),
        ("old.ipynb", '{"nbformat": 3, "worksheets": []}', 1, "not a notebook of format 4"),
    ],
)
@pytest.mark.parametrize("command", ["clean", "check", "run"])
def test_a_misused_command_says_one_clear_sentence(tmp_path, command, name, content, status, words):
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    done = runner.invoke(app, ["notebooks", command, str(path)])
    assert done.exit_code == status
    assert words in done.stderr and "Traceback" not in done.stderr


def test_help_loads_nothing_heavy():
    script = (
        "import sys; from gptlib.cli import app\n"
        "heavy = {'torch', 'nbformat', 'nbclient', 'nbconvert', 'matplotlib', 'IPython'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_page_loads_nothing_and_runs_nothing(store, tmp_path):
    cells = [
        text(
            "# One\n\nInline $x^2$ and $$\\sum_i a_i$$\n\n<details><summary>A</summary>B</details>"
        ),
        text("```mermaid\ngraph LR; a-->b\n```"),
        code("draw()", figure()),
    ]
    path = store(cells)
    out = tmp_path / "html"
    assert runner.invoke(app, ["notebooks", "html", str(path), "--out", str(out)]).exit_code == 0
    written = (out / "lesson.html").read_text("utf-8")
    page = Html(written)
    names = {tag for tag, _ in page.tags}
    assert {"img", "details", "style"} <= names and not {"script", "link", "iframe"} & names
    for tag, attrs in page.tags:
        for name in ("src", "href"):
            assert not re.match(r"(https?:)?//", attrs.get(name, "")), (tag, attrs[name])
    assert not re.search(r"url\(\s*['\"]?(https?:)?//|@import", written)


def test_a_page_folder_that_cannot_be_made_is_named_in_one_line(store, tmp_path):
    path, taken = store([text("# One")]), tmp_path / "taken"
    taken.write_text("a file")
    result = runner.invoke(app, ["notebooks", "html", str(path), "--out", str(taken / "html")])
    assert result.exit_code == 1 and "taken" in result.output
    assert isinstance(result.exception, SystemExit)


def test_a_folded_answer_written_in_markdown_stays_inside_its_fold(tmp_path):
    (tmp_path / "dot.png").write_bytes(base64.b64decode(png()))
    answer = "Only **two**. <img alt='a dot' src='dot.png'>"
    source = f"<details><summary>Answer</summary>\n\n{answer}\n\n</details>\n\nAfter."
    nb = {"cells": [text(source)], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    written = notebook_html.page(nb, "One", tmp_path)
    inside = written[written.index("<details") : written.index("</details>")]
    assert "<strong>two</strong>" in inside and "data:image/png;base64," in inside
    assert "After." not in inside


def test_formulas_become_mathml():
    assert notebook_html.formula("x^2", display=False).startswith("<math")
    assert 'display="block"' in notebook_html.formula(r"\frac{a}{b} &lt; 1", display=True)


def test_a_formula_that_cannot_be_converted_is_shown_as_it_was_written(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "latex2mathml.converter", None)
    shown = notebook_html.formula("a < b", display=False)
    assert shown == '<span class="math-source">a &lt; b</span>'
    assert "shown as TeX" in capsys.readouterr().err


def test_write_keeps_the_mode_of_the_file(store):
    path = store([text("# One")])
    path.chmod(0o640)
    notebooks.write(path, notebooks.read(path))
    assert Path(path).stat().st_mode & 0o777 == 0o640
