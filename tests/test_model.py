"""The model: shapes, counts, causality, cache, configuration, and the single-token product."""

import math

import pytest
import torch

import gptlib.linear
from gptlib.linear import Linear
from gptlib.model import GPT, GPTConfig, gelu, gelu_tanh, sinusoidal_positions
from gptlib.presets import PRESETS, get_preset

SMALL = {"vocab_size": 31, "block_size": 16, "n_layer": 2, "n_head": 2, "n_embd": 12}
VARIANTS = [
    {},
    {"norm": "post"},
    {"position": "sinusoidal"},
    {"activation": "gelu", "tie_weights": False},
    {"bias": False, "n_inner": 20},
    {"kernel": "naive"},
]


def small_model(seed=0, **changes):
    model = GPT(GPTConfig(**{**SMALL, **changes}))
    model.reset_parameters(torch.Generator().manual_seed(seed))
    return model


def random_ids(B=3, T=16, V=31, seed=1):
    return torch.randint(V, (B, T), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("changes", VARIANTS)
def test_shapes_loss_and_count(changes):
    model = small_model(**changes)
    ids, targets = random_ids(), random_ids(seed=2)
    logits, loss = model(ids, targets)
    assert logits.shape == (3, 16, 31)
    by_hand = -logits.double().log_softmax(-1).gather(-1, targets[..., None]).mean()
    assert loss.item() == pytest.approx(by_hand.item(), abs=1e-5)
    assert model(ids)[1] is None
    built = sum(p.numel() for p in model.parameters())
    assert model.config.count_parameters() == built == model.num_parameters()


@pytest.mark.parametrize("changes", VARIANTS)
def test_no_output_depends_on_the_future(changes):
    model = small_model(**changes).eval()
    ids = random_ids()
    changed = ids.clone()
    changed[:, 9] = (changed[:, 9] + 1) % 31
    moved = (model(ids)[0] - model(changed)[0]).abs().amax(dim=(0, 2))
    assert moved[:9].max() < 1e-6
    assert moved[9] > 1e-6


@pytest.mark.parametrize("changes", VARIANTS)
def test_cache_gives_the_logits_of_the_full_pass(changes):
    model = small_model(**changes).eval()
    ids = random_ids()
    with torch.inference_mode():
        full = model(ids)[0]
        cache = model.new_cache(3)
        parts = [model(part, cache=cache)[0] for part in ids.split([5, 1, 1, 6, 3], dim=1)]
    assert cache.length == 16
    assert torch.allclose(torch.cat(parts, dim=1), full, atol=1e-5)


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("seed", range(3))
def test_naive_and_fused_models_agree(norm, seed):
    naive = small_model(seed, norm=norm, kernel="naive").eval()
    fused = small_model(seed, norm=norm, kernel="fused").eval()
    ids = random_ids(seed=seed)
    assert torch.allclose(naive(ids)[0], fused(ids)[0], atol=1e-5)


def test_targets_of_minus_100_are_left_out():
    model = small_model()
    ids, targets = random_ids(B=1), random_ids(B=1, seed=2)
    masked = targets.clone()
    masked[:, :10] = -100
    logits, loss = model(ids, masked)
    kept = -logits.log_softmax(-1).gather(-1, targets[..., None])[:, 10:].mean()
    assert loss.item() == pytest.approx(kept.item(), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_ids_and_targets_of_every_integer_type(dtype):
    model, ids = small_model(), random_ids()
    logits, loss = model(ids, ids)
    same_logits, same_loss = model(ids.to(dtype), ids.to(dtype))
    assert torch.equal(logits, same_logits) and torch.equal(loss, same_loss)
    with pytest.raises(TypeError, match=r"torch\.float32; token ids are integers: use ids\.long"):
        model(ids.float())


def test_a_fresh_model_knows_nothing():
    model = small_model().eval()
    loss = model(random_ids(), random_ids(seed=2))[1]
    assert loss.item() == pytest.approx(math.log(31), abs=0.05)


def test_init_scales_what_writes_to_the_residual_stream():
    config = GPTConfig(vocab_size=50, block_size=8, n_layer=8, n_head=4, n_embd=128)
    model = GPT(config)
    block = model.blocks[3]
    assert block.mlp.up.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert block.mlp.down.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert block.attention.out.weight.std().item() == pytest.approx(0.02 / 4, rel=0.05)
    assert block.norm1.weight.eq(1).all() and block.mlp.up.bias.eq(0).all()


def test_reset_with_a_generator_is_reproducible_and_leaves_the_global_state():
    a = small_model(5)
    state_after_building = torch.get_rng_state()
    a.reset_parameters(torch.Generator().manual_seed(7))
    assert torch.equal(torch.get_rng_state(), state_after_building)
    b = small_model(7)
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_tied_weights_are_one_tensor():
    tied, untied = small_model(), small_model(tie_weights=False)
    assert tied.lm_head.weight is tied.token_embedding.weight
    assert untied.num_parameters() - tied.num_parameters() == 31 * 12


def test_gelu_forms():
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    exact = x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))
    approx = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    assert torch.allclose(gelu(x), exact, atol=1e-12)
    assert torch.allclose(gelu_tanh(x), approx, atol=1e-12)


