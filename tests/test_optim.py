"""AdamW's groups and arithmetic, and the learning rate, against formulas written out here."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gptlib.model import GPT, GPTConfig
from gptlib.optim import adamw, parameter_groups, warmup_cosine


@pytest.fixture
def model():
    model = GPT(GPTConfig(vocab_size=11, block_size=8, n_layer=2, n_head=2, n_embd=8))
    model.reset_parameters(torch.Generator().manual_seed(0))
    return model


def names_in(group, model):
    members = {id(p) for p in group["params"]}
    return {name for name, p in model.named_parameters() if id(p) in members}


def test_groups_cover_each_parameter_once_and_split_by_kind(model):
    decay, rest = parameter_groups(model, 0.1)
    assert (decay["weight_decay"], rest["weight_decay"]) == (0.1, 0.0)
    decaying, other = names_in(decay, model), names_in(rest, model)
    assert decaying | other == {name for name, _ in model.named_parameters()}
    assert not decaying & other
    assert len(decay["params"]) + len(rest["params"]) == len(decaying | other)
    assert {"token_embedding.weight", "position_embedding.weight"} <= decaying
    assert "blocks.0.attention.qkv.weight" in decaying
    assert all(name.endswith(".bias") or "norm" in name for name in other)
    assert not any(name.endswith(".bias") or "norm" in name for name in decaying)


def test_frozen_parameters_are_left_out(model):
    model.blocks.requires_grad_(False)
    decay, rest = parameter_groups(model)
    assert not any("blocks" in name for g in (decay, rest) for name in names_in(g, model))
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable parameter"):
        parameter_groups(model)


@pytest.mark.parametrize("decay", [-0.1, math.nan, math.inf])
def test_bad_weight_decay(model, decay):
    with pytest.raises(ValueError, match="weight_decay"):
        parameter_groups(model, decay)


def test_three_steps_equal_the_papers_algorithm():
    layer = nn.Linear(3, 2).double()
    lr, decay, (b1, b2), eps = 0.05, 0.3, (0.9, 0.95), 1e-8
    optimizer = adamw(layer, lr, decay, (b1, b2), eps)
    expected = {n: p.detach().clone() for n, p in layer.named_parameters()}
    m = {n: torch.zeros_like(p) for n, p in expected.items()}
    v = {n: torch.zeros_like(p) for n, p in expected.items()}
    generator = torch.Generator().manual_seed(1)
    for t in (1, 2, 3):
        for name, p in layer.named_parameters():
            g = torch.randn(p.shape, generator=generator, dtype=p.dtype)
            p.grad = g
            m[name] = b1 * m[name] + (1 - b1) * g
            v[name] = b2 * v[name] + (1 - b2) * g**2
            update = (m[name] / (1 - b1**t)) / ((v[name] / (1 - b2**t)).sqrt() + eps)
            shrink = lr * decay * expected[name] if name == "weight" else 0.0
            expected[name] = expected[name] - lr * update - shrink
        optimizer.step()
    for name, p in layer.named_parameters():
        torch.testing.assert_close(p.detach(), expected[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("lr", [0.0, -1.0, math.nan])
def test_bad_lr(model, lr):
    with pytest.raises(ValueError, match="lr is"):
        adamw(model, lr)


@pytest.mark.parametrize("warmup", [0, 1, 10, 98])
def test_exact_endpoints(warmup):
    settings = dict(steps=100, warmup=warmup, lr=3e-4, min_lr=1e-5)
    assert warmup_cosine(warmup, **settings) == 3e-4
    assert warmup_cosine(99, **settings) == 1e-5
    assert warmup_cosine(100, **settings) == 1e-5
    if warmup:
        assert warmup_cosine(0, **settings) == 3e-4 / (warmup + 1)


def test_closed_form_between():
    settings = dict(steps=101, warmup=20, lr=1.0, min_lr=0.2)
    assert warmup_cosine(60, **settings) == pytest.approx(0.6)  # half-way down
    assert warmup_cosine(40, **settings) == pytest.approx(0.2 + 0.8 * (1 + math.sqrt(0.5)) / 2)
    assert warmup_cosine(9, **settings) == pytest.approx(10 / 21)


def test_without_room_to_fall():
    assert warmup_cosine(0, steps=1, warmup=0, lr=0.5, min_lr=0.1) == 0.5
    assert warmup_cosine(4, steps=5, warmup=4, lr=0.5, min_lr=0.1) == 0.5


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_rises_then_falls_between_its_bounds(data):
    steps = data.draw(st.integers(2, 200))
    warmup = data.draw(st.integers(0, steps - 1))
    lr = data.draw(st.floats(1e-6, 10))
    min_lr = lr * data.draw(st.floats(0, 1))
    rates = [
        warmup_cosine(i, steps=steps, warmup=warmup, lr=lr, min_lr=min_lr) for i in range(steps)
    ]
    up, down = rates[: warmup + 1], rates[warmup:]
    assert up == sorted(up)
    assert all(b <= a * (1 + 1e-12) for a, b in zip(down, down[1:], strict=False))
    assert max(rates) == lr
    assert min(down) >= min_lr * (1 - 1e-12)


@pytest.mark.parametrize(
    ("step", "changes", "message"),
    [
        (-1, {}, "step is -1"),
        (0, {"steps": 0}, "steps is 0"),
        (0, {"warmup": -1}, "warmup is -1"),
        (0, {"warmup": 10}, "warmup is 10 and steps 10"),
        (0, {"lr": 0.0}, "lr is 0.0"),
        (0, {"lr": math.inf}, "lr is inf"),
        (0, {"min_lr": 2.0}, "min_lr is 2.0"),
        (0, {"min_lr": -0.1}, "min_lr is -0.1"),
    ],
)
def test_bad_arguments(step, changes, message):
    with pytest.raises(ValueError, match=message):
        warmup_cosine(step, **(dict(steps=10, warmup=2, lr=1.0, min_lr=0.1) | changes))
