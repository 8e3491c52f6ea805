"""The normal form of a stored notebook: the same content always gives the same bytes.

JupyterLab and nbclient store much that changes from run to run: random cell ids, counters,
colour codes, every step of a progress bar, the state of widgets. Here it is removed, so that a
diff shows what a person changed. Everything is deterministic, and normalising twice changes
nothing more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
LANGUAGE_INFO = {"name": "python"}
CELL_METADATA = ("gptlib", "nbgrader", "slideshow", "tags")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"

_CELL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")
# Anchored at the start of a word: a long line is searched once, not from each of its letters.
_CELL_FILE = re.compile(r"(?<![^\s\"'<>])[^\s\"'<>]*[/\\]ipykernel_\d+[/\\]\d+\.py")
_BACKSPACE = re.compile(r"[^\n\x08]\x08")


def text_of(value: Any) -> str:
    """The text of a notebook field, which nbformat stores as a string or as a list of lines."""
    return "".join(value) if isinstance(value, list) else str(value or "")


def source_hash(nb: dict) -> str:
    """SHA-256 of the sources of the code cells, in their order (prose is free to change)."""
    sources = [text_of(c.get("source")) for c in nb["cells"] if c["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def clean_text(text: str) -> str:
    """Printed text as a reader sees it in the end.

    A progress bar keeps its last state; colour codes, memory addresses, white space at the end of
    a line and the temporary file names that a warning gives to a cell disappear.
    """
    text = _ANSI.sub("", text).replace("\r\n", "\n")
    previous = None
    while previous != text:  # "ab\b\b" needs two rounds
        previous, text = text, _BACKSPACE.sub("", text)
    text = text.replace("\x08", "").replace("\x1b", "")
    lines = []
    for line in text.split("\n"):
        states = [state for state in line.split("\r") if state.strip()]
        lines.append(states[-1].rstrip() if states else "")
    return _CELL_FILE.sub("this cell", _ADDRESS.sub("at 0x…", "\n".join(lines)))


def normalise(nb: dict) -> dict:
    """A copy of a notebook (nbformat 4, as plain JSON data) in the normal form, nbformat 4.5.

    Raises:
        ValueError: the data is not a notebook of format 4.
    """
    if not isinstance(nb, dict) or nb.get("nbformat") != 4 or "cells" not in nb:
        raise ValueError(
            "this is not a notebook of format 4; open it in JupyterLab, save it, and try again"
        )
    used: set[str] = set()
    given = [c.get("id") for c in nb["cells"]]
    reserved = {i for i in given if _valid_id(i)}
    cells, count = [], 0
    for index, old in enumerate(nb["cells"]):
        cell = _normal_cell(old)
        cell["id"] = _cell_id(old.get("id"), index, cell, used, reserved)
        used.add(cell["id"])
        if cell["cell_type"] == "code" and cell["execution_count"] is not None:
            count += 1
            cell["execution_count"] = count
            for output in cell["outputs"]:
                if output["output_type"] == "execute_result":
                    output["execution_count"] = count
        cells.append(cell)
    metadata: dict[str, Any] = {"kernelspec": dict(KERNELSPEC), "language_info": LANGUAGE_INFO}
    if nb.get("metadata", {}).get("gptlib"):
        metadata["gptlib"] = nb["metadata"]["gptlib"]
    normal = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.loads(json.dumps(normal))  # plain data that shares nothing with the argument


def render(nb: dict) -> str:
    """The bytes on disk of a normalised notebook: sorted keys, indent 1, one final newline."""
    stored = json.loads(json.dumps(nb))
    for cell in stored["cells"]:
        cell["source"] = cell["source"].splitlines(keepends=True)
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = output["text"].splitlines(keepends=True)
            for mime, value in output.get("data", {}).items():
                if isinstance(value, str):
                    output["data"][mime] = value.splitlines(keepends=True)
    return json.dumps(stored, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def _valid_id(value: Any) -> bool:
    return isinstance(value, str) and _CELL_ID.fullmatch(value) is not None


def _cell_id(old: Any, index: int, cell: dict, used: set[str], reserved: set[str]) -> str:
    """The cell's own id when it is valid and free, otherwise one derived from its content."""
    if _valid_id(old) and old not in used:
        return old
    salt = 0
    while True:
        text = f"{index}\n{cell['cell_type']}\n{cell['source']}\n{salt}"
        new = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        if new not in used and new not in reserved:
            return new
        salt += 1


def _normal_cell(old: dict) -> dict:
    metadata = {k: old["metadata"][k] for k in CELL_METADATA if old.get("metadata", {}).get(k)}
    cell: dict[str, Any] = {
        "cell_type": old["cell_type"],
        "metadata": metadata,
        "source": re.sub(r"\r+\n", "\n", text_of(old.get("source"))).rstrip(),
    }
    if old.get("attachments"):
        cell["attachments"] = old["attachments"]
    if old["cell_type"] == "code":
        cell["outputs"] = _normal_outputs(old.get("outputs", []))
        ran = old.get("execution_count") is not None and cell["source"]
        cell["execution_count"] = old["execution_count"] if ran else None
    return cell


def _normal_outputs(outputs: Iterable[dict]) -> list[dict]:
    """Outputs without widgets, streams merged. Repeated until nothing changes, because an output
    that turns out to be empty makes its two neighbours adjacent."""
    current, previous = [json.loads(json.dumps(o)) for o in outputs], None
    while current != previous:
        previous = json.loads(json.dumps(current))
        current = [o for o in (_normal_output(o) for o in _merged(current)) if o is not None]
    return current


def _merged(outputs: list[dict]) -> list[dict]:
    """Neighbouring pieces of one stream joined, before carriage returns are worked out."""
    merged: list[dict] = []
    for output in outputs:
        if _only_a_widget(output):
            continue
        last = merged[-1] if merged else None
        if output["output_type"] == "stream":
            output["text"] = text_of(output.get("text"))
            if last and last["output_type"] == "stream" and last["name"] == output["name"]:
                last["text"] += output["text"]
                continue
        merged.append(output)
    return merged


def _only_a_widget(output: dict) -> bool:
    data = output.get("data", {})
    return WIDGET_VIEW in data and set(data) <= {WIDGET_VIEW, WIDGET_STATE, "text/plain"}


def _normal_output(output: dict) -> dict | None:
    kind = output["output_type"]
    if kind == "stream":
        text = clean_text(output["text"])
        return {"output_type": kind, "name": output["name"], "text": text} if text.strip() else None
    if kind == "error":
        return {
            "output_type": kind,
            "ename": output["ename"],
            "evalue": clean_text(output["evalue"]),
            "traceback": [clean_text(line) for line in output["traceback"]],
        }
    data = {m: v for m, v in output.get("data", {}).items() if m not in (WIDGET_VIEW, WIDGET_STATE)}
    for mime, value in data.items():
        if isinstance(value, list) and not mime.endswith("json"):
            data[mime] = value = "".join(value)
        if mime == "text/plain":
            data[mime] = clean_text(value)
    if not data:
        return None
    metadata = {
        k: v for k, v in output.get("metadata", {}).items() if v and k not in (WIDGET_VIEW,)
    }
    normal = {"output_type": kind, "data": data, "metadata": metadata}
    if kind == "execute_result":
        normal["execution_count"] = output.get("execution_count")
    return normal
