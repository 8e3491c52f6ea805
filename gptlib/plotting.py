"""Pictures: the kinds of figure that the chapters draw, in one style, with words for each.

A chapter draws in three lines::

    fig, ax = new_figure()
    curves(ax, {"training": train_loss, "held-out": val_loss}, xlabel="step", ylabel="loss (nats)")
    show(fig, alt="Training loss falls from 4.2 to 1.6 nats; held-out loss stops at 1.8.")

Whatever a colour says is also said by a line style, a label or a number, so that a page printed in
grey loses nothing. Style, figures and ``show`` come from :mod:`gptlib.figures`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from gptlib.figures import (
    COLORS,
    EMPTY,
    INK,
    MAP,
    PAPER,
    SOFT,
    contrast,
    figure_html,
    fonts,
    new_figure,
    png,
    readable,
    show,
    style,
    styled,
    text_color,
    visible,
)

__all__ = [
    "COLORS",
    "EMPTY",
    "INK",
    "MAP",
    "PAPER",
    "SOFT",
    "contrast",
    "curves",
    "distribution",
    "figure_html",
    "heatmap",
    "new_figure",
    "png",
    "readable",
    "show",
    "style",
    "text_color",
    "token_strip",
    "visible",
]

LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P")


def _array(values: Any) -> np.ndarray:
    """Lists, arrays and tensors (also those that require a gradient) as float64."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()
    return np.asarray(values, dtype=float)


def _short(text: str, most: int = 16) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def heatmap(
    ax: Axes,
    matrix: Any,
    row_labels: Sequence[str] | None = None,
    col_labels: Sequence[str] | None = None,
    *,
    annotate: bool = True,
    fmt: str = ".2f",
    hidden: Any = None,
    vmin: float | None = None,
    vmax: float | None = None,
    colorbar: str | None = None,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
) -> Any:
    """A matrix as coloured cells, each with its number in a colour that can be read on it.

    matrix: ``(rows, columns)``. ``hidden``: a boolean table of the same shape, True where a cell
    is left empty and hatched (a causal mask); NaN and infinite cells are treated so as well.
    ``colorbar``: the name and unit of the values; give it when ``annotate`` is off. Returns the
    image, for a colour bar of your own.
    """
    cells = _array(matrix)
    if cells.ndim != 2:
        raise ValueError(f"heatmap wants a (rows, columns) matrix, not shape {cells.shape}")
    for labels, size, what in (
        (row_labels, cells.shape[0], "row"),
        (col_labels, cells.shape[1], "column"),
    ):
        if labels is not None and len(labels) != size:
            raise ValueError(f"{len(labels)} {what} labels for {size} {what}s of the matrix")
    off = ~np.isfinite(cells)
    if hidden is not None:
        off |= np.asarray(hidden, dtype=bool)
    with styled():
        ax.set_facecolor(EMPTY)
        ax.patch.set(hatch="//", edgecolor="#c3c9d0", linewidth=0)
        image = ax.imshow(
            np.ma.masked_array(cells, off), cmap=MAP, vmin=vmin, vmax=vmax, aspect="auto"
        )
        ax.set_xticks(np.arange(cells.shape[1] + 1) - 0.5, minor=True)
        ax.set_yticks(np.arange(cells.shape[0] + 1) - 0.5, minor=True)
        ax.grid(which="minor", color=PAPER, linewidth=1.5)
        ax.tick_params(which="both", length=0)
        ax.spines[:].set_visible(False)
        for axis, labels, size in (
            (ax.xaxis, col_labels, cells.shape[1]),
            (ax.yaxis, row_labels, cells.shape[0]),
        ):
            if labels is not None:
                axis.set_ticks(range(size), [_short(visible(str(x))) for x in labels])
        if col_labels is not None and max((len(str(x)) for x in col_labels), default=0) > 4:
            slanted = cells.shape[1] <= 12
            ax.tick_params(axis="x", rotation=45 if slanted else 90)
            if slanted:  # a slanted name ends at its column, so that long names don't overlap
                for name in ax.get_xticklabels():
                    name.set(ha="right", va="top", rotation_mode="anchor")
        if annotate:
            for row, col in zip(*np.nonzero(~off), strict=True):
                value = cells[row, col]
                ink = text_color(image.cmap(image.norm(value)))
                ax.text(
                    col, row, format(value, fmt), ha="center", va="center", color=ink, fontsize=10
                )
        if colorbar:
            bar = ax.figure.colorbar(image, ax=ax, label=colorbar, pad=0.02)
            bar.outline.set_visible(False)
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return image


