"""Interactive views without a browser: settings in, values out, and the figure beside each."""

from __future__ import annotations

import json
from html import unescape

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gptlib import plotting
from gptlib.attention import attention_weights, causal_mask
from gptlib.bpe import count_pieces, learn_merges
from gptlib.notebook_form import normalise
from gptlib.sampling import filter_logits
from gptlib.tokenizers import BPETokenizer
from gptlib.widgets import (
    AttentionHeads,
    BPEMergeStepper,
    CausalProbe,
    InteractiveView,
    SamplesOverTime,
    SamplingExplorer,
    merge_steps,
    outputs_moved,
)
from gptlib.widgets.base import HERE, WIDGET_VIEW, has_front_end

TEXT = "the other cat sat there, 猫!"


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sampler(**fields) -> SamplingExplorer:
    return SamplingExplorer(randn(30), [f"t{i}" for i in range(30)], **fields)


def merges(**fields) -> BPEMergeStepper:
    return BPEMergeStepper(TEXT, learn_merges(count_pieces([TEXT]), 8), **fields)


def heads(**fields) -> AttentionHeads:
    q, k = randn(2, 3, 5, 4)
    return AttentionHeads(attention_weights(q, k, causal_mask(5)), list("hello"), **fields)


def probe(**fields) -> CausalProbe:
    return CausalProbe(randn(6, 4), list("attend"), *randn(3, 4, 5, seed=1), **fields)


def replay(**fields) -> SamplesOverTime:
    return SamplesOverTime([0, 10, 20], [4.0, 2.0, 1.0], ["zz", "the\nan", "the king"], **fields)


VIEWS = [sampler, merges, heads, probe, replay]


@pytest.fixture(params=VIEWS, ids=lambda make: make.__name__)
def view(request) -> InteractiveView:
    return request.param()


def test_one_output_is_read_in_three_ways(view):
    data = view.bundle()
    assert list(data) == [WIDGET_VIEW, "text/html", "text/plain"]
    assert data[WIDGET_VIEW]["model_id"] == view.model_id
    assert data["text/plain"] == view.describe()
    assert f'alt="{data["text/plain"][:10]}' in unescape(data["text/html"])
    assert len(data["text/html"]) < 80_000  # a chapter of 1 MB holds many of these
    assert view._repr_mimebundle_()["text/html"] == data["text/html"]


def test_a_stored_notebook_keeps_the_figure_and_not_the_widget(view):
    output = {"output_type": "display_data", "data": view.bundle(), "metadata": {}}
    cell = {"cell_type": "code", "source": "view.show()", "metadata": {}, "outputs": [output]}
    nb = {"cells": [cell | {"execution_count": 1}], "metadata": {}, "nbformat": 4}
    [kept] = normalise(nb | {"nbformat_minor": 5})["cells"][0]["outputs"]
    assert set(kept["data"]) == {"text/html", "text/plain"}


def test_without_a_notebook_only_the_words_are_printed(view, capsys):
    assert not has_front_end()
    assert view.show() is None
    assert capsys.readouterr().out == view.describe() + "\n"
    view.static(alt="Words of the author's own choice.")
    assert capsys.readouterr().out == "Words of the author's own choice.\n"


