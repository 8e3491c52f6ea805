"""Chapter 4 against gptlib and torch: the parts of a GPT, its start, its recipe, its training."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gptlib.model import GPT, MLP, Block, GPTConfig, gelu, gelu_tanh, sinusoidal_positions
from gptlib.optim import parameter_groups, warmup_cosine
from gptlib.presets import PRESETS
from gptlib.training import random_batch, train
from tests.chapter_definitions import definitions

CHAPTER = "04_gpt_model"
SEEDS = pytest.mark.parametrize("seed", range(3))
CLOSE = dict(rtol=1e-5, atol=1e-5)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def stirred(module, seed):
    """The module with random weights everywhere: a bias of 0 or a gain of 1 would hide errors."""
    generator = seeded(seed)
    with torch.no_grad():
        for p in module.parameters():
            noise = torch.randn(p.shape, generator=generator)
            p.copy_(0.3 * noise if p.dim() > 1 else 1 + 0.3 * noise)
    return module


def both_gpts(own, V, T, L, H, C, seed):
    """TinyGPT of the chapter and gptlib's GPT with the same weights; the names must agree too."""
    theirs = stirred(GPT(GPTConfig(V, T, L, H, C)), seed)
    ours = own.TinyGPT(V, T, L, H, C)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


@pytest.mark.parametrize(("length", "width"), [(1, 2), (5, 6), (60, 32)])
def test_sinusoids(length, width):
    own = definitions(CHAPTER, "sinusoid_table")
    found, expected = own.sinusoid_table(length, width), sinusoidal_positions(length, width)
    torch.testing.assert_close(found, expected, **CLOSE)


@SEEDS
@pytest.mark.parametrize("eps", [1e-5, 0.1])
@pytest.mark.parametrize("shape", [(4,), (3, 6), (2, 5, 16)])
def test_layer_norm_is_torchs(seed, eps, shape):
    own = definitions(CHAPTER, "layer_norm")
    generator = seeded(seed)
    x = 2 + 3 * torch.randn(shape, generator=generator)
    gain, bias = torch.randn(2, shape[-1], generator=generator)
    expected = F.layer_norm(x, shape[-1:], gain, bias, eps)
    torch.testing.assert_close(own.layer_norm(x, gain, bias, eps), expected, **CLOSE)
    expected = F.layer_norm(x, shape[-1:], gain, bias)
    torch.testing.assert_close(own.layer_norm(x, gain, bias), expected, **CLOSE)


