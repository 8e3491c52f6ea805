"""The normal form: deterministic, idempotent, and nothing in it that changes from run to run."""

from __future__ import annotations

import copy
import json
import re

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptlib.notebook_form import WIDGET_VIEW, clean_text, normalise, render, source_hash

pieces = st.sampled_from(
    [
        "a",
        " ",
        "\n",
        "\r",
        "\b",
        "\t",
        "\x1b[31m",
        "\x1b",
        "[0m",
        "50%",
        "at 0x",
        "7f00ab12",
        "\x85",
        "字",
    ]
)
strings = st.lists(pieces, max_size=12).map("".join)
maybe_lines = strings | strings.map(lambda s: s.splitlines(keepends=True))
bundles = st.dictionaries(
    st.sampled_from(["text/plain", "text/html", "image/png"]), maybe_lines, max_size=2
)
streams = st.fixed_dictionaries(
    {
        "output_type": st.just("stream"),
        "name": st.sampled_from(["stdout", "stderr"]),
        "text": maybe_lines,
    }
)
displays = st.builds(
    lambda data, widget: {
        "output_type": "display_data",
        "metadata": {},
        "data": data | ({WIDGET_VIEW: {"model_id": "m"}} if widget else {}),
    },
    bundles,
    st.booleans(),
)
results = st.builds(
    lambda data, count: {
        "output_type": "execute_result",
        "metadata": {"image/png": {"width": 4}},
        "data": data,
        "execution_count": count,
    },
    bundles,
    st.none() | st.integers(1, 99),
)
errors = st.builds(
    lambda text: {"output_type": "error", "ename": "E", "evalue": text, "traceback": [text]},
    strings,
)
ids = st.none() | st.sampled_from(["one", "two", "not valid!", "x" * 65, ""])
metadata = st.sampled_from(
    [{}, {"tags": ["a"], "editable": True}, {"slideshow": {"slide_type": "slide"}, "trusted": True}]
)
code_cells = st.fixed_dictionaries(
    {
        "cell_type": st.just("code"),
        "id": ids,
        "metadata": metadata,
        "source": maybe_lines,
        "execution_count": st.none() | st.integers(1, 99),
        "outputs": st.lists(streams | displays | results | errors, max_size=5),
    }
)
text_cells = st.fixed_dictionaries(
    {
        "cell_type": st.sampled_from(["markdown", "raw"]),
        "id": ids,
        "metadata": metadata,
        "source": maybe_lines,
    }
)
notebooks = st.builds(
    lambda cells, extra: {"cells": cells, "metadata": extra, "nbformat": 4, "nbformat_minor": 4},
    st.lists(code_cells | text_cells, max_size=5),
    st.sampled_from([{}, {"widgets": {}, "gptlib": {"seconds": 1}}, {"kernelspec": {"name": "x"}}]),
)


@given(notebooks)
def test_normalising_twice_changes_nothing_and_the_result_is_valid(nb):
    before = copy.deepcopy(nb)
    once = normalise(nb)
    assert nb == before
    assert normalise(once) == once
    assert render(once) == render(normalise(json.loads(render(once))))
    nbformat.validate(nbformat.from_dict(once))


@given(notebooks)
def test_nothing_changes_from_run_to_run(nb):
    normal = normalise(nb)
    names = [cell["id"] for cell in normal["cells"]]
    assert len(set(names)) == len(names)
    counts = [c["execution_count"] for c in normal["cells"] if c["cell_type"] == "code"]
    counts = [count for count in counts if count is not None]
    assert counts == list(range(1, len(counts) + 1))
    assert "widgets" not in normal["metadata"] and WIDGET_VIEW not in render(normal)
    for cell in normal["cells"]:
        assert set(cell["metadata"]) <= {"tags", "slideshow", "nbgrader", "gptlib"}
        outputs = cell.get("outputs", [])
        for first, second in zip(outputs, outputs[1:], strict=False):
            assert (first.get("name"), second.get("name")) not in [("stdout",) * 2, ("stderr",) * 2]
        for output in outputs:
            printed = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            assert not re.search(r"[\r\x08\x1b]|at 0x[0-9a-f]{6}", printed)


@pytest.mark.parametrize(
    ("shown", "stored"),
    [
        ("\r 10%\r 50%\r100% done\nnext\n", "100% done\nnext\n"),
        ("\x1b[31mred\x1b[0m  \n", "red\n"),
        ("abc\b\bX", "aX"),
        ("windows\r\nline", "windows\nline"),
        ("<object object at 0x7f12ab34cd56>", "<object object at 0x…>"),
        ("100%\r", "100%"),
        ("/" + "tmp/ipykernel_12/34567.py:1: UserWarning", "this cell:1: UserWarning"),
    ],
)
def test_clean_text(shown, stored):
    assert clean_text(shown) == stored


def notebook(*cells: dict) -> dict:
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def code(source: str, *outputs: dict, **fields) -> dict:
    cell = {"cell_type": "code", "metadata": {}, "source": source, "outputs": list(outputs)}
    return cell | {"execution_count": 1} | fields


def test_ids_are_kept_or_derived_from_position_and_source():
    same = [code("x", id="mine"), code("x", id="mine"), code("x"), code("x", id="a b")]
    first = [cell["id"] for cell in normalise(notebook(*same))["cells"]]
    assert first == [cell["id"] for cell in normalise(notebook(*same))["cells"]]
    assert first[0] == "mine" and len(set(first)) == 4
    moved = [cell["id"] for cell in normalise(notebook(*same[::-1]))["cells"]]
    assert moved != first[::-1]


def test_a_widget_view_goes_and_its_static_figure_stays():
    bar = {WIDGET_VIEW: {"model_id": "1"}, "text/plain": "  0%|"}
    view = {WIDGET_VIEW: {"model_id": "2"}, "text/html": "<figure></figure>", "text/plain": "alt"}
    displays = [{"output_type": "display_data", "metadata": {}, "data": d} for d in (bar, view)]
    outputs = normalise(notebook(code("show()", *displays)))["cells"][0]["outputs"]
    assert [o["data"] for o in outputs] == [{"text/html": "<figure></figure>", "text/plain": "alt"}]


def test_a_progress_bar_in_pieces_around_a_widget_is_one_last_state():
    def err(text):
        return {"output_type": "stream", "name": "stderr", "text": text}

    bar = {"output_type": "display_data", "metadata": {}, "data": {WIDGET_VIEW: {"model_id": "1"}}}
    outputs = normalise(notebook(code("go()", err("\r 1%"), bar, err("\r99%"))))
    assert outputs["cells"][0]["outputs"] == [err("99%")]


def test_the_hash_follows_code_and_order_and_not_prose():
    one, two = code("a = 1"), code("b = 2")
    prose = {"cell_type": "markdown", "metadata": {}, "source": "why"}
    assert source_hash(notebook(one, two)) == source_hash(notebook(one, prose, two))
    assert source_hash(notebook(one, two)) == source_hash(normalise(notebook(one, two)))
    assert source_hash(notebook(one, two)) != source_hash(notebook(two, one))
    assert source_hash(notebook(code("ab"), code(""))) != source_hash(
        notebook(code("a"), code("b"))
    )


@pytest.mark.parametrize("wrong", [{}, [], {"nbformat": 3, "worksheets": []}])
def test_what_is_no_notebook_is_refused(wrong):
    with pytest.raises(ValueError, match="format 4"):
        normalise(wrong)