def test_in_a_notebook_it_is_shown_once(view, monkeypatch):
    shown = []
    monkeypatch.setattr("gptlib.widgets.base.has_front_end", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    assert view.show(alt="Words of the author's own choice.") is None
    assert [data["text/plain"] for data in shown] == ["Words of the author's own choice."]


def test_figures_are_drawn_the_same_each_time(view):
    assert plotting.png(view.figure()) == plotting.png(view.figure())


def test_scripts_ask_for_nothing_from_elsewhere(view):
    for source in (view._esm, view._css):
        text = str(source).replace("http://www.w3.org/2000/svg", "")  # a name, not an address
        assert "http" not in text and "import" not in text.replace("imports", "")
    assert str(view._esm).count("export default") == 1


def test_what_is_sent_to_the_browser_can_be_sent(view):
    state = view.get_state()
    json.dumps({key: value for key, value in state.items() if not isinstance(value, bytes)})
    assert state["label"] != InteractiveView.label.default_value


def test_every_file_of_the_folder_is_used():
    used = {"common.js", "widgets.css"}
    for source in HERE.glob("*.py"):
        used |= {f"{source.stem}.js"} & {path.name for path in HERE.glob("*.js")}
    assert used == {path.name for path in HERE.iterdir() if path.suffix in (".js", ".css")}


# ---------------------------------------------------------------- sampling explorer


def test_sampler_follows_its_settings():
    view = sampler()
    assert len(view.value["kept"]) == 30
    view.temperature, view.top_k = 0.5, 4
    now = view.value
    assert now["kept"] == randn(30).topk(4).indices.tolist()
    assert now["probs"].sum().item() == pytest.approx(1)
    assert "4 of 30 tokens stay" in view.describe()
    view.temperature = 0.0
    assert view.value["kept"] == [int(randn(30).argmax())]
    assert view.value["top_p"] is None


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 50), st.sampled_from([None, 1, 3, 40]), st.sampled_from([None, 0.1, 0.9]))
def test_sampler_keeps_what_the_filter_keeps(seed, top_k, top_p):
    logits = randn(30, seed=seed).round(decimals=1)  # with equal scores
    view = SamplingExplorer(logits, ["t"] * 30, top_k=top_k, top_p=top_p)
    expected = filter_logits(logits.double(), top_k, top_p).isfinite().nonzero().flatten()
    assert sorted(view.value["kept"]) == expected.tolist()


def test_sampler_takes_probabilities_and_sends_all_scores_in_order():
    view = SamplingExplorer(probs=[0.25, 0.5, 0.0, 0.25], labels=["a", " b", "c", "d"], rows=2)
    assert view.labels == ["␣b", "a"]
    assert view.value["kept"] == [1, 0, 3]
    sent = np.frombuffer(view.ranked, "<f8")
    assert np.exp(sent) == pytest.approx([0.5, 0.25, 0.25, 0])
    assert "␣b 50.0%" in view.describe()


def test_sampler_explains_wrong_scores():
    with pytest.raises(ValueError, match="either logits or probs"):
        SamplingExplorer(labels=["a"])
    with pytest.raises(ValueError, match=r"logits\[0, -1\]"):
        SamplingExplorer(randn(2, 3), ["a", "b", "c"])
    with pytest.raises(ValueError, match="NaN"):
        SamplingExplorer([float("nan")], ["a"])


# ---------------------------------------------------------------- merge stepper


def test_merges_end_where_the_tokenizer_does():
    tokenizer = BPETokenizer(learn_merges(count_pieces([TEXT, "another theatre"]), 12))
    for text in (TEXT, "then the theatre", "aaaa", "🐈 café"):
        steps = merge_steps(text, tokenizer)
        last = steps[-1].tokens if steps else tuple(bytes([b]) for b in text.encode())
        assert list(last) == [tokenizer.token_bytes(i) for i in tokenizer.encode(text)]
        assert [s.number for s in steps] == sorted({s.number for s in steps})
        for step in steps:
            assert b"".join(step.tokens) == text.encode()
            assert step.left + step.right in step.tokens


def test_stepper_goes_forwards_and_back():
    view = merges()
    start = view.value["tokens"]
    assert start == [bytes([b]) for b in TEXT.encode()] and view.value["merge"] is None
    view.step = 2
    assert len(view.value["tokens"]) < len(start)
    left, right = view.value["merge"]
    assert left + right in view.value["tokens"]
    view.step = 0
    assert view.value["tokens"] == start


def test_stepper_shows_broken_characters_and_refuses_too_much():
    view = BPEMergeStepper("猫", [(0xE7, 0x8C)])
    assert view.value["steps"] == 1
    assert "\\xe7\\x8c | \\xab" in view.describe()
    with pytest.raises(ValueError, match="a sentence or two"):
        BPEMergeStepper("a" * 401, [])
    with pytest.raises(ValueError, match="a sentence or two"):
        BPEMergeStepper("", [])
    with pytest.raises(ValueError, match="step 9 of 8"):
        merges(step=9)
    assert BPEMergeStepper("abc", []).bundle()["text/html"]  # nothing to merge is fine


