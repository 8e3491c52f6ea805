"""The suite itself: a notebook that ought to fail does, order, --fast, the table of times."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gptlib import notebooks
from tests.made_chapter import code

pytestmark = pytest.mark.slow  # each test starts another pytest
ROOT = Path(__file__).resolve().parents[1]
NBVAL = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=60"]
PARALLEL = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]


def run_pytest(folder: Path, *options: str) -> subprocess.CompletedProcess:
    """pytest in a folder of its own, with the suite's plugins."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment["PYTHONPATH"] = str(ROOT)
    shutil.copy(ROOT / "conftest.py", folder)
    ini = "[pytest]\nmarkers =\n  slow: slow\n  browser: browser\n"
    (folder / "pytest.ini").write_text(ini, encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *NBVAL, *options, str(folder)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )


def empty(source: str) -> dict:
    return code(source) | {"execution_count": None}


def test_two_notebooks_in_parallel_pass_with_warnings_and_a_checked_output(store, tmp_path):
    noisy = (
        "import os, warnings\nwarnings.warn('look')\nassert os.environ['OMP_NUM_THREADS'] == '1'"
    )
    checked = "# NBVAL_CHECK_OUTPUT\nprint('\\x1b[31mred\\x1b[0m  ')\nprint('tokens [1, 2]')"
    for name in ("one", "two"):
        path = store([empty(noisy), empty(checked)], f"{name}.ipynb", fresh=False)
        os.environ["OMP_NUM_THREADS"] = "1"
        notebooks.run(path)
    done = run_pytest(tmp_path, *PARALLEL)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout
    assert re.search(r"one\.ipynb +2 +\d+\.\d", done.stdout)


def test_an_output_marked_for_checking_is_compared(store, tmp_path):
    path = store([empty("# NBVAL_CHECK_OUTPUT\nprint('tokens [1, 2]')")], fresh=False)
    notebooks.run(path)
    stored = path.read_text("utf-8")
    assert stored.count('"tokens [1, 2]') == 1
    path.write_text(stored.replace('"tokens [1, 2]', '"tokens [1, 3]'), "utf-8")
    done = run_pytest(tmp_path)
    assert done.returncode == 1 and "Cell outputs differ" in done.stdout


def test_a_cell_that_fails_fails_the_suite(store, tmp_path):
    hidden = "get_ipython().showtraceback = lambda *a, **k: None\nassert False"
    store([empty("x = 1"), empty("assert False")], "plain.ipynb", fresh=False)
    store([empty("x = 1"), empty(hidden)], "hidden.ipynb", fresh=False)
    store([empty("x = 1"), empty("import os\nos._exit(0)")], "dead.ipynb", fresh=False)
    done = run_pytest(tmp_path)
    assert done.returncode == 1 and "3 failed, 3 passed" in done.stdout
    for words in ("Cell execution caused an exception", "hid it", "the kernel died"):
        assert words in done.stdout
    for name in ("plain", "hidden", "dead"):
        assert re.search(rf"{name}\.ipynb .* 1 failed", done.stdout)


def test_long_notebooks_first_and_fast_leaves_them_out(store, tmp_path):
    for name, seconds in (("a", 1), ("b", 60), ("c", 5)):
        store([empty("x = 1")], f"{name}.ipynb", seconds=seconds)
    unit = "import pytest\n\n{mark}\ndef test_it(): pass\n"
    (tmp_path / "test_slow.py").write_text(unit.format(mark="@pytest.mark.slow"), "utf-8")
    (tmp_path / "test_quick.py").write_text(unit.format(mark=""), "utf-8")
    listed = run_pytest(tmp_path, "--collect-only", "-q").stdout
    order = re.findall(r"^(\w+)\.\w+::", listed, flags=re.M)
    assert order == ["b", "test_slow", "c", "a", "test_quick"]
    listed = run_pytest(tmp_path, "--collect-only", "-q", "--fast").stdout
    assert re.findall(r"^(\w+)\.\w+::", listed, flags=re.M) == ["c", "a", "test_quick"]
