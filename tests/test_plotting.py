"""Figures: what a page, a screen reader and a printer get."""

from __future__ import annotations

import base64
import html.parser
import io
import subprocess
import sys

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
import torch
from PIL import Image

from gptlib import plotting
from gptlib.plotting import COLORS, curves, distribution, heatmap, new_figure, show, token_strip

ALT = 'Loss against step: "it" falls from 4 to 1 & stays <flat>.'


class Reader(html.parser.HTMLParser):
    """The attributes of the first img, and the text outside of tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.image: dict[str, str] = {}
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "img":
            self.image = dict(attributes)

    def handle_data(self, data):
        self.words += data


def drawn():
    fig, ax = new_figure()
    curves(ax, {"training": [4, 2, 1.0], "held-out": [4, 2.5, 1.5]}, xlabel="step", ylabel="nats")
    return fig


def decoded(page: str) -> Image.Image:
    kind, data = Reader(page).image["src"].split(",", 1)
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data, validate=True)))


def test_the_page_holds_the_picture_and_its_words():
    page = plotting.figure_html(drawn(), ALT, caption="A & B")
    reader = Reader(page)
    assert reader.tags == ["figure", "img", "figcaption"]
    assert reader.image["alt"] == ALT
    assert reader.words == "A & B"
    assert "max-width:100%" in reader.image["style"]
    picture = decoded(page).convert("RGB")
    assert picture.size == (720, 360)
    assert picture.getpixel((0, 0)) == (255, 255, 255)  # its own paper, on a dark theme, too
    assert len(picture.getcolors(maxcolors=100_000)) > 50
    assert "http" not in page


@pytest.mark.parametrize("alt", ["", "   ", "A plot.", None])
def test_too_few_words_are_refused(alt):
    with pytest.raises(ValueError, match="at least 20 characters"):
        show(drawn(), alt=alt)


def test_only_figures_are_shown():
    with pytest.raises(TypeError, match="new_figure"):
        show(np.zeros(3), alt=ALT)


def test_show_displays_once_and_returns_nothing(monkeypatch):
    from IPython.core.interactiveshell import InteractiveShell

    shown = []
    monkeypatch.setattr(InteractiveShell, "initialized", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    assert show(drawn(), alt=ALT) is None
    [((data,), how)] = shown
    assert how == {"raw": True}
    assert set(data) == {"text/html", "text/plain"}
    assert data["text/plain"] == ALT


def test_a_script_prints_the_words(capsys):
    show(drawn(), alt="Two  lines\nthat fall with training.")
    assert capsys.readouterr().out == "Two lines that fall with training.\n"


def test_the_same_figure_gives_the_same_bytes():
    first, second = plotting.png(drawn()), plotting.png(drawn())
    assert first == second
    assert not Image.open(io.BytesIO(first)).text  # no version, no time


def test_few_colours_lose_nothing_that_an_eye_would_see():
    fig, ax = new_figure(size=(7.2, 4))
    heatmap(ax, np.random.default_rng(0).random((12, 12)), colorbar="weight")
    plotting.png(fig)  # the first drawing settles the layout
    exact = io.BytesIO()
    with plotting.style():
        fig.savefig(exact, format="png", dpi=100)
    wanted = np.asarray(Image.open(exact).convert("RGB")).astype(int)
    packed = plotting.png(fig)
    found = np.asarray(Image.open(io.BytesIO(packed)).convert("RGB")).astype(int)
    assert np.abs(wanted - found).max() <= 16  # of 255 levels, anywhere
    assert np.abs(wanted - found).mean() <= 1.0
    assert len(packed) < len(exact.getvalue()) / 2


def test_a_figure_never_has_more_than_100_dpi():
    fig = drawn()
    fig.set_dpi(300)
    assert Image.open(io.BytesIO(plotting.png(fig))).size == (720, 360)


def test_nothing_global_changes_on_import_or_by_drawing():
    code = """
import sys, matplotlib as m
now = lambda: {k: m.rcParams[k] for k in m.rcParams if k != "backend"}  # asking makes it choose
before = now()
import gptlib.plotting as p
fig, ax = p.new_figure(); p.heatmap(ax, [[1, 2]]); p.png(fig)
assert now() == before, "settings changed"
assert "matplotlib.pyplot" not in sys.modules, "pyplot was imported"
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_style_is_applied_and_can_be_left_again():
    before = mpl.rcParams["axes.prop_cycle"]
    with plotting.style():
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(COLORS)
    assert mpl.rcParams["axes.prop_cycle"] == before
    assert list(COLORS) == mpl.style.library["petroff10"]["axes.prop_cycle"].by_key()["color"]


