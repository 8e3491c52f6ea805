"""Every interactive view in JupyterLab: a key moves it, its pixels change, Python hears of it.

One notebook shows all views (``TOUR``, opened once); its last cell prints what Python says of each.
"""

from __future__ import annotations

import io
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gptlib.bpe import count_pieces, learn_merges
from gptlib.sampling import next_token_probs
from gptlib.tokenizers import BPETokenizer
from gptlib.widgets import BPEMergeStepper, merge_steps, outputs_moved
from gptlib.widgets.base import module

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.browser

TOUR = (
    """
import json, torch
from gptlib.attention import attention_weights, causal_mask
from gptlib.bpe import count_pieces, learn_merges
from gptlib.widgets import *
draw = lambda *shape: torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))
""",
    """
names = [f"token {i}" for i in range(40)]
sampler = SamplingExplorer(2 * draw(40), names, temperature=0.7, top_p=0.9)
sampler.show()
""",
    """
text = "the other cat sat there, then ate the hat 猫猫"
merges = BPEMergeStepper(text, learn_merges(count_pieces([text]), 12))
merges.show()
""",
    """
q, k = draw(2, 3, 6, 8)
heads = AttentionHeads(attention_weights(q, k, causal_mask(6)), list("attend"))
heads.show()
""",
    """
probe = CausalProbe(draw(6, 4), list("attend"), *draw(3, 4, 5))
probe.show()
""",
    """
replay = SamplesOverTime([0, 100, 200], [4.2, 2.5, 1.9], ["zq!x", "the an", "the king"])
replay.show()
""",
    """
said = lambda x: x.tolist() if hasattr(x, "tolist") else x.hex()
views = {"sampler": sampler, "merges": merges, "heads": heads, "probe": probe, "replay": replay}
here = lambda v: [getattr(v, name) for name in v.trait_names() if name.endswith("_in_browser")]
print(json.dumps({n: {**v.value, "here": here(v)} for n, v in views.items()}, default=said))
""",
)


def pixels(part: Any) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(part.screenshot())).convert("RGB")).astype(int)


def assert_complete(picture: np.ndarray) -> None:
    """Drawn over its whole area: neither blank nor cut off half way."""
    halves = np.array_split(picture, 2, axis=0) + np.array_split(picture, 2, axis=1)
    for half in halves:
        spread = half.std(axis=(0, 1)).max()
        assert spread > 4, f"a half of the picture is blank (spread of its colours {spread:.1f})"


def assert_changed(before: np.ndarray, after: np.ndarray) -> None:
    if before.shape == after.shape:
        moved = (np.abs(before - after).max(axis=2) > 24).sum()
        assert moved > 60, f"only {moved} pixels changed"


def press(page: Any, view: Any, control: str, key: str, picture: str) -> None:
    """Move one control by the keyboard; the picture must change and stay whole."""
    part, knob = view.locator(picture).first, view.locator(f'[data-control="{control}"]')
    view.scroll_into_view_if_needed()
    knob.focus()
    before = pixels(part)
    assert_complete(before)
    page.keyboard.press(key)
    after = pixels(part)
    assert_complete(after)
    assert_changed(before, after)


def shown(journey: Any, kind: str) -> Any:
    return journey.page.locator(f'[data-gptlib-view="{kind}"]').first


def heard(journey: Any, kind: str, ready: Callable[[dict], bool]) -> dict:
    """What Python says of the view; asked again while a message is still on its way."""
    value: dict = {}
    for _ in range(10):
        value = json.loads(journey.run_last())[kind]
        if ready(value):
            return value
        journey.page.wait_for_timeout(200)
    raise AssertionError(f"Python never heard of the change; it still says {value}")


def test_sampling_explorer(tour):
    view = shown(tour, "sampler")
    for control, key in (
        ("temperature", "End"),
        ("top-p", "PageDown"),
        ("top-p", "End"),
        ("top-k", "Home"),
        ("top-k", "PageUp"),
    ):
        press(tour.page, view, control, key, "table.gl-bars")
    value = heard(tour, "sampler", lambda v: v["temperature"] == 2.0 and v["top_k"] == 5)
    assert len(value["kept"]) == 5
    cut = view.locator("tbody tr.gl-cut .gl-number:last-child").all_inner_texts()
    assert cut == ["cut"] * (12 - 5 + 1)  # of twelve rows and the row of all others
    press(tour.page, view, "temperature", "Home", "table.gl-bars")
    value = heard(tour, "sampler", lambda v: v["temperature"] == 0.0)
    assert len(value["kept"]) == 1 and max(value["probs"]) == 1.0
    view.locator('[data-control="reset"]').click()
    assert len(heard(tour, "sampler", lambda v: v["temperature"] == 1.0)["kept"]) == 40


