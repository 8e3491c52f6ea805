"""The two commands' ground: versions that agree with each other, and an environment that heals.

The installer is run for real, in a copy of the tools beside a package of one line whose build
backend lies in the same folder, so that no test needs the network.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(*groups: str) -> list[Requirement]:
    lines = list(PROJECT["dependencies"])
    for group in groups:
        lines += PROJECT["optional-dependencies"][group]
    return [Requirement(line) for line in lines]


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def marker_environment(python: str, platform: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.9",
        "sys_platform": platform,
        "os_name": "nt" if platform == "win32" else "posix",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


# --- the lists agree ---------------------------------------------------------------------------


def test_environment_yml_has_the_packages_and_ranges_of_pyproject():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert conda["name"] == "gpt-lineage"
    assert conda["channels"] == ["conda-forge"]
    plain = [Requirement(entry) for entry in conda["dependencies"] if isinstance(entry, str)]
    found = {CONDA_NAMES.get(entry.name, entry.name): entry.specifier for entry in plain}
    assert found.pop("python") == SpecifierSet(PROJECT["requires-python"])
    found.pop("pip")
    assert found == {entry.name: entry.specifier for entry in requirements("lab")}
    (nested,) = [entry for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert nested == {"pip": ["-e .[lab]"]}


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_constraints_hold_exactly_one_fitting_pin_of_every_direct_dependency(python, platform):
    environment = marker_environment(python, platform)
    for wanted in requirements("lab", "test"):
        if wanted.marker and not wanted.marker.evaluate(environment):
            continue
        fitting = [
            pin
            for pin in pins()
            if canonical(pin.name) == canonical(wanted.name)
            and (pin.marker is None or pin.marker.evaluate(environment))
        ]
        assert len(fitting) == 1, f"{wanted.name} on Python {python}, {platform}: {fitting}"
        (pin,) = fitting[0].specifier
        assert pin.operator == "==" and "*" not in pin.version
        assert wanted.specifier.contains(pin.version), f"{pin.version} is outside {wanted}"


def test_constraints_are_sorted_plain_pins():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    body = [line for line in lines if line and not line.startswith("#")]
    assert body == sorted(body)
    assert all(re.match(r"[a-z0-9][a-z0-9.-]*==[0-9]\S*( ; .+)?$", line) for line in body)
    assert not [line for line in body if re.match(r"nvidia-|cuda-|triton\b", line)]
    assert "torch==2.13.0" in body


def test_bootstrap_accepts_the_pythons_of_pyproject():
    bootstrap = load("bootstrap")
    allowed = SpecifierSet(PROJECT["requires-python"])
    for minor in range(6, 20):
        assert bootstrap.suitable((3, minor)) == (f"3.{minor}" in allowed), minor
    assert not bootstrap.suitable((2, 7))
    for python in PYTHONS:
        assert python in bootstrap.RANGE and python in allowed


# --- bootstrap.py under any Python -------------------------------------------------------------


def test_bootstrap_uses_no_syntax_that_an_old_python_cannot_read():
    tree = ast.parse((TOOLS / "bootstrap.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr | ast.Nonlocal)
        assert not isinstance(node, ast.Starred | ast.YieldFrom | ast.Await)
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
            assert node.returns is None and not node.args.kwonlyargs and not node.args.posonlyargs
            assert not any(argument.annotation for argument in arguments)


def run_as(version: tuple[int, int], folder: Path, path: str = "") -> subprocess.CompletedProcess:
    """bootstrap.py of ``folder`` under this Python, which calls itself ``version``."""
    code = (
        f"import runpy, sys; sys.version_info = (*{version}, 0); sys.argv = ['', 'lab'];"
        "runpy.run_path('tools/bootstrap.py', run_name='__main__')"
    )
    environment = {**os.environ, "PATH": path}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True
    )


@pytest.mark.parametrize(("version", "word"), [((3, 9), "old"), ((2, 7), "old"), ((3, 14), "new")])
def test_a_python_out_of_range_ends_in_one_sentence(course, version, word):
    done = run_as(version, course)
    assert done.returncode == 1
    assert f"Python {version[0]}.{version[1]}, which is too {word}" in done.stderr
    assert "make lab PYTHON=" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("name", ["python2.7", "python3.6", "python3.8", "python3.9", "python3.14"])
def test_a_real_python_out_of_range_ends_in_one_sentence(course, name):
    candidates = [shutil.which(name)]
    candidates += sorted(Path.home().glob(f".pyenv/versions/{name[6:]}.*/bin/{name}"))
    for python in filter(None, candidates):
        done = subprocess.run(
            [str(python), str(course / "tools" / "bootstrap.py"), "lab"],
            env={**os.environ, "PATH": ""},
            capture_output=True,
            text=True,
        )
        if f"Python {name[6:]}" in done.stderr:
            assert done.returncode == 1
            assert len(done.stderr.strip().splitlines()) == 1
            return
    pytest.skip(f"no {name} on this machine")


def test_a_suitable_python_on_path_is_found_and_named(course, tmp_path):
    other = tmp_path / "python3.12"
    other.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    other.chmod(0o755)
    broken = tmp_path / "python3.13"  # a launcher with no Python behind it, as pyenv leaves
    broken.write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
    broken.chmod(0o755)
    (course / "tools" / "environment.py").write_text("print('handed over')\n", encoding="utf-8")
    done = run_as((3, 14), course, str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert "is too new; using Python" in first and str(other) in first
    assert second == "handed over"


def test_a_python_without_venv_names_the_debian_package(course, monkeypatch, capsys):
    bootstrap = load("bootstrap")
    monkeypatch.setattr(bootstrap, "ROOT", str(course))
    monkeypatch.setattr(bootstrap, "PROBE", bootstrap.PROBE + ", no_such_module")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit) as stopped:
        bootstrap.choose()
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    version = "{}.{}".format(*sys.version_info)
    assert f"sudo apt install python3-venv python{version}-venv" in said
    assert len(said.strip().splitlines()) == 1


# --- environment.py: a real installation, small and off the network ------------------------------

BACKEND = """
import base64, hashlib, zipfile


