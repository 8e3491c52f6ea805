"""Rows, the alternating clock, and the table.

A row times two sides in the same process, one after the other, round by round, so that a
machine that slows down slows both. Absolute seconds are printed, but the figure to quote is the
median of the round-by-round ratios.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path


@dataclass
class Row:
    """One line of the table. ``ratio`` above 1: that many times better than the peer or limit.

    ``ours`` and ``peer`` are medians in ``unit``; ``spread`` is the lower and upper quartile of
    the ratios of the rounds; ``note`` says what a reader needs beside the numbers.
    """

    name: str
    unit: str
    ours: float
    peer: float
    peer_name: str
    ratio: float
    target: float
    spread: tuple[float, float]
    note: str = ""


Side = Callable[[], object]


def seconds(side: Side) -> float:
    """Wall time of one call, with the garbage collector out of the way."""
    gc.collect()
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


def compare(
    name: str,
    ours: Side,
    peer: Side,
    *,
    peer_name: str,
    target: float,
    rounds: int,
    repeat: int = 1,
    peer_repeat: int | None = None,
    unit: str = "ms",
    per: int = 1,
    note: str = "",
) -> Row:
    """Time both sides alternately and return the row.

    Each round calls ours ``repeat`` times and the peer ``peer_repeat`` times; a figure is the
    time of one call divided by ``per`` (tokens, say), in milliseconds or seconds by ``unit``.
    """
    peer_repeat = peer_repeat or repeat
    ours()  # warm-up: allocations, caches, lazy imports
    peer()
    our_times, peer_times = [], []
    for _ in range(rounds):
        our_times.append(seconds(_repeated(ours, repeat)) / repeat)
        peer_times.append(seconds(_repeated(peer, peer_repeat)) / peer_repeat)
    ratios = [p / o for o, p in zip(our_times, peer_times, strict=True)]
    quartiles = statistics.quantiles(ratios, n=4) if rounds > 1 else [ratios[0]] * 3
    scale = {"ms": 1e3, "s": 1.0}[unit] / per
    return Row(
        name=name,
        unit=unit if per == 1 else f"{unit}/token",
        ours=statistics.median(our_times) * scale,
        peer=statistics.median(peer_times) * scale,
        peer_name=peer_name,
        ratio=statistics.median(ratios),
        target=target,
        spread=(quartiles[0], quartiles[2]),
        note=note,
    )


def _repeated(side: Side, times: int) -> Side:
    def run() -> None:
        for _ in range(times):
            side()

    return run


def machine() -> dict[str, object]:
    """What the numbers were measured on."""
    import numpy
    import torch
    import transformers

    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "transformers": transformers.__version__,
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def render(rows: list[Row]) -> Iterator[str]:
    """The table as Markdown, line by line."""
    yield "| row | ours | peer | peer is | ratio | quartiles | target | reached |"
    yield "|---|---|---|---|---|---|---|---|"
    for row in rows:
        reached = "yes" if row.ratio >= row.target else "no"
        yield (
            f"| `{row.name}` | {row.ours:.4g} {row.unit} | {row.peer:.4g} {row.unit} "
            f"| {row.peer_name} | {row.ratio:.2f} | {row.spread[0]:.2f}-{row.spread[1]:.2f} "
            f"| {row.target:g} | {reached} |"
        )
    notes = [f"- `{row.name}`: {row.note}" for row in rows if row.note]
    yield from ["", *notes] if notes else []


def store(rows: list[Row], where: dict[str, object], folder: Path) -> tuple[Path, Path]:
    """Write ``DATE.json`` and ``DATE.md``, each to a temporary name first; returns both paths."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = date.today().isoformat()
    as_json = json.dumps({"machine": where, "rows": [asdict(row) for row in rows]}, indent=1)
    facts = ", ".join(f"{key} {value}" for key, value in where.items())
    as_markdown = "\n".join([f"# Benchmarks, {stem}", "", f"{facts}.", "", *render(rows), ""])
    paths = []
    for suffix, text in ((".json", as_json + "\n"), (".md", as_markdown)):
        path = folder / f"{stem}{suffix}"
        temporary = path.with_suffix(suffix + ".tmp")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
        paths.append(path)
    return paths[0], paths[1]
