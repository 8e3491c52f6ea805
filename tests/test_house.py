"""The rules of the house: floors, light imports, small files, one format, nothing of a machine."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "gptlib").rglob("*.py"))
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
LAYERS = next(c for c in CONTRACTS["contracts"] if c["id"] == "floors")["layers"]
MAX_LINES = 350

pytestmark = pytest.mark.skipif(
    not (ROOT / ".git").exists(), reason="needs the repository, not an installed package"
)


def tool(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def beside_python(name: str) -> str:
    """A command of this environment, or of the machine."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is missing: install the test tools with pip install -e '.[lab,test]'"
    return found


def lower_floors() -> list[str]:
    """The modules of floors 1-4 that exist: the four lowest layers of the contract."""
    names = [name.strip(" ()") for layer in LAYERS[-4:] for name in layer.split(":")]
    return [name for name in names if (ROOT / "gptlib" / f"{name}.py").exists()]


def files() -> list[Path]:
    """Everything that git tracks, or would add."""
    listed = tool("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").stdout
    return [ROOT / name for name in sorted(set(listed.split("\0"))) if (ROOT / name).is_file()]


def test_the_floors_hold():
    done = tool(beside_python("lint-imports"), "--no-cache")
    assert done.returncode == 0, done.stdout


def test_the_contract_on_notebooks_covers_the_lower_floors():
    contract = next(c for c in CONTRACTS["contracts"] if c["id"] == "no-notebook-below")
    assert sorted(contract["source_modules"]) == sorted(f"gptlib.{n}" for n in lower_floors())


def test_the_lower_floors_load_no_plots_and_no_notebook_library():
    """Also through another library, which the contract on gptlib's own imports cannot see."""
    script = (
        "import importlib, sys\n"
        f"for name in {lower_floors()}: importlib.import_module('gptlib.' + name)\n"
        "upper = {'matplotlib', 'IPython', 'ipywidgets', 'anywidget', 'nbformat', 'nbclient',\n"
        "         'jupyter_client', 'ipykernel', 'transformers', 'sklearn'}\n"
        "print(sorted(upper & set(sys.modules)))"
    )
    done = tool(sys.executable, "-c", script)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_importing_gptlib_loads_nothing_heavy():
    script = (
        "import sys, gptlib; print(sorted({'torch', 'numpy', 'matplotlib'} & set(sys.modules)))"
    )
    assert tool(sys.executable, "-c", script).stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_small_and_says_what_it_is(path):
    source = path.read_text("utf-8")
    lines = sum(bool(line.strip()) for line in source.splitlines())
    assert lines <= MAX_LINES, f"{lines} lines that are not blank; split it by idea"
    assert path.name not in ("utils.py", "helpers.py", "misc.py"), "name it for its idea"
    if lines:
        assert ast.get_docstring(ast.parse(source)), "begins with a docstring"


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff(command):
    done = tool(beside_python("ruff"), *command, ".")
    assert done.returncode == 0, done.stdout + done.stderr


def forbidden() -> re.Pattern[str]:
    """Registries' hosts and folders of a machine, put together here so that this file has none."""
    hosts = ["py" + "pi.org", "python" + "hosted.org", "npm" + "js.", "ana" + "conda.org"]
    folders = ["wo" + "rk", "t" + "mp", "ho" + "me", "ro" + "ot", "Us" + "ers"]
    places = rf"(?<![\w.~:/-])/(?:{'|'.join(folders)})/\w"
    return re.compile("|".join([re.escape(host) for host in hosts] + [places]))


def test_no_file_names_a_registry_or_a_folder_of_a_machine():
    pattern, found = forbidden(), []
    for path in files():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", text)
        for number, line in enumerate(text.splitlines(), 1):
            if hit := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {hit.group()}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "bad", ["/" + "home/ada/x", "'/" + "tmp/x'", "https://py" + "pi.org/simple"]
)
def test_the_search_finds_what_it_looks_for(bad):
    assert forbidden().search(f"see {bad}")
    assert not forbidden().search("see ../home/x and https://example.org/tmp/x")


def test_no_test_is_left_as_a_stub():
    """A test asserts, raises, or calls a helper that does; `pass` alone proves nothing."""
    empty = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                body = [n for n in node.body if not isinstance(n, ast.Expr | ast.Pass)]
                if not body and not any(isinstance(n, ast.Call) for n in ast.walk(node)):
                    empty.append(f"{path.name}:{node.lineno} {node.name}")
    assert not empty, empty