def test_several_axes_and_impossible_ones():
    _, axes = new_figure(2, 3, size=(6, 4), sharey=True)
    assert axes.shape == (2, 3)
    with pytest.raises(ValueError, match="at least one row"):
        new_figure(0)


def test_text_can_be_read_on_its_background():
    for level in np.linspace(0, 1, 64):
        back = mpl.colormaps[plotting.MAP](level)
        assert plotting.contrast(plotting.text_color(back), back) >= 4.0
    for color in COLORS:
        assert plotting.contrast(plotting.readable(color), "white") >= 4.5
    assert plotting.contrast("black", "white") == pytest.approx(21)


def test_white_space_of_a_token_can_be_seen():
    assert plotting.visible(" the") == "␣the"
    assert plotting.visible("\n") == "⏎"
    assert plotting.visible("a\x00b") == "a\\x00b"
    assert plotting.visible("猫") == "猫"


def test_heatmap_writes_every_number_that_is_not_hidden():
    fig, ax = new_figure()
    weights = torch.tensor([[1.0, 0.0], [0.25, 0.75]], requires_grad=True)
    hidden = np.array([[False, True], [False, False]])
    heatmap(ax, weights, ["a", " b"], ["a", " b"], hidden=hidden)
    assert [t.get_text() for t in ax.texts] == ["1.00", "0.25", "0.75"]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["a", "␣b"]
    plotting.png(fig)
    _, ax = new_figure()
    heatmap(ax, [[0.5, float("-inf")], [float("nan"), 2]], fmt=".0f")
    assert [t.get_text() for t in ax.texts] == ["0", "2"]
    with pytest.raises(ValueError, match="3 row labels for 2 rows"):
        heatmap(ax, np.eye(2), ["a", "b", "c"])
    with pytest.raises(ValueError, match="shape"):
        heatmap(ax, np.zeros((2, 2, 2)))


def test_distribution_names_what_was_cut():
    fig, ax = new_figure()
    distribution(ax, [0.2, 0.5, 0.3], ["x", "y", "z"], kept=[False, True, True], top=2)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["y", "z"]
    assert [t.get_text() for t in ax.texts] == ["50.0%", "30.0%"]
    _, ax = new_figure()
    distribution(ax, [0.0, 1.0], ["x", "y"], kept=[False, True], before=[0.4, 0.6])
    assert [t.get_text() for t in ax.texts] == ["cut", "100.0%"]
    with pytest.raises(ValueError, match="1 labels"):
        distribution(ax, [0.5, 0.5], ["x"])
    plotting.png(fig)


def test_curves_differ_by_more_than_colour_and_their_names_do_not_touch():
    fig, ax = new_figure()
    names = ["one", "two", "three", "four"]
    curves(ax, {name: ([0, 1], [2, 1 + i / 1000]) for i, name in enumerate(names)})
    assert len({str(line.get_linestyle()) for line in ax.lines}) == 4
    assert [t.get_text() for t in ax.texts] == names
    plotting.png(fig)
    boxes = sorted((t.get_window_extent() for t in ax.texts), key=lambda box: box.y0)
    for lower, upper in zip(boxes, boxes[1:], strict=False):
        assert upper.y0 >= lower.y1 - 3
    for box in boxes:
        assert box.x1 <= fig.bbox.x1 and box.y1 <= fig.bbox.y1
    with pytest.raises(ValueError, match="'short'"):
        curves(ax, {"short": [1, 2]}, x=[1, 2, 3])
    with pytest.raises(ValueError, match="no line"):
        curves(ax, {})


def test_token_strip_writes_values_and_breaks_lines():
    fig, ax = new_figure(size=(7.2, 2))
    tokens = [f" word{i}" for i in range(20)] + ["猫猫"]
    token_strip(ax, tokens, np.arange(21.0), columns=40, marked=[i == 2 for i in range(21)])
    said = [t.get_text() for t in ax.texts]
    assert said[:4] == ["␣word0", "0.0", "␣word1", "1.0"]
    assert len({round(t.get_position()[1], 3) for t in ax.texts[::2]}) > 3  # lines
    right = max(p.get_x() + p.get_width() for p in ax.patches)
    assert right <= 40
    widths = [p.get_linewidth() for p in ax.patches]
    assert widths.index(max(widths)) == 2 and widths.count(max(widths)) == 1
    plotting.png(fig)
    with pytest.raises(ValueError, match="21 tokens"):
        token_strip(ax, tokens, [1.0])
