"""Every definition of a chapter is compared, or is listed here with the reason why it isn't.

The comparisons themselves stand in `test_definitions_01.py` and its neighbours, a file a chapter.
The second part proves the mechanism of `tests/chapter_definitions.py` on made notebooks.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from gptlib.attention import naive_attention
from tests.chapter_definitions import CHAPTERS, definitions, public_definitions
from tests.made_chapter import code, text

NUMBERED = [path for path in sorted(CHAPTERS.glob("[0-9][0-9]_*.ipynb")) if path.stem[:2] != "00"]

# What has no counterpart to be compared with, by chapter and reason. The chapter itself asserts
# what these show.
NOT_COMPARED = {
    "01": {
        "the guesses of the opening game": "guess_order",
        "a look-up in variables of the notebook": "pair_prob bigram_model charge",
        "part of Counts, which is compared": "count_contexts",
        "continues a text with models and filters that are compared": (
            "next_probs continue_text sampler knob_sampler greedy"
        ),
        "one experiment: its data, its runs, what it measures": (
            "language candidates score_ngrams train_neural_lm examples mlp_loss neighbour_purity "
            "first_return repeated"
        ),
        "prepares what is shown": "kept_words",
        "wrong on purpose": "divide_penalty",
    },
    "02": {
        "prepares what is shown": "pieces_of",
        "one experiment: its data, its runs, what it measures": (
            "chinese_corpus three_ways scores"
        ),
    },
    "03": {
        "one experiment: its data, its runs, what it measures": (
            "recall_batch recall_questions pair_batch pair_questions rewrite_batch "
            "rewrite_questions dice window_ceiling three_runs right_answers by_distance in_groups "
            "maps bytes_kept milliseconds"
        ),
        "a model of one experiment around parts that are compared": (
            "WindowMLP AverageModel DiceReader Recall PlacedRecall"
        ),
        "prepares what is shown": "say grows",
        "wrong on purpose": "leaky_weights",
    },
    "04": {
        "reads variables of the notebook": "output_at_the_end alone end_with_positions",
        "one experiment: its data, its runs, what it measures": (
            "recall_batch first_gradient recall_losses stream_sizes small_model as_rows sum_batch"
        ),
        "a callback of gptlib's training": "write_sample count_right",
        "wrong on purpose": "norm_with_var draw_unshifted",
    },
}

LIBRARY = "import math\nimport torch\nfrom torch import nn\nimport torch.nn.functional as F"
ATTENTION = """def attend_causally(q, k, v):
    scores = scaled_scores(q, k)
    T = q.shape[-2]
    future = torch.ones(T, T).triu(1).bool()
    return scores.masked_fill(future, HIDDEN).softmax(-1) @ v"""
SCORES = "def scaled_scores(q, k):\n    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])"


def compared(path):
    """The names that a file of comparisons takes out of its own chapter and then uses."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and n.args]
    asked = {
        name.value
        for call in calls
        if ast.unparse(call.func) == "definitions" and ast.unparse(call.args[0]) == "CHAPTER"
        for name in call.args[1:]
    }
    used = {
        n.attr
        for n in ast.walk(tree)
        if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "own"
    }
    assert asked <= used, f"{path.name} asks for {sorted(asked - used)} and does not use it"
    return asked


@pytest.mark.parametrize("chapter", NUMBERED, ids=lambda path: path.stem)
def test_every_definition_is_compared_or_listed_with_a_reason(chapter):
    number = chapter.stem[:2]
    comparisons = Path(__file__).with_name(f"test_definitions_{number}.py")
    assert comparisons.exists(), f"write tests/{comparisons.name}, as for the other chapters"
    found, tested = public_definitions(chapter), compared(comparisons)
    reasons = NOT_COMPARED.get(number, {})
    listed = [name for names in reasons.values() for name in names.split()]
    new = [name for name in found if name not in tested and name not in listed]
    assert not new, (
        f"{chapter.name} defines {', '.join(new)}: compare each with gptlib's in "
        f"tests/{comparisons.name}, or list it in NOT_COMPARED with the reason"
    )
    gone = sorted(set(listed) - set(found))
    assert not gone, (
        f"{chapter.name} no longer defines {', '.join(gone)}: take it out of NOT_COMPARED"
    )
    assert not tested & set(listed), "NOT_COMPARED lists what is compared"
    assert len(listed) == len(set(listed)), "NOT_COMPARED lists a name twice"


def test_a_public_definition_is_one_at_the_top_level_of_a_cell(store):
    source = "X = 1\ny = 2\ndef f():\n    def g():\n        return y\ndef _h():\n    pass"
    path = store([text("# A chapter"), code(source), code("class K:\n    pass")], "09_made.ipynb")
    assert public_definitions(path) == ["f", "K"]


@pytest.fixture
def made(store):
    """made(cells) -> a function like `definitions` that reads a notebook made of these cells."""

    def make(*sources: str):
        cells = [text("# A chapter"), *[code(source) for source in sources]]
        path = store(cells, "03_made.ipynb", "chapters")
        return lambda *names: definitions("03_made", *names, folder=path.parent)

    return make


def test_a_made_attention_equals_gptlibs(made):
    own = made(
        "%matplotlib inline\n" + LIBRARY,
        SCORES,
        "HIDDEN = float('-inf')\nx = torch.ones(10 ** 9, 10 ** 9)",
        ATTENTION,
        "assert False",
    )("attend_causally")
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        q, k, v = torch.randn(3, 2, 4, 7, 8, generator=generator, dtype=torch.float64)
        expected = naive_attention(q, k, v)
        torch.testing.assert_close(own.attend_causally(q, k, v), expected, rtol=1e-9, atol=1e-9)


def test_a_wrong_definition_is_seen_to_differ(made):
    own = made(LIBRARY, SCORES.replace("math.sqrt", "(lambda d: 1.0) "), "HIDDEN = -1e9", ATTENTION)
    q, k, v = torch.randn(3, 1, 1, 5, 8, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(
        own("attend_causally").attend_causally(q, k, v), naive_attention(q, k, v)
    )


def test_classes_decorators_defaults_and_bases_bring_what_they_need(made):
    own = made(
        LIBRARY + "\nfrom dataclasses import dataclass",
        "WIDTH: int = 3\nclass Base(nn.Module):\n    def size(self):\n        return WIDTH",
        "@dataclass\nclass Settings:\n    width: int = WIDTH",
        "class Layer(Base):\n    def __init__(self, settings=Settings()):\n"
        "        super().__init__()\n        self.w = nn.Linear(settings.width, helper(2))",
        "def helper(n):\n    return [n for n in range(n + 1)][-1]",
    )("Layer", "Settings")
    assert own.Layer().w.weight.shape == (2, 3) and own.Layer().size() == own.Settings().width == 3


def test_only_what_is_needed_is_executed(made):
    own = made("import nothing_like_this", "BROKEN = 1 / 0", "def double(x):\n    return 2 * x")
    assert own("double").double(4) == 8


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        (["y = 1"], "does not define f, which the test needs"),
        (["def f():\n    return g()"], "does not define g, which f needs"),
        (["scale = 2\ndef f(x):\n    return scale * x"], "assigns it as a variable"),
        (["def f():\n    return 1", "def f():\n    return 2"], r"defines f in cells \[1, 2\]"),
        (["if True:\n    def f():\n        return 1"], "top level of a cell"),
    ],
)
def test_what_cannot_be_extracted_is_explained(made, sources, words):
    with pytest.raises(LookupError, match=words):
        made(*sources)("f")


def test_a_missing_chapter_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no chapter 99_none.ipynb"):
        definitions("99_none", "f", folder=tmp_path)
