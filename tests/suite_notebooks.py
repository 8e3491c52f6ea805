"""What the suite adds to nbval: holes closed, outputs compared in normal form, a table of times.

nbval 0.11 judges a cell by the messages that the kernel publishes and drops the status of its
reply, so a cell that silences its own traceback passes; a dead kernel is noticed only when the
cell's time is over. Both are caught here.
"""

from __future__ import annotations

import time
from collections import defaultdict
from queue import Empty

import pytest

try:
    from nbval.plugin import IPyNbCell
except ModuleNotFoundError:  # unit tests run without nbval
    IPyNbCell = None

# Stored outputs are in the normal form, fresh ones are not: nbval applies these to both sides.
SAME_FORM = {
    r"\x1b\[[0-?]*[ -/]*[@-~]": "",
    r"\bat 0x[0-9a-fA-F]{6,}": "at 0x…",
    r"(?m)[ \t]+$": "",
    r"\n+\Z": "",
}
_seconds: dict[str, float] = defaultdict(float)
_cells: dict[str, int] = defaultdict(int)
_failed: dict[str, int] = defaultdict(int)


class Replies:
    """Stands before a running kernel's `get_message`: remembers the status of the last reply and
    notices within a second that the kernel died."""

    def __init__(self, kernel) -> None:
        self.status: str | None = None
        self._kernel, self._get = kernel, kernel.get_message

    def __call__(self, stream: str, timeout: float | None = None):
        if stream != "shell":
            return self._get(stream, timeout=timeout)
        end = time.monotonic() + (timeout if timeout is not None else float("inf"))
        while True:
            left = end - time.monotonic()
            try:
                message = self._get(stream, timeout=max(0.0, min(1.0, left)))
            except Empty:
                if not self._kernel.is_alive():
                    raise RuntimeError("the kernel died while this cell ran") from None
                if left <= 1.0:
                    raise
                continue
            self.status = message["content"].get("status", self.status)
            return message


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item):
    if IPyNbCell is None or not isinstance(item, IPyNbCell):
        return (yield)
    kernel = item.parent.kernel
    if not isinstance(kernel.get_message, Replies):
        kernel.get_message = Replies(kernel)
    item.parent.sanitize_patterns.update(SAME_FORM)
    kernel.get_message.status = None
    result = yield
    if kernel.get_message.status == "error" and not item.options["check_exception"]:
        pytest.fail(
            f"cell {item.cell_num} raised an error and hid it: the kernel's reply says so, "
            "though no error was shown",
            pytrace=False,
        )
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    name = report.nodeid.split("::")[0]
    if not name.endswith(".ipynb"):
        return
    _seconds[name] += report.duration
    if report.when == "call":
        _cells[name] += 1
    _failed[name] += report.failed or (report.when == "call" and hasattr(report, "wasxfail"))


def pytest_terminal_summary(terminalreporter) -> None:
    if not _seconds:
        return
    terminalreporter.section("notebooks")
    width = max(len(name) for name in _seconds)
    terminalreporter.line(f"{'notebook':<{width}}  cells  seconds")
    for name in sorted(_seconds):
        note = f"  {_failed[name]} failed" if _failed[name] else ""
        terminalreporter.line(f"{name:<{width}}  {_cells[name]:>5}  {_seconds[name]:>7.1f}{note}")
