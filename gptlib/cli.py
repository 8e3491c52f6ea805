"""The `gptlib` command.

Each sub-command belongs to a room and imports it when it is called, so that `gptlib --help`
answers at once. Exit status: 0 done, 1 the work found a fault, 2 the command was misused.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    help="Tools of The GPT Lineage.", no_args_is_help=True, pretty_exceptions_enable=False
)
notebooks = typer.Typer(help="Run, check, clean and print notebooks.", no_args_is_help=True)
app.add_typer(notebooks, name="notebooks")

Files = Annotated[list[Path], typer.Argument(help="Notebooks (.ipynb), or folders of them.")]


@app.callback()
def main() -> None:
    """Tools of The GPT Lineage."""


@notebooks.command("run")
def run_files(
    files: Files,
    timeout: Annotated[float, typer.Option(help="Longest time for one cell, seconds.")] = 600,
) -> None:
    """Execute notebooks in their own folder and store them, outputs included.

    A notebook that fails stays on disk as it was.
    """
    rooms = _rooms()
    failed = 0
    for path in _expand(files):
        live = sys.stderr.isatty()

        def progress(done: int, total: int, path: Path = path, live: bool = live) -> None:
            if live:
                print(f"\r{path}: cell {done} of {total}", end="", file=sys.stderr, flush=True)

        try:
            seconds = rooms.run(path, timeout=timeout, on_cell=progress)
        except (rooms.NotebookFailed, ValueError, OSError) as error:
            failed += 1
            _clear_line(live)
            typer.echo(f"{path}: {error}\n{path}: the file is unchanged.", err=True)
        except KeyboardInterrupt:
            _clear_line(live)
            typer.echo(f"{path}: interrupted; the file is unchanged.", err=True)
            raise typer.Exit(1) from None
        else:
            _clear_line(live)
            typer.echo(f"{path}: {seconds:g} s, stored")
    if failed:
        raise typer.Exit(1)


@notebooks.command("check")
def check_files(files: Files) -> None:
    """Hold notebooks against the rules; each problem names its cell and the remedy."""
    _rooms()
    from gptlib.notebook_rules import problems

    total = 0
    for path in _expand(files):
        try:
            found = problems(path)
        except ValueError as error:
            _stop(str(error), 1)
        total += len(found)
        for problem in found:
            typer.echo(f"{path}: {problem}")
        if not found:
            typer.echo(f"{path}: in order")
    if total:
        typer.echo(f"{total} problem{'s' if total > 1 else ''} to solve", err=True)
        raise typer.Exit(1)


@notebooks.command("clean")
def clean_files(files: Files) -> None:
    """Store notebooks in the normal form without running them."""
    rooms = _rooms()
    for path in _expand(files):
        try:
            changed = rooms.clean(path)
        except (ValueError, OSError) as error:
            _stop(str(error), 1)
        typer.echo(f"{path}: {'cleaned' if changed else 'in order'}")


@notebooks.command("html")
def html_files(
    files: Files,
    out: Annotated[Path, typer.Option(help="The folder for the pages; made when missing.")],
) -> None:
    """Write one self-contained page a notebook: no script, nothing fetched; good for printing."""
    rooms = _rooms()
    from gptlib.notebook_html import page

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _stop(f"the folder {out} can't be made: {error.strerror}", 1)
    for path in _expand(files):
        try:
            text = page(rooms.read(path), title=path.stem, folder=path.parent)
        except ValueError as error:
            _stop(str(error), 1)
        target = out / f"{path.stem}.html"
        target.write_text(text, encoding="utf-8")
        typer.echo(f"{target}: {len(text) / 1e6:.1f} MB")


def _rooms():
    """The notebook room, or one sentence where the notebook libraries are missing."""
    try:
        import nbclient  # noqa: F401
        import nbconvert  # noqa: F401

        from gptlib import notebooks as room
    except ModuleNotFoundError as error:
        _stop(f"{error.name} is missing: install the notebook tools with pip install -e '.[lab]'")
    return room


def _expand(files: list[Path]) -> list[Path]:
    """The notebooks named, folders replaced by what they hold; a wrong name ends the command."""
    found: list[Path] = []
    for file in files:
        if file.is_dir():
            inside = sorted(file.glob("*.ipynb"))
            if not inside:
                _stop(f"{file} holds no notebook")
            found += inside
        elif not file.exists():
            _stop(f"there is no file {file}")
        elif file.suffix != ".ipynb":
            _stop(f"{file} is not a notebook: its name does not end in .ipynb")
        else:
            found.append(file)
    return found


def _clear_line(live: bool) -> None:
    if live:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _stop(sentence: str, status: int = 2) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(status)


if __name__ == "__main__":
    app()
