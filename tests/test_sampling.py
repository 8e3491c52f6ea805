"""Filters as exact sets, the draw as a distribution, the cache, and where generation stops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from gptlib.model import GPT, GPTConfig
from gptlib.sampling import filter_logits, generate, next_token_probs, penalise_repetition

FLOATS = st.floats(-8, 8, width=32)
LOGITS = st.lists(FLOATS, min_size=1, max_size=12)


def kept(logits, **filters):
    return set(
        torch.isfinite(filter_logits(torch.tensor(logits), **filters)).nonzero()[:, 0].tolist()
    )


def by_rank(logits):
    return sorted(range(len(logits)), key=lambda i: (-logits[i], i))


@given(LOGITS, st.integers(1, 14))
def test_top_k_keeps_exactly_the_k_most_probable(logits, k):
    assert kept(logits, top_k=k) == set(by_rank(logits)[:k])


@given(LOGITS, st.floats(0.01, 1.0))
def test_top_p_keeps_the_smallest_set_with_the_mass(logits, p):
    probs = torch.tensor(logits, dtype=torch.float64).softmax(-1).tolist()
    order = by_rank(logits)

    def smallest(mass):
        sizes = range(1, len(order) + 1)
        return next((n for n in sizes if sum(probs[i] for i in order[:n]) >= mass), len(order))

    found = kept(logits, top_p=p)
    assert found == set(order[: len(found)])  # a prefix of the ranking
    # Sums in float32 may put a case that lies on the boundary on either side of it.
    assert smallest(p - 1e-6) <= len(found) <= smallest(p + 1e-6)


def test_top_p_of_one_keeps_everything():
    assert kept([8.0, -6.0, -8.0, -80.0], top_p=1.0) == {0, 1, 2, 3}


def test_filters_on_a_case_worked_by_hand():
    probs = torch.tensor([0.1, 0.4, 0.05, 0.3, 0.15])
    logits = probs.log().tolist()
    assert kept(logits, top_k=2) == {1, 3}
    assert kept(logits, top_p=0.65) == {1, 3}
    assert kept(logits, top_p=0.75) == {1, 3, 4}
    assert kept(logits, top_k=3, top_p=0.5) == {1, 3}  # 0.4 / 0.85 is 0.47, so two are needed
    assert kept(logits, top_p=0.01) == {1}


def test_filter_returns_a_new_tensor_with_kept_logits_unchanged():
    logits = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    for filters in ({}, {"top_k": 3}, {"top_p": 0.7}):
        filtered = filter_logits(logits, **filters)
        assert torch.equal(logits, before) and filtered is not logits
        keep = torch.isfinite(filtered)
        assert torch.equal(filtered[keep], logits[keep])


@pytest.mark.oracle
def test_filters_equal_transformers_warpers():
    from transformers.generation.logits_process import (
        RepetitionPenaltyLogitsProcessor,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    g = torch.Generator().manual_seed(0)
    for _ in range(20):
        logits = 3 * torch.randn(5, 40, generator=g)
        ids = torch.randint(40, (5, 8), generator=g)
        theirs = TopKLogitsWarper(7)(ids, logits.clone())
        assert torch.equal(filter_logits(logits, top_k=7), theirs)
        theirs = TopPLogitsWarper(0.8)(ids, logits.clone())
        assert torch.equal(filter_logits(logits, top_p=0.8), theirs)
        theirs = RepetitionPenaltyLogitsProcessor(1.7)(ids, logits.clone())
        assert torch.allclose(penalise_repetition(logits, ids, 1.7), theirs)


def test_temperature_by_formula_and_greedy():
    logits = torch.tensor([[1.0, 3.0, 3.0, 0.5]])
    expected = (logits / 0.7).softmax(-1)
    assert torch.allclose(next_token_probs(logits, temperature=0.7), expected)
    assert next_token_probs(logits, temperature=0).tolist() == [[0.0, 1.0, 0.0, 0.0]]


# -- generate


@pytest.fixture(scope="module")
def model():
    config = GPTConfig(vocab_size=29, block_size=24, n_layer=2, n_head=2, n_embd=16, init_std=0.3)
    gpt = GPT(config)
    gpt.reset_parameters(torch.Generator().manual_seed(3))
    return gpt.eval()


def prompt(B=3, T=5, V=29, seed=0):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "settings_",
    [
        {},
        {"temperature": 0},
        {"top_k": 5},
        {"top_p": 0.8},
        {"repetition_penalty": 1.3},
        {"temperature": 0, "repetition_penalty": 2.0},
    ],
)
@pytest.mark.parametrize("T", [1, 5, 23, 24, 40])
def test_cache_gives_the_same_tokens_also_past_the_block(model, settings_, T):
    runs = [
        generate(
            model,
            prompt(T=T),
            30,
            generator=torch.Generator().manual_seed(4),
            use_cache=flag,
            **settings_,
        )
        for flag in (True, False)
    ]
    assert torch.equal(*runs)
    assert runs[0].shape == (3, T + 30)
    assert torch.equal(runs[0][:, :T], prompt(T=T))


def test_greedy_takes_the_most_probable_token_of_a_full_pass(model):
    ids = generate(model, prompt(), 12, temperature=0)
    for end in range(5, 17):
        logits = model(ids[:, :end])[0][:, -1]
        assert torch.equal(ids[:, end], logits.argmax(-1))


def test_draws_follow_the_distribution(model):
    ids = prompt(B=1).expand(4000, -1)
    drawn = generate(model, ids, 1, top_k=8, generator=torch.Generator().manual_seed(0))[:, -1]
    with torch.inference_mode():
        probs = next_token_probs(model(ids[:1])[0][:, -1], top_k=8)[0]
    counts = torch.bincount(drawn, minlength=29)
    allowed = probs > 0
    assert counts[~allowed].sum() == 0
    assert (
        chisquare(
            counts[allowed], 4000 * probs[allowed].double() / probs[allowed].double().sum()
        ).pvalue
        > 0.001
    )


def test_rows_stop_alone_and_generation_stops_with_the_last(model):
    free = generate(model, prompt(B=6), 18, generator=torch.Generator().manual_seed(1))
    stop = int(free[0, 9])
    ids = generate(model, prompt(B=6), 18, stop=stop, generator=torch.Generator().manual_seed(1))
    lengths = []
    for row, free_row in zip(ids[:, 5:], free[:, 5:], strict=True):
        hits = (row == stop).nonzero()
        end = int(hits[0]) + 1 if len(hits) else len(row)
        lengths.append(end)
        assert torch.equal(row[:end], free_row[:end])
        assert (row[end:] == stop).all()
    assert ids.size(1) - 5 == max(lengths)


def test_several_stop_tokens_and_none(model):
    ids = generate(
        model, prompt(B=2), 10, stop=range(29), generator=torch.Generator().manual_seed(0)
    )
    assert ids.shape == (2, 6)
    assert generate(model, prompt(B=2), 10, stop=[]).shape == (2, 15)
    assert torch.equal(generate(model, prompt(), 0), prompt())


@pytest.mark.parametrize("as_one", [int, np.int64, torch.tensor], ids=lambda f: f.__name__)
def test_stop_and_top_k_may_be_any_whole_number(model, as_one):
    stopped = generate(model, prompt(), 12, temperature=0, stop=as_one(5), top_k=as_one(3))
    assert torch.equal(stopped, generate(model, prompt(), 12, temperature=0, stop=[5], top_k=3))


def test_result_can_be_trained_on(model):
    ids = generate(model, prompt(B=2), 4)
    loss = model(ids[:, :-1], ids[:, 1:])[1]
    loss.backward()
    assert model.token_embedding.weight.grad.abs().sum() > 0
    model.zero_grad()


def test_mode_and_threads_are_given_back(model):
    threads = torch.get_num_threads()
    model.train()
    generate(model, prompt(B=1), 3)
    assert model.training and torch.get_num_threads() == threads
    model.eval()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": torch.zeros(4, dtype=torch.long)}, r"expected \(B, T\)"),
        ({"ids": torch.zeros(1, 0, dtype=torch.long)}, "the prompt is empty"),
        ({"ids": torch.zeros(1, 3)}, "token ids are integers"),
        ({"ids": torch.full((1, 3), 29)}, "the model knows 0 to 28"),
        ({"max_new_tokens": -1}, "it must be 0 or more"),
        ({"temperature": -0.5}, "temperature is -0.5"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_k": 2.5}, "top_k is 2.5"),
        ({"top_k": 2.0}, "top_k is 2.0"),
        ({"top_k": float("inf")}, "top_k is inf"),
        ({"temperature": 0, "top_p": 1.5}, "top_p is 1.5"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0"),
    ],
)
def test_errors_say_what_to_do(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        generate(**{"model": model, "ids": prompt(), "max_new_tokens": 3, **arguments})


def test_a_prompt_that_is_no_tensor_is_named(model):
    with pytest.raises(TypeError, match=r"ids is a list; expected a tensor .* torch\.tensor\("):
        generate(model, [1, 2], 3)