def build_editable(folder, config_settings=None, metadata_directory=None):
    info = "gptlib-0.1.dist-info/"
    files = {
        "gptlib_marker.py": "x = 1\\n",
        info + "METADATA": "Metadata-Version: 2.1\\nName: gptlib\\nVersion: 0.1\\n"
        "Provides-Extra: lab\\nProvides-Extra: test\\n",
        info + "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[info + "RECORD"] = "".join(name + ",,\\n" for name in [*files, info + "RECORD"])
    name = "gptlib-0.1-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
"""

PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "gptlib"
version = "0.1"

[project.optional-dependencies]
lab = []
test = []

[tool.ruff]
line-length = 100
"""


@pytest.fixture
def course(tmp_path) -> Path:
    """The tools beside a package of one line."""
    folder = tmp_path / "a course"  # people have folders with spaces in their names
    (folder / "tools").mkdir(parents=True)
    for name in ("bootstrap.py", "environment.py"):
        shutil.copy(TOOLS / name, folder / "tools" / name)
    (folder / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    (folder / "backend.py").write_text(BACKEND, encoding="utf-8")
    (folder / "constraints.txt").write_text("torch==2.13.0\n", encoding="utf-8")
    return folder


def command(folder: Path, what: str = "lab") -> list[str]:
    return [sys.executable, str(folder / "tools" / "bootstrap.py"), what]


def install(folder: Path, what: str = "lab", **environment: str) -> subprocess.CompletedProcess:
    merged = {**os.environ, "PIP_NO_INDEX": "1", "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(command(folder, what), env=merged, capture_output=True, text=True)


def environment_of(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The module environment.py, at work on ``folder`` inside this process."""
    environment = load("environment")
    monkeypatch.setattr(environment, "ROOT", folder)
    monkeypatch.setattr(environment, "VENV", folder / ".venv")
    monkeypatch.setattr(environment, "PYTHON", folder / ".venv" / "bin" / "python")
    monkeypatch.setattr(environment, "STAMP", folder / ".venv" / "gptlib-environment.json")
    monkeypatch.setattr(environment, "LOG", folder / ".venv" / "gptlib-install.log")
    return environment


def stamp(folder: Path) -> dict:
    return json.loads((folder / ".venv" / "gptlib-environment.json").read_text(encoding="utf-8"))


def works(folder: Path) -> bool:
    python = folder / ".venv" / "bin" / "python"
    return subprocess.run([python, "-c", "import gptlib_marker"]).returncode == 0


@pytest.mark.slow
def test_install_then_start_again_then_change_then_move(course, monkeypatch):
    first = install(course)
    assert first.returncode == 0, first.stderr
    assert "The first run downloads about" in first.stdout and "minutes" in first.stdout
    assert works(course) and stamp(course)["extras"] == ["lab"]
    settings = course / ".venv" / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    overrides = json.loads(settings.read_text(encoding="utf-8"))
    assert overrides == {
        "@jupyterlab/apputils-extension:kernels-settings": {"commsOverSubshells": "disabled"},
        "@jupyterlab/apputils-extension:notification": {
            "fetchNews": "false",
            "checkForUpdates": False,
        },
    }

    # A second start does not look at pip at all, nor does a changed linter rule.
    pip = course / ".venv" / "gptlib-install.log"
    pip.unlink()
    text = (course / "pyproject.toml").read_text(encoding="utf-8")
    (course / "pyproject.toml").write_text(text.replace("100", "99"), encoding="utf-8")
    started = time.perf_counter()
    second = install(course)
    assert second.returncode == 0 and second.stdout == "" and not pip.exists()
    assert time.perf_counter() - started < 5

    # The suite's extras come on top and stay; a changed pin is installed.
    assert install(course, "test").returncode == 0
    assert stamp(course)["extras"] == ["lab", "test"]
    (course / "constraints.txt").write_text("torch==2.13.1\n", encoding="utf-8")
    changed = install(course)
    assert "Installing the packages of [lab,test]" in changed.stdout
    assert "Creating" not in changed.stdout

    # Another folder, and a Python that is gone.
    moved = course.with_name("moved")
    course.rename(moved)
    again = install(moved)
    assert again.returncode == 0, again.stderr
    assert f"Making .venv again: it was made for {course}" in again.stdout and works(moved)
    python = moved / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/no/such/python3.11")
    environment = environment_of(moved, monkeypatch)
    assert environment.fault(environment.read_stamp()) == (
        "the Python that it was made with is gone"
    )


def start_and_wait_for_pip(folder: Path) -> subprocess.Popen:
    """An installation in a process group of its own, once its pip has begun."""
    process = subprocess.Popen(
        command(folder),
        env={**os.environ, "PIP_NO_INDEX": "1"},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log = folder / ".venv" / "gptlib-install.log"
    deadline = time.monotonic() + 120
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return process


@pytest.mark.slow
def test_a_killed_first_run_is_repaired_by_the_next(course):
    # A backend that never answers stands for a long download.
    (course / "backend.py").write_text("import time\ntime.sleep(600)\n", encoding="utf-8")
    process = start_and_wait_for_pip(course)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert stamp(course)["state"] == "building"
    (course / "backend.py").write_text(BACKEND, encoding="utf-8")
    after = install(course)
    assert after.returncode == 0, after.stderr
    assert "Making .venv again: its installation was interrupted" in after.stdout
    assert works(course) and stamp(course)["state"] == "ready"


@pytest.mark.slow
def test_control_c_ends_in_one_sentence_without_a_traceback(course):
    (course / "backend.py").write_text("import time\ntime.sleep(600)\n", encoding="utf-8")
    process = start_and_wait_for_pip(course)
    os.killpg(process.pid, signal.SIGINT)  # a terminal signals the whole group
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Stopped. Start again when you like" in said
    assert "environment.py" not in said and "bootstrap.py" not in said


@pytest.mark.slow
def test_no_network_on_the_first_run_names_the_log_and_repairs_itself(course):
    text = (course / "pyproject.toml").read_text(encoding="utf-8")
    (course / "pyproject.toml").write_text(
        text.replace("requires = []", 'requires = ["hatchling"]'), encoding="utf-8"
    )
    offline = install(
        course,
        PIP_NO_INDEX="0",
        PIP_CONFIG_FILE=os.devnull,
        PIP_FIND_LINKS="",
        PIP_EXTRA_INDEX_URL="",
        PIP_INDEX_URL="http://localhost:9/simple",
        PIP_RETRIES="0",
        PIP_NO_CACHE_DIR="1",
    )
    assert offline.returncode == 1
    sentence = offline.stderr.strip().splitlines()[-1]
    assert "no working network connection" in sentence
    log = course / ".venv" / "gptlib-install.log"
    assert str(log) in sentence and log.exists()
    (course / "pyproject.toml").write_text(text, encoding="utf-8")
    assert install(course).returncode == 0 and works(course)

    # A failed update leaves the working environment as it was.
    (course / "pyproject.toml").write_text(
        text.replace("lab = []", 'lab = ["no-such-package-here"]').replace(
            "requires = []", 'requires = ["no-such-package-here"]'
        ),
        encoding="utf-8",
    )
    failed = install(course)
    assert failed.returncode == 1
    assert "no working network connection" in failed.stderr.strip().splitlines()[-1]
    assert stamp(course)["state"] == "ready" and works(course)


def test_a_full_disk_is_named_before_and_during_the_installation(course, monkeypatch):
    environment = environment_of(course, monkeypatch)

    def usage(free: float):
        return lambda path: shutil._ntuple_diskusage(100e9, 100e9 - free, free)

    monkeypatch.setattr(environment.shutil, "disk_usage", usage(1.2e9))
    with pytest.raises(SystemExit, match=r"disk is too full.*needs 3 GB.*only 1\.2 GB are free"):
        environment.main(["lab"])
    assert not (course / ".venv").exists()

    monkeypatch.setattr(environment.shutil, "disk_usage", usage(50e9))

    def no_space(*arguments: object) -> None:
        raise OSError(environment.errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(environment, "write_stamp", no_space)
    with pytest.raises(SystemExit, match="disk is too full.*it filled up"):
        environment.main(["lab"])

    environment.LOG.write_text("ERROR: [Errno 28] No space left on device\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="disk is too full.*during the installation"):
        environment.explain(1)


@pytest.mark.parametrize(
    ("log", "sentence"),
    [
        ("Retrying after connection broken by 'NewConnectionError(...)'", "no working network"),
        ("No matching distribution found for rich (from versions: none)", "no working network"),
        ("No matching distribution found for torch==2.13.0", "found no torch that fits"),
        ("error: something else", "pip stopped with status 2; its log"),
    ],
)
def test_each_failure_of_pip_has_its_sentence(course, monkeypatch, log, sentence):
    environment = environment_of(course, monkeypatch)
    environment.LOG.parent.mkdir()
    environment.LOG.write_text(log, encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        environment.explain(2)
    assert sentence in stopped.value.code
    assert len(stopped.value.code.strip().splitlines()) == 1


def test_what_is_no_environment_is_never_deleted(course):
    (course / ".venv").mkdir()
    (course / ".venv" / "thesis.txt").write_text("three years", encoding="utf-8")
    done = install(course)
    assert done.returncode == 1
    assert "is no Python environment: move it elsewhere" in done.stderr
    assert (course / ".venv" / "thesis.txt").exists()


def test_settings_need_an_environment_of_their_own(course, monkeypatch, tmp_path):
    environment = load("environment")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "base"))
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path / "base"))
    with pytest.raises(SystemExit, match="Activate the environment first"):
        environment.main(["settings"])
    (tmp_path / "base" / "conda-meta").mkdir(parents=True)
    assert environment.main(["settings"]) == 0
    written = tmp_path / "base" / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    assert json.loads(written.read_text(encoding="utf-8")) == environment.LAB_SETTINGS


def test_make_without_a_target_lists_every_target():
    done = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0
    targets = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.M)[1].split()
    assert [line.split()[1] for line in done.stdout.splitlines()] == targets


def test_ci_calls_the_command_of_the_readme():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert re.search(r"^make test\b", script.read_text(encoding="utf-8"), re.M)
    subprocess.run(["bash", "-n", str(script)], check=True)
