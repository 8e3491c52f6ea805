"""Functions and classes that a chapter builds by hand, without running the chapter.

    own = definitions("03_self_attention", "causal_attention")
    own.causal_attention(q, k, v)

The code cells are read as syntax trees. A definition is executed together with what it needs from
the same notebook: imports, capital-letter constants and other definitions, and nothing else, so
that a test can compare it with gptlib's in a moment.
"""

from __future__ import annotations

import ast
import builtins
import functools
import symtable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from gptlib.chapter_rules import parse
from gptlib.notebook_page import Notebook

CHAPTERS = Path(__file__).resolve().parents[1] / "chapters"


@dataclass(frozen=True)
class _Statement:
    order: int
    cell: int
    node: ast.stmt
    is_definition: bool


def definitions(chapter: str, *names: str, folder: str | Path = CHAPTERS) -> SimpleNamespace:
    """The named definitions of a chapter, ready to call.

    Raises:
        LookupError: a name is not defined at the top level of a cell, is defined twice, or needs
            something that is no import, constant or definition of the notebook.
    """
    path = Path(folder) / f"{chapter}.ipynb"
    if not path.exists():
        raise FileNotFoundError(f"there is no chapter {path.name} in {path.parent.name}/")
    known, variables = _top_level(path, path.stat().st_mtime_ns)
    chosen: dict[int, _Statement] = {}
    waiting = [(name, "the test") for name in names]
    while waiting:
        name, asker = waiting.pop()
        found = known.get(name, [])
        if not found:
            if name not in names and hasattr(builtins, name):
                continue
            where = (
                f" (cell {variables[name]} assigns it as a variable)" if name in variables else ""
            )
            raise LookupError(
                f"{path.name} does not define {name}, which {asker} needs{where}; define it at the "
                "top level of a cell, pass it as an argument, or write a constant in capitals"
            )
        if sum(s.is_definition for s in found) > 1:
            cells = [s.cell for s in found]
            raise LookupError(
                f"{path.name} defines {name} in cells {cells}; give each version its own name"
            )
        statement = found[-1]
        if statement.order not in chosen:
            chosen[statement.order] = statement
            waiting += [(needed, name) for needed in sorted(_globals(statement.node))]
    body = [chosen[order].node for order in sorted(chosen)]
    space: dict[str, object] = {"__name__": f"chapter_{chapter}"}
    module = ast.Module(body=body, type_ignores=[])
    exec(compile(module, path.name, "exec", dont_inherit=True), space)
    return SimpleNamespace(**{name: space[name] for name in names})


@functools.lru_cache(maxsize=4)  # reading a chapter takes longer than most of its tests
def _top_level(path: Path, modified: int) -> tuple[dict[str, list[_Statement]], dict[str, int]]:
    """What each name means at the top level of the cells, and which names are only variables."""
    known: dict[str, list[_Statement]] = {}
    variables: dict[str, int] = {}
    order = 0
    for cell in Notebook.open(path).code:
        for node in parse(cell.source).body:
            order += 1
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                names, is_definition = [node.name], True
            elif isinstance(node, ast.Import | ast.ImportFrom):
                names = [a.asname or a.name.split(".")[0] for a in node.names]
                is_definition = False
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                assigned = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
                variables |= {n: cell.index for n in assigned if not n.isupper()}
                names, is_definition = [n for n in assigned if n.isupper()], False
            else:
                continue
            for name in names:
                known.setdefault(name, []).append(
                    _Statement(order, cell.index, node, is_definition)
                )
    return known, variables


def public_definitions(path: Path) -> list[str]:
    """The functions and classes that a chapter defines at the top level of its cells."""
    known, _ = _top_level(path, path.stat().st_mtime_ns)
    return [
        name
        for name, found in known.items()
        if not name.startswith("_") and any(s.is_definition for s in found)
    ]


def _globals(node: ast.stmt) -> set[str]:
    """The global names that a statement reads, in itself or in any function inside it."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return set()
    top = symtable.symtable(ast.unparse(node), "cell", "exec")
    own = {s.get_name() for s in top.get_symbols() if s.is_assigned()}
    found = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    tables = list(top.get_children())
    while tables:
        table = tables.pop()
        tables += table.get_children()
        found |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
    return found - own - {"__name__", "__file__", "__class__"}
