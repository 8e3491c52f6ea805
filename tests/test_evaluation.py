"""Evaluation against predictions made one token at a time in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from gptlib.evaluation import Evaluation, evaluate
from gptlib.model import GPT, GPTConfig

V, T = 13, 6


@pytest.fixture(scope="module")
def model():
    model = GPT(GPTConfig(V, T, n_layer=2, n_head=2, n_embd=8, init_std=0.5)).double()
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model.eval()


def some_ids(n, seed=0):
    return torch.randint(V, (n,), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def one_at_a_time(model, ids, block_size, stride):
    """Mean surprise of tokens 1 to N-1, each from the first window that reaches it."""
    total = 0.0
    for position in range(1, len(ids)):
        start = 0
        while start + block_size < position:
            start += stride
        logits, _ = model(ids[start:position][None])
        total -= F.log_softmax(logits[0, -1], dim=-1)[ids[position]].item()
    return total / (len(ids) - 1)


@pytest.mark.parametrize("n", [2, 3, T, T + 1, T + 2, 2 * T, 2 * T + 1, 4 * T + 4, 50])
@pytest.mark.parametrize("stride", [None, 1, 4, T])
def test_equals_one_token_at_a_time(model, n, stride):
    ids = some_ids(n)
    result = evaluate(model, ids, batch_size=3, stride=stride)
    assert result.loss == pytest.approx(one_at_a_time(model, ids, T, stride or T), abs=1e-12)
    assert result.predicted == n - 1


def test_ragged_last_window_weighs_by_its_tokens(model):
    ids = some_ids(T + 2, seed=3)  # a window of T targets, then one of a single target
    with torch.no_grad():
        first = model(ids[:T][None], ids[1 : T + 1][None])[1].item()
        second = model(ids[T : T + 1][None], ids[T + 1 :][None])[1].item()
    assert abs(first - second) > 0.1  # or the test could not tell the two means apart
    assert evaluate(model, ids).loss == pytest.approx((T * first + second) / (T + 1), abs=1e-12)


@pytest.mark.parametrize("batch_size", [1, 2, 7, 100])
@pytest.mark.parametrize("stride", [None, 2])
def test_batch_size_does_not_matter(model, batch_size, stride):
    ids = some_ids(95)
    expected = evaluate(model, ids, batch_size=5, stride=stride).loss
    result = evaluate(model, ids, batch_size=batch_size, stride=stride)
    assert result.loss == pytest.approx(expected, abs=1e-12)


def test_every_target_is_scored_once_whatever_the_stride():
    ids = torch.arange(60)  # each token tells its position
    for block_size in (1, 4, 7, 59, 100):
        for stride in range(1, min(block_size, 9) + 1):
            scored = []

            def spy(x, y, scored=scored):
                assert torch.equal(y[y != -100], (x + 1)[y != -100])
                scored += y[y != -100].tolist()
                return None, torch.tensor(1.0)

            evaluate(spy, ids, block_size=block_size, stride=stride, batch_size=3)
            assert sorted(scored) == list(range(1, 60)), (block_size, stride)


def test_shorter_block_size_than_the_models(model):
    ids = some_ids(40)
    assert evaluate(model, ids, block_size=3).loss == pytest.approx(
        one_at_a_time(model, ids, 3, 3), abs=1e-12
    )


def test_uniform_model_has_log_v():
    def uniform(x, y):
        logits = torch.zeros(*x.shape, 8)
        return logits, F.cross_entropy(logits.flatten(0, 1), y.flatten())

    result = evaluate(uniform, torch.randint(8, (1000,)), block_size=64, text="é" * 500)
    assert result.loss == pytest.approx(math.log(8))
    assert result.perplexity == pytest.approx(8)
    assert result.bits_per_token == pytest.approx(3)
    assert result.bits_per_character == pytest.approx(6)  # two tokens a character
    assert result.bits_per_byte == pytest.approx(3)  # é has two bytes
    assert result.bits_per(250) == pytest.approx(12)


def test_a_broken_model_has_an_infinite_perplexity_not_an_error():
    broken = Evaluation(loss=900.0, predicted=1)
    assert broken.perplexity == math.inf and "perplexity inf" in str(broken)


class Letters:
    def encode(self, text):
        return [ord(c) - ord("a") for c in text]

    def decode(self, ids):
        return "".join(chr(i + ord("a")) for i in ids)


def test_tokenizer_gives_the_text(model):
    text = "abcdefgabcklmabc"
    ids = torch.tensor(Letters().encode(text))
    result = evaluate(model, ids, tokenizer=Letters())
    assert (result.characters, result.bytes) == (len(text), len(text))
    # One token a character: the two units are the same number.
    assert result.bits_per_character == pytest.approx(result.bits_per_token, rel=1e-15)
    assert evaluate(model, ids, text=text, tokenizer=Letters()) == result
    with pytest.raises(ValueError, match="another text"):
        evaluate(model, ids, text=text + "a", tokenizer=Letters())


def test_bits_need_a_text():
    with pytest.raises(ValueError, match="text=..."):
        _ = Evaluation(loss=1.0, predicted=9).bits_per_character
    with pytest.raises(ValueError, match="at least one"):
        Evaluation(loss=1.0, predicted=9).bits_per(0)
    assert "perplexity 2.72" in str(Evaluation(loss=1.0, predicted=9))


def test_mode_and_gradients_are_left_alone():
    model = GPT(GPTConfig(V, T, n_layer=1, n_head=2, n_embd=8, dropout=0.5))
    ids = some_ids(200)
    model.train()
    first, second = evaluate(model, ids), evaluate(model, ids)
    assert first == second  # dropout was off
    assert model.training and model.blocks[0].training
    assert all(p.grad is None for p in model.parameters())
    assert not evaluate_in_eval_mode(model, ids).training

    def broken(x, y):
        raise RuntimeError("broken")

    model.forward = broken
    model.train()
    with pytest.raises(RuntimeError, match="broken"):
        evaluate(model, ids)
    assert model.training


def evaluate_in_eval_mode(model, ids):
    evaluate(model.eval(), ids)
    return model


@pytest.mark.parametrize(
    ("ids", "options", "error", "message"),
    [
        ([1, 2, 3], {}, TypeError, "torch.tensor"),
        (torch.zeros(2, 3, dtype=torch.long), {}, ValueError, "shape"),
        (torch.zeros(5), {}, TypeError, "integers"),
        (torch.tensor([1]), {}, ValueError, "1 tokens"),
        (torch.tensor([1, V]), {}, ValueError, "another tokenizer"),
        (torch.tensor([1, -1]), {}, ValueError, "another tokenizer"),
        (torch.tensor([1, 2]), {"stride": 0}, ValueError, "stride is 0"),
        (torch.tensor([1, 2]), {"stride": T + 1}, ValueError, "stride is 7"),
        (torch.tensor([1, 2]), {"batch_size": 0}, ValueError, "batch_size 0"),
    ],
)
def test_bad_arguments(model, ids, options, error, message):
    with pytest.raises(error, match=message):
        evaluate(model, ids, **options)


def test_block_size_is_needed_without_a_config():
    with pytest.raises(ValueError, match="pass block_size"):
        evaluate(lambda x, y: (None, torch.tensor(0.0)), torch.tensor([1, 2]))
