"""Figures: one style, every picture with words beside it, and no global state on import.

The figures are :class:`matplotlib.figure.Figure` objects, never pyplot's: nothing is shown twice,
nothing stays open, and a widget may draw one from any thread. Chapters import all of this from
:mod:`gptlib.plotting`, which adds the kinds of picture that they need.
"""

from __future__ import annotations

import base64
import html
import io
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from PIL import Image

# Petroff, "Accessible Color Sequences for Data Visualization", arXiv:2107.02270: ten colours that
# stay apart for readers with a colour-vision deficiency.
COLORS = (
    "#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6",
    "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd",
)  # fmt: skip
MAP = "cividis"  # Nunez, Anderton and Renslow 2018: even in lightness, the same for every reader
INK, SOFT, PAPER, EMPTY = "#1f2328", "#57606a", "#ffffff", "#eef0f2"
DPI = 100
SHORTEST_ALT = 20

_DRAWING = threading.RLock()  # fonts and text layout are shared by all figures of the process
_CJK = ("Noto Sans CJK SC", "PingFang SC", "Microsoft YaHei", "Hiragino Sans GB", "SimHei")


def fonts() -> list[str]:
    """DejaVu Sans comes with matplotlib; a Chinese face joins where the machine has one."""
    from matplotlib.font_manager import fontManager

    installed = {font.name for font in fontManager.ttflist}
    return ["DejaVu Sans", *[name for name in _CJK if name in installed][:1]]


def _settings() -> dict[str, Any]:
    return {
        "font.family": fonts(),
        "font.size": 11,
        "axes.titlesize": 12,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlepad": 8,
        "axes.labelsize": 11,
        "axes.labelcolor": INK,
        "axes.edgecolor": SOFT,
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.prop_cycle": mpl.cycler(color=COLORS),
        "axes.facecolor": PAPER,
        "figure.facecolor": PAPER,
        "figure.dpi": DPI,
        "figure.constrained_layout.w_pad": 0.1,  # inches of white around it, also on a dark page
        "figure.constrained_layout.h_pad": 0.1,
        "savefig.dpi": DPI,
        "savefig.facecolor": PAPER,
        "text.color": INK,
        "xtick.color": SOFT,
        "ytick.color": SOFT,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 10,
        "ytick.labelsize": 10,
        "grid.color": "#dfe3e8",
        "grid.linewidth": 0.8,
        "lines.linewidth": 2.0,
        "lines.markersize": 6,
        "legend.frameon": False,
        "legend.fontsize": 10,
        "image.cmap": MAP,
        "hatch.linewidth": 1.0,
        "hatch.color": "#c3c9d0",
    }


class _Style(AbstractContextManager):
    """Already applied when it is made; leaving a ``with`` block restores what was there before."""

    def __init__(self) -> None:
        self.before = {key: mpl.rcParams[key] for key in _settings()}
        mpl.rcParams.update(_settings())

    def __exit__(self, *error: object) -> None:
        mpl.rcParams.update(self.before)


def style() -> _Style:
    """Use the course's style from here on, or only inside ``with style():``.

    :func:`new_figure` and the helpers of this module use it without being asked; call it when you
    add your own lines and labels to a figure, once at the top of a notebook.
    """
    return _Style()


@contextmanager
def styled() -> Iterator[None]:
    with _DRAWING, mpl.rc_context(_settings()):
        yield


def new_figure(
    rows: int = 1, cols: int = 1, size: tuple[float, float] | None = None, **subplots: Any
) -> tuple[Figure, Any]:
    """A figure that belongs to nobody but you: ``fig, ax = new_figure()``.

    ``size`` is (width, height) in inches, 100 pixels each; left out, 7.2 wide. Returns the figure
    and its axes: one ``Axes`` for a single plot, else an array shaped as ``Figure.subplots`` does.
    Further keywords (``sharey=True``, ``width_ratios=...``) go to ``Figure.subplots``.
    """
    if rows < 1 or cols < 1:
        raise ValueError(f"a figure needs at least one row and one column, not {rows} x {cols}")
    with styled():
        fig = Figure(figsize=size or (7.2, 3.2 * rows + 0.4), dpi=DPI, layout="constrained")
        return fig, fig.subplots(rows, cols, **subplots)