def test_merge_stepper(tour):
    view = shown(tour, "merges")
    press(tour.page, view, "step", "ArrowRight", ".gl-chips")
    view.locator('[data-control="forward"]').focus()
    tour.page.keyboard.press("Enter")
    value = heard(tour, "merges", lambda v: v["step"] == 2)
    assert view.locator(".gl-chips li").count() == len(value["tokens"])
    press(tour.page, view, "step", "End", ".gl-chips")
    view.locator('[data-control="back"]').click()
    value = heard(tour, "merges", lambda v: v["step"] == v["steps"] - 1)
    assert value["here"] == [value["tokens"]]  # hex digits on both sides


def test_attention_heads(tour):
    view = shown(tour, "heads")
    press(tour.page, view, "head-0", "ArrowRight", "svg.gl-map")
    press(tour.page, view, "query", "ArrowLeft", "svg.gl-map")
    value = heard(tour, "heads", lambda v: v["head"] == 1 and v["query"] == 4)
    assert value["here"] == [value["looks_at"]]
    numbers = view.locator("tbody .gl-number").all_inner_texts()
    assert numbers == [f"{w:.3f}" for w in value["weights"][:5]] + ["hidden"]
    view.locator("svg.gl-map > rect").nth(7).click()  # a cell of the second row
    heard(tour, "heads", lambda v: v["query"] == 1)


def test_causal_probe(tour):
    view = shown(tour, "probe")
    assert heard(tour, "probe", lambda v: v["here"][0])["which"] == [0, 1, 2, 3, 4, 5]
    press(tour.page, view, "masked", "Space", "svg.gl-probe")
    press(tour.page, view, "position", "ArrowRight", "svg.gl-probe")
    press(tour.page, view, "change", "Home", "svg.gl-probe")
    value = heard(tour, "probe", lambda v: v["position"] == 4 and v["change"] == -2.0)
    assert value["masked"] and value["which"] == [4, 5]
    assert value["here"][0] == pytest.approx(value["moved"], abs=1e-9)

    view.scroll_into_view_if_needed()
    box = view.locator(".gl-input").nth(1).bounding_box()  # and with the mouse: drag one up
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    tour.page.mouse.move(x, y)
    tour.page.mouse.down()
    tour.page.mouse.move(x, y - 20, steps=4)
    tour.page.mouse.up()
    value = heard(tour, "probe", lambda v: v["position"] == 1 and v["change"] > 0.5)
    assert value["which"] == [1, 2, 3, 4, 5]


def test_samples_over_time(tour):
    view = shown(tour, "replay")
    press(tour.page, view, "checkpoint", "ArrowRight", "svg.gl-plot")
    value = heard(tour, "replay", lambda v: v["checkpoint"] == 1)
    assert value["here"] == [value["step"]]
    assert view.locator("pre").inner_text() == value["sample"] == "the an"


def test_accessible(tour, has_no_serious_violations):
    tour.page.evaluate(
        "document.querySelectorAll('.gptlib-view details').forEach(d => d.open = true)"
    )
    for theme in ("JupyterLab Dark", "JupyterLab Light"):
        tour.page.evaluate(
            "theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme
        )
        tour.page.wait_for_function(
            "light => document.body.dataset.jpThemeLight === light",
            arg=str(theme.endswith("Light")).lower(),
        )
        has_no_serious_violations(tour.page, ".gptlib-view")


def test_lab_keeps_its_own_keys(tour):
    """Arrows and letters pressed in a view neither choose another cell nor add or cut one."""
    cells = tour.page.locator(".jp-Notebook .jp-Cell")
    chosen = """() => [...document.querySelectorAll('.jp-Notebook .jp-Cell')]
        .findIndex((cell) => cell.classList.contains('jp-mod-active'))"""
    shown(tour, "replay").locator('[data-control="checkpoint"]').focus()
    before = tour.page.evaluate(chosen), cells.count()
    for key in ("ArrowDown", "ArrowUp", "a", "b", "x"):
        tour.page.keyboard.press(key)
    assert (tour.page.evaluate(chosen), cells.count()) == before


