"""What a chapter builds by hand equals what gptlib holds, on random input.

The first part is the comparisons, one test a definition; the second proves the mechanism of
`tests/chapter_definitions.py` on made notebooks.
"""

from __future__ import annotations

import pytest
import torch

from gptlib.attention import naive_attention
from tests.chapter_definitions import definitions
from tests.made_chapter import code, text

LIBRARY = "import math\nimport torch\nfrom torch import nn\nimport torch.nn.functional as F"
ATTENTION = """def attend_causally(q, k, v):
    scores = scaled_scores(q, k)
    T = q.shape[-2]
    future = torch.ones(T, T).triu(1).bool()
    return scores.masked_fill(future, HIDDEN).softmax(-1) @ v"""
SCORES = "def scaled_scores(q, k):\n    return q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])"


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