# ---------------------------------------------------------------- from a figure to the page


def png(fig: Figure) -> bytes:
    """The figure as PNG, at most 100 dpi. The same figure gives the same bytes on every run.

    256 colours, chosen for the figure: no eye sees the difference, and a notebook that stores
    the picture is a third of the size.
    """
    drawn, packed = io.BytesIO(), io.BytesIO()
    with styled():
        fig.savefig(drawn, format="png", dpi=min(fig.dpi, DPI), pil_kwargs={"compress_level": 0})
    picture = Image.open(drawn).convert("RGB")  # what matplotlib wrote about itself stays behind
    few = {"method": Image.Quantize.MAXCOVERAGE, "kmeans": 1, "dither": Image.Dither.NONE}
    picture.quantize(256, **few).save(packed, "png", optimize=True)
    return packed.getvalue()


def figure_html(fig: Figure, alt: str, caption: str | None = None) -> str:
    """``<figure><img alt=...></figure>`` with the picture inside it: nothing to fetch, ever.

    ``alt`` says in words what a reader would see: what is plotted and what it shows, at least
    20 characters. ``caption`` is shown under the picture.
    """
    if not isinstance(alt, str) or len(alt.strip()) < SHORTEST_ALT:
        raise ValueError(
            f"alt={alt!r} says too little for someone who cannot see the figure; write what is "
            f"plotted and what it shows, at least {SHORTEST_ALT} characters, for example "
            'alt="Loss against step: it falls from 4.2 to 1.6 nats in 500 steps."'
        )
    if not isinstance(fig, Figure):
        raise TypeError(
            f"show() wants a matplotlib Figure, not {type(fig).__name__}; "
            "make one with fig, ax = new_figure()"
        )
    data = base64.b64encode(png(fig)).decode("ascii")
    width = round(fig.get_figwidth() * min(fig.dpi, DPI))
    # The picture brings its own white paper, so a dark theme and a printer show the same thing.
    image = (
        f'<img alt="{html.escape(" ".join(alt.split()), quote=True)}" width="{width}" '
        'style="max-width:100%;height:auto;background:#ffffff;border-radius:4px" '
        f'src="data:image/png;base64,{data}">'
    )
    below = ""
    if caption:
        below = f'<figcaption style="margin-top:8px">{html.escape(caption)}</figcaption>'
    return f'<figure style="margin:8px 0;break-inside:avoid">{image}{below}</figure>'


def show(fig: Figure, alt: str, caption: str | None = None) -> None:
    """Put the figure on the page with its words. Returns nothing, so nothing is shown twice.

    Outside of IPython (a script, a test) the alt text is printed.
    """
    from IPython.core.interactiveshell import InteractiveShell
    from IPython.display import display

    page = figure_html(fig, alt, caption)
    if getattr(fig.canvas, "manager", None) is not None:  # made by pyplot, which would repeat it
        import matplotlib.pyplot as plt

        plt.close(fig)
    words = " ".join(alt.split())
    if InteractiveShell.initialized():
        display({"text/html": page, "text/plain": words}, raw=True)
    else:
        print(words)


# ---------------------------------------------------------------- colour and text


def luminance(color: Any) -> float:
    """Relative luminance of a colour, 0 to 1 (WCAG 2.2)."""
    parts = np.asarray(to_rgb(color))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: Any, other: Any) -> float:
    """Contrast ratio of two colours, 1 to 21; text needs 4.5 (WCAG 2.2, 1.4.3)."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def text_color(background: Any) -> str:
    """Ink or white, whichever is easier to read on ``background``."""
    return max((INK, PAPER), key=lambda ink: contrast(ink, background))


def readable(color: Any) -> str:
    """The same hue, darkened until it can be read as text on white."""
    mixed = np.asarray(to_rgb(color))
    while contrast(mixed, PAPER) < 4.5:
        mixed = mixed * 0.95
    return to_hex(mixed)


def visible(token: str) -> str:
    """A token with its white space made visible: ``" the"`` becomes ``"␣the"``."""
    shown = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "": "(empty)"}
    if token in shown:
        return shown[token]
    return "".join(shown.get(c, c if c.isprintable() else f"\\x{ord(c):02x}") for c in token)