def test_sinusoidal_positions_follow_the_formula():
    table = sinusoidal_positions(10, 6)
    for t in range(10):
        for i in range(3):
            angle = t / 10000 ** (2 * i / 6)
            assert table[t, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert table[t, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_config_round_trip_and_errors():
    config = GPTConfig(**SMALL)
    assert GPTConfig(**config.to_dict()) == config
    for changes, message in [
        ({"n_head": 5}, "multiple of n_head"),
        ({"n_layer": 0}, "n_layer is 0"),
        ({"vocab_size": 2.5}, "vocab_size is 2.5"),
        ({"norm": "middle"}, "choose one of pre, post"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"position": "sinusoidal", "n_embd": 9, "n_head": 3}, "must be even"),
        ({"n_inner": 0}, "n_inner is 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            GPTConfig(**{**SMALL, **changes})


def test_model_errors_say_what_to_do():
    model = small_model()
    with pytest.raises(ValueError, match="block_size is 16 but the sequence has 17 tokens"):
        model(random_ids(T=17))
    with pytest.raises(ValueError, match=r"expected \(B, T\)"):
        model(random_ids()[0])
    with pytest.raises(ValueError, match="they must be equal"):
        model(random_ids(), random_ids()[:, 1:])


def test_single_token_product_equals_the_batched_one(monkeypatch):
    monkeypatch.setattr(gptlib.linear, "LARGE", 1)
    torch.manual_seed(0)
    for bias in (True, False):
        layer = Linear(37, 53, bias=bias)
        x = torch.randn(1, 1, 37)
        with torch.inference_mode():
            single = layer(x)
        assert single.shape == (1, 1, 53)
        assert torch.allclose(single, layer(x), atol=1e-5)
        assert layer(x).requires_grad


# -- the published sizes


def test_every_published_size_is_there_and_close():
    names = "gpt1 gpt2 gpt2-medium gpt2-large gpt2-xl gpt3-small gpt3-medium gpt3-large gpt3-xl"
    assert set(names.split()) < set(PRESETS)
    assert sum(p.family == "GPT-3" for p in PRESETS.values()) == 8
    for preset in PRESETS.values():
        unexplained = preset.difference is None or abs(preset.difference) > 0.005
        assert preset.note or not unexplained, f"{preset.name}: say why the counts differ"


@pytest.mark.parametrize(
    ("name", "count"),
    [("gpt1", 116_534_784), ("gpt2", 124_439_808), ("gpt2-xl", 1_557_611_200)],
)
def test_counts_of_the_released_models(name, count):
    assert get_preset(name).computed == count


def test_count_equals_a_built_model_on_the_meta_device():
    for name in ("gpt1", "gpt2-medium", "gpt3-13b", "gpt3"):
        with torch.device("meta"):
            model = GPT(GPTConfig.from_preset(name))
        assert sum(p.numel() for p in model.parameters()) == PRESETS[name].computed


def test_from_preset_with_changes_and_unknown_name():
    config = GPTConfig.from_preset("gpt2-xl", n_layer=2)
    assert (config.n_layer, config.n_embd, config.n_head) == (2, 1600, 25)
    with pytest.raises(KeyError, match="gpt2-medium"):
        GPTConfig.from_preset("gpt4")
