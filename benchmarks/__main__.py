"""``python -m benchmarks [ROW ...]``: measure, print the table, store it in benchmarks/results.

Only a full run is stored; with row names it prints alone.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import generation_rows, import_row, tokenizer_rows, training_rows
from benchmarks.harness import machine, render, store

ROWS = training_rows.ROWS | generation_rows.ROWS | tokenizer_rows.ROWS | import_row.ROWS


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ROWS]
    if unknown:
        print(f"no row is called {', '.join(unknown)}; the rows are {', '.join(ROWS)}")
        return 2
    where = machine()
    rows = []
    for name in names or ROWS:
        print(f"measuring {name} ...", file=sys.stderr, flush=True)
        rows.append(ROWS[name]())
    print("\n".join(render(rows)))
    if not names:
        paths = store(rows, where, Path(__file__).parent / "results")
        print("stored", *(path.name for path in paths))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