def distribution(
    ax: Axes,
    probs: Any,
    labels: Sequence[str],
    *,
    kept: Any = None,
    top: int | None = None,
    before: Any = None,
    xlabel: str = "probability",
    title: str = "",
) -> None:
    """Probabilities as horizontal bars with the number at the end of each.

    probs: ``(V,)``. ``top`` shows the most probable so many, in falling order; left out, all in the
    order given. ``kept``: ``(V,)`` boolean; a token outside of it is hatched and marked "cut".
    ``before``: ``(V,)`` probabilities before a change, drawn as an outline behind the bars.
    """
    heights = _array(probs)
    if heights.ndim != 1 or len(labels) != len(heights):
        raise ValueError(f"{len(labels)} labels for probabilities of shape {heights.shape}")
    stay = np.ones(len(heights), bool) if kept is None else np.asarray(kept, dtype=bool)
    was = None if before is None else _array(before)
    order = np.arange(len(heights))
    if top is not None:
        order = np.argsort(-(heights if was is None else was), kind="stable")[:top]
    with styled():
        places = np.arange(len(order))
        if was is not None:
            ax.barh(places, was[order], height=0.8, color=EMPTY, edgecolor=SOFT, linewidth=0.8)
        bars = ax.barh(places, heights[order], height=0.55, color=COLORS[0])
        for place, i, bar in zip(places, order, bars, strict=True):
            end = heights[i] if was is None else max(heights[i], was[i])
            words = f"{heights[i]:.1%}" if stay[i] else "cut"
            if not stay[i]:
                bar.set(facecolor=EMPTY, hatch="///", edgecolor=SOFT)
            ax.annotate(
                words, (end, place), (5, 0), textcoords="offset points", va="center", fontsize=10
            )
        ax.set_yticks(places, [_short(visible(str(labels[i]))) for i in order])
        ax.invert_yaxis()
        ax.margins(x=0.14)
        ax.set_xlim(left=0)
        ax.xaxis.set_major_formatter(lambda x, _: f"{x:.0%}")
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="x")
        ax.set(xlabel=xlabel, title=title)


def curves(
    ax: Axes,
    lines: Mapping[str, Any],
    x: Any = None,
    *,
    xlabel: str = "",
    ylabel: str = "",
    title: str = "",
    markers: bool = False,
) -> None:
    """Several lines, each with its own dash, and its name written at its end: no legend to decode.

    lines: name to ``y`` values, or to a pair ``(x, y)``; ``x`` is shared by those that bring none
    (left out: 0, 1, 2, ...).
    """
    if not lines:
        raise ValueError("curves got no line to draw; pass a dict of name to values")
    with styled():
        ends = []
        for i, (name, values) in enumerate(lines.items()):
            if isinstance(values, tuple) and len(values) == 2:
                xs, ys = _array(values[0]), _array(values[1])
            else:
                ys = _array(values)
                xs = np.arange(len(ys)) if x is None else _array(x)
            if xs.shape != ys.shape or ys.ndim != 1:
                raise ValueError(f"line {name!r}: x has shape {xs.shape} and y has {ys.shape}")
            color, dash = COLORS[i % len(COLORS)], LINES[i % len(LINES)]
            mark = MARKERS[i % len(MARKERS)] if markers else None
            ax.plot(xs, ys, color=color, linestyle=dash, marker=mark)
            seen = np.nonzero(np.isfinite(ys))[0]
            if len(seen):
                ends.append((ys[seen[-1]], name, readable(color)))
        ax.grid(axis="y")
        ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
        ax.margins(x=0.02)
        _name_at_end(ax, ends)


