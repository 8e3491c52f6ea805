"""Options of the whole suite: --fast, the order of the files, threads, what the header says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FAST_NOTEBOOK = 10  # seconds

# A worker of a parallel run has one core. Set before torch is imported; kernels inherit it.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gptlib", "The GPT Lineage")
    group.addoption(
        "--fast",
        action="store_true",
        help=f"leave out slow and browser tests, and notebooks longer than {FAST_NOTEBOOK} s",
    )


def pytest_report_header(config: pytest.Config) -> str:
    data = "GPTLIB_DATA is set" if os.environ.get("GPTLIB_DATA") else "GPTLIB_DATA is not set"
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    return f"data: {data}; threads in this process: {threads}"


def recorded_seconds(item: pytest.Item) -> float | None:
    """How long the item's notebook took when it was last stored; None for a unit test."""
    nb = getattr(item.parent, "nb", None)
    if item.path.suffix != ".ipynb" or nb is None:
        return None
    return float(nb.metadata.get("gptlib", {}).get("seconds", 0))


def is_slow(item: pytest.Item) -> bool:
    """Whether --fast leaves the item out."""
    seconds = recorded_seconds(item)
    if seconds is not None:
        return seconds > FAST_NOTEBOOK
    return any(item.get_closest_marker(name) for name in ("slow", "browser"))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole files in falling order of their time, so that the workers of --dist loadfile end
    together; within a file nothing moves. (xdist keeps this order with --no-loadscope-reorder.)"""
    if config.getoption("--fast"):
        left_out = [item for item in items if is_slow(item)]
        items[:] = [item for item in items if not is_slow(item)]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
    cost: dict[Path, float] = {}
    for item in items:
        seconds = recorded_seconds(item)
        if seconds is not None:
            cost[item.path] = seconds
        else:
            cost[item.path] = cost.get(item.path, 0) + (10.0 if is_slow(item) else 0.0)
    items.sort(key=lambda item: (-cost[item.path], str(item.path)))
