"""One line of text that shows how a run goes, in a terminal and in a stored notebook alike.

A widget would be prettier, but a stored notebook cannot show it once its kernel is gone. A line
of text that is written over stays readable everywhere.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator


class ProgressLine:
    """``500/500 100% |██████████| loss 1.92 val 1.98 31k tok/s 00:42``, updated in place.

    ``enabled=False`` makes every method silent. Between updates of the text at least half a
    second passes, so that it costs a run nothing.
    """

    RUNNING = "{n_fmt}/{total_fmt} {percentage:3.0f}% |{bar:20}| {desc}{elapsed}<{remaining}"
    DONE = "{n_fmt}/{total_fmt} {percentage:3.0f}% |{bar:20}| {desc}{elapsed}"

    def __init__(self, total: int, done: int = 0, *, enabled: bool = True):
        from tqdm.std import tqdm  # not tqdm.auto, which makes a widget in a notebook

        self._bar = tqdm(
            total=total,
            initial=done,
            file=sys.stdout,
            ascii=False,
            mininterval=0.5,
            miniters=1,
            leave=True,
            disable=not enabled,
            bar_format=self.RUNNING,
        )

    def update(self, text: str, advance: int = 1) -> None:
        """``advance`` more steps are done and ``text`` says how they went."""
        self._bar.set_description_str(f"{text} ", refresh=False)
        self._bar.update(advance)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What is printed inside appears on lines of its own, above the progress line."""
        if self._bar.disable:
            yield
            return
        printer = _AboveLine(self._bar)
        with contextlib.redirect_stdout(printer):
            yield
        if printer.used:
            if not printer.last.endswith("\n"):
                printer.out.write("\n")
            self._bar.refresh()

    def close(self) -> None:
        """Leave the final state as one line. A second call does nothing."""
        self._bar.bar_format = self.DONE
        self._bar.close()


class _AboveLine(io.TextIOBase):
    """Stands in for sys.stdout: wipes the progress line before the first thing printed."""

    def __init__(self, bar):
        self._bar, self.out, self.used, self.last = bar, sys.stdout, False, ""

    def write(self, text: str) -> int:
        if text and not self.used:
            self._bar.clear()
            self.used = True
        self.last = text or self.last
        return self.out.write(text)

    def flush(self) -> None:
        self.out.flush()