def _name_at_end(ax: Axes, ends: list[tuple[float, str, str]]) -> None:
    """Names to the right of the axes, moved apart where two lines end at the same height."""
    gap = 15.0  # points between two names
    height = 72 * ax.figure.get_figheight() * ax.get_position().height
    pixels = [ax.transData.transform((ax.get_xlim()[1], y))[1] for y, _, _ in ends]
    points = [72 / ax.figure.dpi * pixel for pixel in pixels]
    bottom = 72 / ax.figure.dpi * ax.transAxes.transform((0, 0))[1]
    order = sorted(range(len(ends)), key=points.__getitem__)
    placed: list[float] = []
    for i in order:
        placed.append(max(points[i], placed[-1] + gap) if placed else points[i])
    if placed:  # a pile that has grown out of the top is pushed down again, as far as there is room
        down = min(max(0.0, placed[-1] - bottom - height), max(0.0, placed[0] - bottom))
        placed = [place - down for place in placed]
    for i, place in zip(order, placed, strict=True):
        y, name, color = ends[i]
        ax.annotate(
            name,
            (1, y),
            (8, place - points[i]),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
            color=color,
            fontweight="bold",
            annotation_clip=False,
        )


def _columns(text: str) -> int:
    """How many columns of a fixed-width face the text takes; a Chinese character takes two."""
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def token_strip(
    ax: Axes,
    tokens: Iterable[str],
    values: Any = None,
    *,
    fmt: str = ".1f",
    marked: Any = None,
    columns: int = 64,
    title: str = "",
) -> None:
    """A text as its tokens: one box each, coloured by value, with the value written below it.

    values: ``(T,)`` or None for plain boxes. ``marked``: ``(T,)`` boolean; these boxes get a heavy
    frame. ``columns``: characters a line. The axes are switched off: give the unit in ``title``.
    """
    words = [_short(visible(str(token)), columns - 2) for token in tokens]
    numbers = None if values is None else _array(values)
    if numbers is not None and numbers.shape != (len(words),):
        raise ValueError(f"{len(words)} tokens but values of shape {numbers.shape}")
    heavy = np.zeros(len(words), bool) if marked is None else np.asarray(marked, dtype=bool)
    with styled():
        norm = None
        if numbers is not None:
            norm = Normalize(np.nanmin(numbers), np.nanmax(numbers))
        left, line, step = 0.0, 0, 1.9 if numbers is not None else 1.3
        width = 72 * ax.figure.get_figwidth() / ax.get_subplotspec().get_gridspec().ncols
        size = min(12.0, width / columns / 0.602)  # DejaVu Sans Mono is 0.602 em wide
        faces = ["DejaVu Sans Mono", *fonts()[1:]]
        for i, word in enumerate(words):
            said = "" if numbers is None else format(numbers[i], fmt)
            wide = max(_columns(word), _columns(said) * 0.8) + 1.0
            if left and left + wide > columns:
                left, line = 0.0, line + 1
            back = EMPTY if norm is None else colormaps[MAP](norm(numbers[i]))
            box = Rectangle((left + 0.1, line * step), wide - 0.2, 1.0, facecolor=back)
            box.set(edgecolor=INK if heavy[i] else "#b6bdc6", linewidth=2.2 if heavy[i] else 0.8)
            ax.add_patch(box)
            put = {"ha": "center", "va": "center"}
            ax.text(
                left + wide / 2,
                line * step + 0.5,
                word,
                fontsize=size,
                color=text_color(back),
                family=faces,
                **put,
            )
            ax.text(
                left + wide / 2, line * step + 1.3, said, fontsize=size * 0.8, color=SOFT, **put
            )
            left += wide
        ax.set(xlim=(-0.1, columns + 0.1), ylim=((line + 1) * step + 0.1, -0.15), title=title)
        ax.set_axis_off()