def test_a_view_follows_python(journey):
    """A trait set by a cell, after the view is on the page, moves the slider too."""
    journey.open(
        journey.lab.write(
            "follow.ipynb", [TOUR[0].strip(), TOUR[5].strip(), "replay.checkpoint = 2"]
        )
    )
    journey.run_all()
    view = shown(journey, "replay")
    view.locator("pre", has_text="the king").wait_for()
    assert view.locator('[data-control="checkpoint"]').input_value() == "2"


def test_the_guard_notices_errors_and_requests_that_leave(depart):
    with (
        pytest.raises(AssertionError, match="broken on purpose") as caught,
        depart() as trip,
    ):
        trip.page.evaluate("console.error('broken on purpose')")
    assert "console" in str(caught.value)
    with pytest.raises(AssertionError, match="left this machine"), depart() as trip:
        trip.page.evaluate("fetch('http://192.0.2.1/', { mode: 'no-cors' }).catch(() => {}), 0")
        trip.page.wait_for_timeout(100)
        trip.errors.clear()  # that nothing answered is an error, too


@pytest.fixture
def script(chromium):
    """call(file, function, *arguments): one function of a view's script, on an empty page."""
    page = chromium.new_page()

    def call(name: str, function: str, *arguments: Any) -> Any:
        source = module(name).replace(
            "export default", f"window.asked = {function};\nexport default"
        )
        return page.evaluate(
            """async ([source, arguments_]) => {
                await import(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
                return arguments_.map((each) => JSON.parse(JSON.stringify(window.asked(...each),
                    (_, v) => v instanceof Float64Array ? [...v] : v)));
            }""",
            [source, arguments],
        )

    yield call
    page.close()


def test_the_browser_keeps_the_same_tokens_as_python(script):
    """128 settings; equal scores, too, must count in the order of their ids."""
    asked, expected = [], []
    grid = (range(2), (0.0, 0.35, 1.0, 1.7), (None, 1, 7, 60), (None, 0.2, 0.75, 0.95))
    for seed, t, k, p in itertools.product(*grid):
        generator = torch.Generator().manual_seed(seed)
        logits = 3 * torch.randn(60, generator=generator, dtype=torch.float64)
        logits[5:9] = logits[4]
        order = logits.sort(descending=True, stable=True).indices
        asked.append([logits[order].tolist(), t, k, p or 1])
        expected.append(next_token_probs(logits[None], t, k, p)[0, order])
    for found, probs in zip(script("sampler.js", "settle", *asked), expected, strict=True):
        assert [q > 0 for q in found] == (probs > 0).tolist()
        assert found == pytest.approx(probs.tolist(), abs=1e-12)


def test_the_browser_moves_the_same_outputs_as_python(script):
    asked, expected = [], []
    for seed, position, masked in itertools.product(range(3), range(5), (False, True)):
        generator = torch.Generator().manual_seed(seed)
        parts = [torch.randn(5, 4, generator=generator, dtype=torch.float64)]
        parts += [torch.randn(4, 3, generator=generator, dtype=torch.float64) for _ in range(3)]
        asked.append([[part.tolist() for part in parts], position, 0.7, masked])
        expected.append(outputs_moved(*parts, position, 0.7, masked).tolist())
    for found, moved in zip(script("probe.js", "moves", *asked), expected, strict=True):
        assert found == pytest.approx(moved, abs=1e-12)


def test_the_browser_makes_the_same_merges_as_python(script):
    text = "aaaa aaa banana bandana 猫猫 the then there 🐈🐈"
    tokenizer = BPETokenizer(learn_merges(count_pieces([text]), 20))
    steps = merge_steps(text, tokenizer)
    view = BPEMergeStepper(text, tokenizer)
    [moments] = script("merges.js", "replay", [view.pieces, view.rules])
    flat = [[token for piece in pieces for token in piece] for pieces in moments]
    assert flat[1:] == [[token.hex() for token in step.tokens] for step in steps]


def test_chapter_03(journey):
    """A reader opens the chapter, runs all of it, moves a control, and sees the plot move."""
    chapter = ROOT / "chapters" / "03_self_attention.ipynb"
    assert chapter.exists(), f"{chapter.relative_to(ROOT)} is missing"
    shutil.copy(chapter, journey.lab.folder / chapter.name)
    journey.open(chapter.name)
    journey.run_all(timeout=180_000)
    view = journey.page.locator('[data-gptlib-view="heads"], [data-gptlib-view="probe"]').first
    view.wait_for()
    if view.get_attribute("data-gptlib-view") == "heads":
        press(journey.page, view, "query", "ArrowLeft", "svg.gl-map")
    else:
        press(journey.page, view, "change", "Home", "svg.gl-probe")