@SEEDS
def test_both_gelus(seed):
    own = definitions(CHAPTER, "gelu_exact", "gelu_by_tanh")
    x = 3 * torch.randn(500, generator=seeded(seed), dtype=torch.float64)
    torch.testing.assert_close(own.gelu_exact(x), gelu(x), rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(own.gelu_by_tanh(x), gelu_tanh(x), rtol=1e-10, atol=1e-12)


@SEEDS
@pytest.mark.parametrize(("B", "T", "C", "H"), [(1, 1, 4, 1), (2, 7, 12, 3), (3, 16, 16, 8)])
def test_mlp_and_block_are_gptlibs(seed, B, T, C, H):
    own = definitions(CHAPTER, "MyMLP", "MyBlock")
    config = GPTConfig(vocab_size=2, block_size=T, n_layer=1, n_head=H, n_embd=C)
    x = torch.randn(B, T, C, generator=seeded(seed + 10))
    for ours, theirs in ((own.MyMLP(C), MLP(config)), (own.MyBlock(C, H), Block(config))):
        ours.load_state_dict(stirred(theirs, seed).state_dict())
        torch.testing.assert_close(ours(x), theirs(x), **CLOSE)


@SEEDS
@pytest.mark.parametrize("depth", [1, 3])
def test_the_tower_with_both_switches_is_a_stack_of_blocks(seed, depth):
    own = definitions(CHAPTER, "Tower")
    tower = stirred(own.Tower(depth, width=8, vocab=9, length=6), seed)
    ids = torch.randint(9, (2, 6), generator=seeded(seed))
    x = tower.tokens(ids) + tower.places.weight
    for block in tower.blocks:
        theirs = Block(GPTConfig(vocab_size=9, block_size=6, n_layer=1, n_head=2, n_embd=8))
        theirs.load_state_dict(block.state_dict())
        x = theirs(x)
    torch.testing.assert_close(tower(ids), tower.head(x), **CLOSE)


@SEEDS
@pytest.mark.parametrize(("V", "T", "L", "H", "C"), [(5, 3, 1, 1, 4), (31, 12, 3, 4, 16)])
def test_tiny_gpt_is_gptlibs_gpt(seed, V, T, L, H, C):
    own = definitions(CHAPTER, "TinyGPT")
    ours, theirs = both_gpts(own, V, T, L, H, C, seed)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert sum(p.numel() for p in ours.parameters()) == theirs.num_parameters()  # tied as well
    for length in (1, T):
        ids, targets = torch.randint(V, (2, 3, length), generator=seeded(seed))
        targets[0, -1] = -100
        (logits, loss), expected = ours(ids, targets), theirs(ids, targets)
        torch.testing.assert_close(logits, expected[0], **CLOSE)
        torch.testing.assert_close(loss, expected[1], **CLOSE)
        assert ours(ids)[1] is None and torch.equal(ours(ids)[0], logits)


@SEEDS
@pytest.mark.parametrize(("L", "std"), [(1, 0.02), (3, 0.06)])
def test_the_start_is_gptlibs_bit_for_bit(seed, L, std):
    own = definitions(CHAPTER, "TinyGPT", "init_weights")
    theirs = GPT(GPTConfig(11, 5, L, 2, 8, init_std=std))
    theirs.reset_parameters(seeded(seed))
    ours = stirred(own.TinyGPT(11, 5, L, 2, 8), seed)
    own.init_weights(ours, L, std, seeded(seed))
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert torch.equal(p, q), name
    ours.blocks[0].mlp.up.bias.data.fill_(5.0)
    own.init_weights(ours, L, generator=seeded(seed))  # the default is GPT-2's 0.02
    scale = ours.token_embedding.weight.std() / theirs.token_embedding.weight.std()
    assert scale.item() == pytest.approx(0.02 / std, rel=1e-4)


def test_parameters_are_counted_as_in_gptlib_also_of_every_published_size():
    own = definitions(CHAPTER, "parameter_count")
    configs = [p.config for p in PRESETS.values() if p.config.norm == "pre"]
    assert len(configs) >= 12
    configs += [GPTConfig(7, 3, 1, 1, 4), GPTConfig(65, 64, 4, 4, 48)]
    for c in configs:
        found = own.parameter_count(c.n_layer, c.n_embd, c.vocab_size, c.block_size)
        assert found == c.count_parameters(), c


@SEEDS
@pytest.mark.parametrize(("N", "B", "T"), [(5, 3, 4), (200, 1, 1), (1000, 12, 32)])
def test_a_batch_is_gptlibs(seed, N, B, T):
    own = definitions(CHAPTER, "draw_batch")
    ids = torch.randint(100, (N,), generator=seeded(seed))
    one, other = seeded(seed), seeded(seed)
    for _ in range(2):  # the second shows that both drew equally much
        found, expected = own.draw_batch(ids, B, T, one), random_batch(ids, B, T, other)
        assert torch.equal(found[0], expected[0]) and torch.equal(found[1], expected[1])


@SEEDS
@pytest.mark.parametrize(
    "settings",
    [{}, {"beta1": 0.8, "beta2": 0.999, "eps": 1e-3, "decay": 0.5}, {"decay": 0.0}],
)
def test_a_step_of_adamw_is_torchs(seed, settings):
    own = definitions(CHAPTER, "adamw_step")
    generator = seeded(seed)
    w = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    p, m, v = nn.Parameter(w.clone()), torch.zeros_like(w), torch.zeros_like(w)
    s = {"beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "decay": 0.1} | settings
    betas = (s["beta1"], s["beta2"])
    optimizer = torch.optim.AdamW([p], betas=betas, eps=s["eps"], weight_decay=s["decay"])
    for t in range(1, 8):
        p.grad = torch.randn(4, 3, generator=generator, dtype=torch.float64)
        optimizer.param_groups[0]["lr"] = 0.1 / t
        optimizer.step()
        w, m, v = own.adamw_step(w, p.grad, m, v, t, 0.1 / t, **settings)
        torch.testing.assert_close(w, p.detach(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("decay", [0.1, 0.5])
def test_decay_groups_hold_the_same_tensors(decay):
    own = definitions(CHAPTER, "decay_groups")
    for model in (GPT(GPTConfig(7, 4, 2, 2, 8)), nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))):
        pairs = zip(own.decay_groups(model, decay), parameter_groups(model, decay), strict=True)
        for ours, theirs in pairs:
            assert ours["weight_decay"] == theirs["weight_decay"]
            assert [id(p) for p in ours["params"]] == [id(p) for p in theirs["params"]]


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0), (10, 0), (10, 9), (100, 10), (57, 3)])
@pytest.mark.parametrize(("lr", "min_lr"), [(1e-3, 1e-4), (0.3, 0.0), (0.01, 0.01)])
def test_the_learning_rate_is_gptlibs_at_every_step(steps, warmup, lr, min_lr):
    own = definitions(CHAPTER, "learning_rate")
    for step in range(steps):
        expected = warmup_cosine(step, steps=steps, warmup=warmup, lr=lr, min_lr=min_lr)
        found = own.learning_rate(step, steps, warmup, lr, min_lr)
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


