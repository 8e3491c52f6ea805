"""Fixtures for the unit tests. Options and notebook handling: the conftest.py at the root."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# A busy machine is no failure, so no deadlines; in CI the same examples each time, while a
# person's runs go on looking for new ones.
settings.register_profile("suite", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("suite")


def code_cell(source: str, outputs: list[dict] | None = None, **fields) -> dict:
    """A code cell as JSON data; an `execution_count` is given when it has outputs."""
    cell = {
        "cell_type": "code",
        "id": fields.pop("id", None),
        "metadata": fields.pop("metadata", {}),
        "source": source,
        "outputs": outputs or [],
        "execution_count": fields.pop("execution_count", 1),
    }
    return cell | fields


def text_cell(source: str, **fields) -> dict:
    """A Markdown cell as JSON data."""
    return {"cell_type": "markdown", "id": None, "metadata": {}, "source": source} | fields


def html_output(text: str) -> dict:
    """A display of HTML."""
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": text}}


@pytest.fixture
def store(tmp_path: Path) -> Callable[..., Path]:
    """store(cells, name="lesson.ipynb", folder="", fresh=True) -> the path of a stored notebook.

    `fresh` records the sources as executed, as `gptlib notebooks run` would. Beside a chapter lies
    the page about workbooks, to which it links until its own is written.
    """
    from gptlib.notebook_form import normalise, render, source_hash

    def write(
        cells: list[dict],
        name: str = "lesson.ipynb",
        folder: str = "",
        fresh: bool = True,
        seconds: float = 1,
        normal: bool = True,
    ) -> Path:
        nb = {
            "cells": copy.deepcopy(cells),
            "metadata": {},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        nb = normalise(nb) if normal else nb
        if fresh:
            nb["metadata"]["gptlib"] = {"executed": source_hash(nb), "seconds": seconds}
        path = tmp_path / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if folder == "chapters":
            (tmp_path / "exercises").mkdir(exist_ok=True)
            (tmp_path / "exercises" / "README.md").write_text("# Workbooks\n", encoding="utf-8")
        path.write_text(render(nb), encoding="utf-8")
        return path

    return write
