"""One JupyterLab for all browser tests, and a page that notes everything it should not do."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote, urlsplit

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "browser-test"
WAIT = 60_000  # milliseconds; a busy machine may need them, a quiet one needs a second or two

# Widget messages stay on the kernel's main thread, and Lab fetches no news. The first two are
# what the course's own environment sets; the third puts every cell into the page.
OVERRIDES = {
    "@jupyterlab/apputils-extension:kernels-settings": {"commsOverSubshells": "disabled"},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}


def missing(what: str) -> NoReturn:
    """Skip where a person runs the tests, fail where a machine does: CI must not lose a test."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if path is None:
        missing("no Chromium on this machine; install Debian's with: apt-get install chromium")
    try:
        from playwright import sync_api
    except ModuleNotFoundError:
        missing('playwright is not installed; install it with: pip install -e ".[test]"')
    with sync_api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--no-proxy-server"]
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@dataclass
class Lab:
    url: str
    folder: Path
    log: Path

    def write(self, name: str, cells: list[str]) -> str:
        """A notebook with these code cells, in Lab's folder."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata["kernelspec"] = {
            "display_name": "Python 3",
            "language": "python",
            "name": "python3",
        }
        nbformat.write(notebook, self.folder / name)
        return name

    def ask(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(
            f"{self.url}/{path}", method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def stop_kernel(self, name: str) -> None:
        for session in json.loads(self.ask("api/sessions")):
            if session["path"] == name:
                self.ask(f"api/sessions/{session['id']}", "DELETE")


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """JupyterLab on a free port of this machine, with folders and settings of its own."""
    home = tmp_path_factory.mktemp("lab")
    notebooks, settings = home / "notebooks", home / "settings"
    notebooks.mkdir()
    settings.mkdir()
    (settings / "overrides.json").write_text(json.dumps(OVERRIDES))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT), environment.get("PYTHONPATH", "")]
    ).rstrip(os.pathsep)
    for variable in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        environment[variable] = str(home / variable.lower())
    environment |= {"OMP_NUM_THREADS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={notebooks}", f"--IdentityProvider.token={TOKEN}",
        f"--LabApp.app_settings_dir={settings}", f"--LabApp.user_settings_dir={home / 'user'}",
        f"--LabApp.workspaces_dir={home / 'workspaces'}", "--LabApp.expose_app_in_browser=True",
    ]  # fmt: skip
    log = home / "lab.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=environment, cwd=notebooks, stdout=out, stderr=subprocess.STDOUT
        )
    running = Lab(f"http://127.0.0.1:{port}", notebooks, log)
    try:
        until = time.monotonic() + 90
        while True:
            try:
                running.ask("api/status")
                break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if process.poll() is not None or time.monotonic() > until:
                    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")
                time.sleep(0.2)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@dataclass
class Journey:
    """A page in Lab with one notebook open, and what went wrong on the way."""

    page: object
    lab: Lab
    name: str = ""
    errors: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def open(self, name: str) -> None:
        self.name = name
        self.page.goto(f"{self.lab.url}/lab/tree/{quote(name)}?reset&token={TOKEN}")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=WAIT)
        self.page.wait_for_function(  # a cell run before this moment would ask which kernel to use
            """() => {
                const context = window.jupyterapp?.shell.currentWidget?.context;
                const kernel = context?.sessionContext.session?.kernel;
                return context?.isReady && kernel?.status === 'idle';
            }""",
            timeout=WAIT,
        )
        self.page.locator(".jp-Spinner").wait_for(state="detached", timeout=WAIT)

    def run_all(self, timeout: int = WAIT) -> None:
        """Run every cell and wait until each code cell has its number."""
        self.page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_function(
            """() => {
                const cells = [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')];
                const empty = (c) => !c.querySelector('.cm-content').textContent.trim();
                const prompt = (c) => c.querySelector('.jp-InputPrompt').textContent;
                const ran = (c) => /^\\[\\d+\\]:$/.test(prompt(c));
                return cells.length && cells.every((c) => empty(c) || ran(c));
            }""",
            timeout=timeout,
        )
        failed = self.page.locator(
            '.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]'
        )
        assert failed.count() == 0, failed.first.inner_text()

    def run_last(self) -> str:
        """Run the last cell once more; the text that it prints."""
        cell = self.page.locator(".jp-Notebook .jp-CodeCell").last
        before = cell.locator(".jp-InputPrompt").inner_text()
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_function(
            """([cell, before]) => {
                const now = cell.querySelector('.jp-InputPrompt').textContent;
                return now !== before && /^\\[\\d+\\]:$/.test(now);
            }""",
            arg=[cell.element_handle(), before],
            timeout=WAIT,
        )
        return cell.locator(".jp-OutputArea-output").last.inner_text()


@contextmanager
def travel(lab: Lab, chromium: object) -> Iterator[Journey]:
    """A fresh page. At its end it must have written no error to the console, and have asked for
    nothing that is not on this machine."""
    context = chromium.new_context(
        viewport={"width": 1180, "height": 1000}, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(WAIT)
    trip = Journey(page, lab)

    def note_request(request: object) -> None:
        address = urlsplit(request.url)
        here = address.hostname in ("127.0.0.1", "localhost")
        if address.scheme not in ("data", "blob") and not here:
            trip.outside.append(request.url)

    def note_console(message: object) -> None:
        if message.type == "error":
            trip.errors.append(f"{message.text} ({message.location.get('url', '')})")

    page.on("request", note_request)
    page.on("websocket", note_request)
    page.on("console", note_console)
    page.on("pageerror", lambda error: trip.errors.append(str(error)))
    yield trip
    context.close()
    lab.stop_kernel(trip.name)
    assert not trip.errors, "the console shows errors:\n" + "\n".join(trip.errors)
    assert not trip.outside, "requests left this machine:\n" + "\n".join(trip.outside)


@pytest.fixture
def depart(lab: Lab, chromium: object) -> Callable[[], AbstractContextManager[Journey]]:
    """``with depart() as trip``: a page whose end the test itself looks at."""
    return lambda: travel(lab, chromium)


@pytest.fixture
def journey(lab: Lab, chromium: object) -> Iterator[Journey]:
    """A page for one test."""
    with travel(lab, chromium) as trip:
        yield trip


@pytest.fixture(scope="module")
def tour(lab: Lab, chromium: object, request: pytest.FixtureRequest) -> Iterator[Journey]:
    """One page for all tests of a module, showing the notebook of the module's ``TOUR`` cells."""
    with travel(lab, chromium) as trip:
        trip.open(lab.write("tour.ipynb", [cell.strip() for cell in request.module.TOUR]))
        trip.run_all()
        yield trip


@pytest.fixture
def has_no_serious_violations() -> Callable[[object, str], None]:
    """axe-core, which comes inside axe-playwright-python, on one part of the page."""
    from axe_playwright_python.sync_playwright import Axe

    def check(page: object, selector: str) -> None:
        answer = Axe().run(page, context=selector).response
        assert answer["passes"], f"axe found nothing to look at in {selector}"
        bad = [
            f"{v['id']} ({v['impact']}): {v['help']}: {v['nodes'][0]['html'][:200]}"
            for v in answer["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert not bad, "\n".join(bad)

    return check