# ---------------------------------------------------------------- attention heads


def test_heads_tell_the_row_that_was_chosen():
    view = heads()
    assert (view.value["head"], view.value["query"]) == (0, 4)
    view.head, view.query = 2, 1
    row = attention_weights(*randn(2, 3, 5, 4), causal_mask(5))[2, 1]
    assert view.value["weights"] == pytest.approx(row.tolist())
    assert view.value["looks_at"] == int(row.argmax())
    assert view.causal
    assert "in head 2" in view.describe()


def test_heads_without_a_mask_hide_nothing():
    view = AttentionHeads(attention_weights(*randn(2, 4, 4)), list("abcd"))
    assert not view.causal and view.n_head == 1
    assert len(view.figure().axes[0].texts) == 16


def test_heads_explain_wrong_weights():
    with pytest.raises(ValueError, match=r"weights\[0\]"):
        AttentionHeads(torch.eye(3).expand(1, 2, 3, 3), list("abc"))
    with pytest.raises(ValueError, match="after the softmax"):
        AttentionHeads(randn(2, 3, 3), list("abc"))
    with pytest.raises(ValueError, match="shorter text"):
        AttentionHeads(torch.eye(60), ["x"] * 60)
    with pytest.raises(ValueError, match="there are 3 heads"):
        heads(head=3)


# ---------------------------------------------------------------- causal probe


def test_probe_finds_the_future():
    view = probe(position=2)
    assert view.value["which"] == [0, 1, 2, 3, 4, 5]
    view.masked = True
    assert view.value["which"] == [2, 3, 4, 5]
    assert view.value["moved"][:2] == [0.0, 0.0]
    view.position = 5
    assert view.value["which"] == [5]
    view.change = 0.0
    assert view.value["which"] == []
    assert "no output move" in view.describe()


def test_outputs_moved_is_what_torch_finds():
    x, maps = randn(1, 6, 4).double(), randn(3, 4, 4, seed=5).double()

    def attend(x):
        q, k, v = (x @ w for w in maps)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)

    changed = x.clone()
    changed[0, 3] += 0.3
    expected = (attend(changed) - attend(x))[0].abs().amax(-1)
    moved = outputs_moved(x[0], *maps, 3, 0.3, True)
    assert torch.allclose(moved, expected, atol=1e-12)
    assert moved[3] > 0


def test_probe_explains_wrong_shapes():
    with pytest.raises(ValueError, match=r"x\[0\] of a batch"):
        CausalProbe(randn(1, 6, 4), list("attend"))
    with pytest.raises(ValueError, match=r"pass \.T"):
        CausalProbe(randn(6, 4), list("attend"), randn(3, 4), randn(3, 4))
    with pytest.raises(ValueError, match="position 6"):
        probe(position=6)
    assert CausalProbe(randn(1, 2), ["a"]).value["position"] == 0


# ---------------------------------------------------------------- samples over time


def test_replay_tells_the_checkpoint():
    view = replay()
    view.checkpoint = 1
    assert view.value == {"checkpoint": 1, "step": 10.0, "loss": 2.0, "sample": "the\nan"}
    assert "4.00 nats at step 0, 1.00 at step 20" in view.describe()
    line = (range(21), np.linspace(4, 1, 21))
    assert len(replay(curve=line).curve[0]) == 21


def test_replay_explains_wrong_lists():
    with pytest.raises(ValueError, match="as many of each"):
        SamplesOverTime([1, 2], [3.0], ["a"])
    with pytest.raises(ValueError, match="must rise"):
        SamplesOverTime([2, 1], [3.0, 2.0], ["a", "b"])
    with pytest.raises(ValueError, match="diverge"):
        SamplesOverTime([1], [float("nan")], ["a"])
    with pytest.raises(ValueError, match="equal length"):
        replay(curve=([1, 2], [3]))
