"""How a tokenizer is kept in a file: JSON with a header, checked when it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

_FORMAT = "gptlib-tokenizer"
_VERSION = 1


def write(path: str | Path, kind: str, content: dict[str, Any]) -> None:
    """Write ``content`` to ``path``, whole or not at all. ``kind``: "char" or "bpe"."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    header = {"format": _FORMAT, "version": _VERSION, "kind": kind}
    try:
        unfinished.write_text(json.dumps({**header, **content}) + "\n", encoding="utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def read(path: str | Path, kind: str, fields: dict[str, type]) -> dict[str, Any]:
    """The content that :func:`write` was given.

    ``fields``: the names that must be there, and their types. A ValueError says what is wrong
    with a file of another format, version or kind, or without one of these.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:  # not JSON, or not even UTF-8
        content = None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise unreadable(path, "it is not a tokenizer file of this package")
    if content.get("version") != _VERSION:
        raise unreadable(
            path,
            f"its version is {content.get('version')!r} and this gptlib reads {_VERSION}; update "
            "gptlib or save the tokenizer again",
        )
    if content.get("kind") != kind:
        raise unreadable(
            path, f"it holds a tokenizer of kind {content.get('kind')!r}, not {kind!r}"
        )
    for name, expected in fields.items():
        if not isinstance(content.get(name), expected):
            raise unreadable(path, f"its field {name!r} is missing or not a {expected.__name__}")
    return content


def unreadable(path: str | Path, reason: str) -> ValueError:
    """The error to raise for a file that doesn't hold what it should."""
    return ValueError(f"{path} can't be read as a tokenizer: {reason}")
