"""What every interactive view has in common: one output that is a control and a figure at once.

**How a view is stored.** ``view.show()`` makes *one* output with three readings of it:

- ``application/vnd.jupyter.widget-view+json``: the live view, chosen by a notebook with a kernel;
- ``text/html``: the static figure at the view's first setting, ``<figure><img alt=...></figure>``;
- ``text/plain``: its alt text.

A notebook that is stored keeps no widget state, and a live view without state would read "Error
displaying widget: model not found". So whoever stores notebooks deletes the key
:data:`WIDGET_VIEW` from each output's ``data`` (and ``metadata.widgets`` from the notebook), and
keeps the rest: a reader on a web page, in an e-mail or on paper then sees the figure, with nothing
to fetch, and whoever runs the cell gets the live view in the same place.

**How a view computes.** In JavaScript, from a file in this folder, on data that Python sent once.
No kernel is asked while a slider moves, nothing flickers, no plotting library runs in a callback.
What the reader chose comes back in traits, so ``view.value`` is computed in Python from the same
settings with gptlib's own functions; the traits named ``*_in_browser`` echo what the JavaScript
found, and the tests compare the two.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets
from matplotlib.figure import Figure

from gptlib import plotting

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
HERE = Path(__file__).parent


def module(name: str) -> str:
    """One ES module: the shared parts in ``common.js``, then the view's own file. No imports."""
    return "\n".join((HERE / part).read_text(encoding="utf-8") for part in ("common.js", name))


def has_front_end() -> bool:
    """Whether a notebook may be listening: true in a kernel, false in a script or a terminal."""
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


class InteractiveView(anywidget.AnyWidget):
    """Base of the views. A subclass gives ``_esm``, its traits, and the three methods below."""

    _css = HERE / "widgets.css"

    label = traitlets.Unicode("Interactive view", help="read out by a screen reader").tag(sync=True)

    @property
    def value(self) -> dict[str, Any]:
        """What the view shows now, computed in Python from the settings the reader chose."""
        raise NotImplementedError

    def figure(self) -> Figure:
        """The static picture of the view at its present settings."""
        raise NotImplementedError

    def describe(self) -> str:
        """The static picture in words: what is plotted and what it shows."""
        raise NotImplementedError

    def bundle(self, alt: str | None = None, caption: str | None = None) -> dict[str, Any]:
        """The output as a notebook stores it: MIME type to content."""
        words = " ".join((alt or self.describe()).split())
        page = plotting.figure_html(self.figure(), words, caption)
        live = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {WIDGET_VIEW: live, "text/html": page, "text/plain": words}

    def show(self, alt: str | None = None, caption: str | None = None) -> None:
        """The live view, with its static figure inside the same output for readers of the page.

        ``alt`` replaces the words that the view finds for itself. Where no notebook is listening,
        this is :meth:`static`. Returns nothing, so nothing is shown twice.
        """
        if not has_front_end():
            return self.static(alt, caption)
        from IPython.display import display

        display(self.bundle(alt, caption), raw=True)

    def static(self, alt: str | None = None, caption: str | None = None) -> None:
        """Only the figure, at the present settings."""
        plotting.show(self.figure(), alt or self.describe(), caption)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        return self.bundle()  # a view left at the end of a cell is shown like view.show()
