"""Notebooks as sources: read them, run them, store them in one normal form.

A stored notebook is the page that a reader sees, so it is only ever replaced by a run that
reached the end. What a good notebook must contain is in `gptlib.notebook_rules`.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from gptlib.notebook_form import clean_text, normalise, render, source_hash

__all__ = ["NotebookFailed", "clean", "execute", "normalise", "read", "render", "run", "write"]

CELL_TIMEOUT = 600  # seconds; a chapter's budget is 90 for the whole run


class NotebookFailed(RuntimeError):
    """A cell raised an error, ran too long, or the kernel died. The message says which cell."""


def read(path: str | Path) -> dict:
    """The notebook in a file, as plain JSON data.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file holds no notebook of format 4.
    """
    path = Path(path)
    try:
        nb = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no notebook {path}") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is not a notebook: it holds no JSON ({error})") from None
    if not isinstance(nb, dict) or nb.get("nbformat") != 4 or "cells" not in nb:
        raise ValueError(
            f"{path} is not a notebook of format 4; open it in JupyterLab, save it, and try again"
        )
    return nb


def write(path: str | Path, nb: dict) -> None:
    """Store a notebook in the normal form; the file is replaced in one step or not at all."""
    import nbformat

    path = Path(path)
    normal = normalise(nb)
    nbformat.validate(normal)
    text = render(normal)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(temporary, path.stat().st_mode & 0o777 if path.exists() else 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def clean(path: str | Path) -> bool:
    """Store a notebook in the normal form without running it. True if the file changed."""
    path = Path(path)
    nb = normalise(read(path))
    if path.read_text(encoding="utf-8") == render(nb):
        return False
    write(path, nb)
    return True


def execute(
    nb: dict,
    folder: str | Path,
    timeout: float = CELL_TIMEOUT,
    on_cell: Callable[[int, int], None] | None = None,
) -> dict:
    """Run all cells in a fresh kernel of this Python; returns a new notebook, normalised.

    The kernel works in `folder` and inherits this process's environment. `timeout` is in seconds
    for one cell; `on_cell(done, total)` is called after each code cell. The result's
    `metadata.gptlib` records the sources that ran (a hash) and how long they took (seconds).

    Raises:
        NotebookFailed: with the number of the cell and the last lines of its error.
        KeyboardInterrupt: the run was interrupted.
    """
    import nbformat
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    node = nbformat.from_dict(_cleared(normalise(nb)))
    total = sum(cell.cell_type == "code" and bool(cell.source) for cell in node.cells)
    at, done = 0, 0

    def started(cell: dict, cell_index: int) -> None:
        nonlocal at
        at = cell_index

    def finished(cell: dict, cell_index: int, execute_reply: dict) -> None:
        nonlocal done
        done += 1
        if on_cell:
            on_cell(done, total)

    manager = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=_this_python())
    client = NotebookClient(
        node,
        km=manager,
        timeout=timeout,
        resources={"metadata": {"path": str(Path(folder).resolve())}},
        store_widget_state=False,
        record_timing=False,
        on_cell_start=started,
        on_cell_executed=finished,
    )
    begin = time.perf_counter()
    with tempfile.TemporaryFile() as said:  # what the kernel's process writes, to explain a crash
        try:
            client.execute(stderr=said)
        except CellExecutionError as error:
            raise NotebookFailed(
                f"cell {at} failed:\n{_last_lines(str(error.traceback))}"
            ) from None
        except CellTimeoutError:
            raise NotebookFailed(
                f"cell {at} ran longer than {timeout:g} s; shorten it, or pass a longer --timeout"
            ) from None
        except DeadKernelError:
            # nbclient answers Ctrl-C by ending the kernel, and keeps a note of it.
            if getattr(client, "_async_cleanup_kernel_future", None):
                raise KeyboardInterrupt from None
            said.seek(0)
            last = _last_lines(said.read().decode(errors="replace"))
            raise NotebookFailed(
                f"the kernel died in cell {at}: out of memory, or os._exit? {last}".rstrip()
            ) from None
    seconds = time.perf_counter() - begin
    result = normalise(json.loads(json.dumps(node)))
    record = dict(result["metadata"].get("gptlib", {}))
    record["executed"] = source_hash(result)
    record["seconds"] = round(seconds, 1) if seconds < 10 else round(seconds)
    result["metadata"]["gptlib"] = record
    return result


def run(
    path: str | Path,
    timeout: float = CELL_TIMEOUT,
    on_cell: Callable[[int, int], None] | None = None,
) -> float:
    """Execute a notebook in its own folder and store it. Returns the seconds that it took.

    When a cell fails, or the run is interrupted, the file stays as it was.
    """
    path = Path(path)
    nb = execute(read(path), path.parent, timeout=timeout, on_cell=on_cell)
    write(path, nb)
    return nb["metadata"]["gptlib"]["seconds"]


def _cleared(nb: dict) -> dict:
    for cell in nb["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return nb


def _last_lines(text: str, lines: int = 12) -> str:
    return "\n".join(clean_text(text).rstrip().split("\n")[-lines:])


def _this_python():
    """Kernel specifications in which every name means the Python that runs this function.

    A kernelspec called python3 in the user's home may belong to another environment.
    """
    import ipykernel.kernelspec
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager

    class ThisPython(KernelSpecManager):
        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            # Errors only: otherwise each start warns that localhost is not encrypted.
            spec = ipykernel.kernelspec.get_kernel_dict(extra_arguments=["--log-level=40"])
            return KernelSpec(resource_dir=ipykernel.kernelspec.RESOURCES, **spec)

    return ThisPython()