@SEEDS
def test_training_by_hand_loses_what_gptlibs_training_loses(seed):
    own = definitions(CHAPTER, "TinyGPT", "init_weights", "train_by_hand")
    ids = torch.randint(13, (400,), generator=seeded(seed)).sort().values.repeat(3)
    theirs = GPT(GPTConfig(13, 16, 2, 2, 16, init_std=0.06))
    theirs.reset_parameters(seeded(seed))
    ours = own.TinyGPT(13, 16, 2, 2, 16)
    own.init_weights(ours, 2, 0.06, seeded(seed))
    options = dict(batch_size=6, block_size=16, seed=seed)
    losses = own.train_by_hand(ours, ids, 25, 1e-2, 5, **options)
    history = train(theirs, ids, steps=25, lr=1e-2, warmup=5, progress=False, **options)
    assert losses == pytest.approx(history.train_loss, rel=1e-6, abs=1e-6)
    assert losses[-1] < 0.8 * losses[0]


@SEEDS
@pytest.mark.parametrize("order", [0, 1, 2, 4])
@pytest.mark.parametrize("strength", [5.0, 0.5])
def test_the_ngram_baseline_is_chapter_1s(seed, order, strength):
    own = definitions(CHAPTER, "ngram_loss", "how_often")
    first = definitions("01_next_token", "Counts", "Interpolated", "losses", "mean")
    V = 6
    learn, score = torch.randint(V - 1, (150,), generator=seeded(seed)).split([100, 50])
    score[20] = V - 1  # never seen in training
    counts = first.Counts(tuple(learn.tolist()), max(1, order), V)
    model = first.Interpolated(counts, strength if order else 1e18)  # so strong: uniform
    expected = first.mean(first.losses(model, tuple(score.tolist()), max(1, order))[1:])
    assert own.ngram_loss(learn, score, V, order, strength) == pytest.approx(expected, rel=1e-9)
    wanted = torch.tensor([0, V - 1, 3, 3])
    assert own.how_often(wanted, learn).tolist() == [learn.tolist().count(w) for w in [0, 5, 3, 3]]
