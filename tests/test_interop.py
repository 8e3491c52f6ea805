"""The same logits as transformers, for both of its GPT classes, in both directions."""

import random

import pytest
import torch
import transformers

from gptlib.interop import from_transformers, to_transformers
from gptlib.model import GPT, GPTConfig
from gptlib.sampling import generate

pytestmark = pytest.mark.oracle


def random_sizes(seed):
    rng = random.Random(seed)
    n_head = rng.choice([1, 2, 3, 4, 6])
    return {
        "vocab_size": rng.randint(11, 300),
        "n_positions": rng.randint(8, 64),
        "n_layer": rng.randint(1, 6),
        "n_head": n_head,
        "n_embd": n_head * rng.choice([4, 8, 13]),
        "bos_token_id": None,
        "eos_token_id": None,
    }


def scramble(model):
    """Random numbers everywhere, so that no bias or gain can be forgotten unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def gpt2(seed, **changes):
    torch.manual_seed(seed)
    config = transformers.GPT2Config(**random_sizes(seed), **changes)
    return scramble(transformers.GPT2LMHeadModel(config))


def openai_gpt(seed, **changes):
    torch.manual_seed(seed)
    config = transformers.OpenAIGPTConfig(**random_sizes(seed), **changes)
    return scramble(transformers.OpenAIGPTLMHeadModel(config))


def ids_for(hf_model):
    return torch.randint(hf_model.config.vocab_size, (3, hf_model.config.n_positions))


@pytest.mark.parametrize("make", [gpt2, openai_gpt])
@pytest.mark.parametrize("seed", range(5))
def test_logits_equal_both_ways(make, seed):
    hf_model = make(seed)
    ids = ids_for(hf_model)
    ours = from_transformers(hf_model)
    back = to_transformers(ours)
    assert type(back) is type(hf_model)
    with torch.inference_mode():
        theirs = hf_model(ids).logits
        assert torch.allclose(ours(ids)[0], theirs, atol=1e-4)
        assert torch.allclose(back(ids).logits, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"activation_function": "gelu"},
        {"n_inner": 17},
        {"tie_word_embeddings": False},
        {"layer_norm_epsilon": 1e-2},
        {"reorder_and_upcast_attn": True},
    ],
)
def test_gpt2_settings(changes):
    hf_model = gpt2(11, **changes)
    ids = ids_for(hf_model)
    ours = from_transformers(hf_model)
    with torch.inference_mode():
        assert torch.allclose(ours(ids)[0], hf_model(ids).logits, atol=1e-4)
        if "reorder_and_upcast_attn" not in changes:
            assert torch.allclose(to_transformers(ours)(ids).logits, ours(ids)[0], atol=1e-4)


def test_loss_and_gradient_equal_in_training():
    hf_model = gpt2(2, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0).train()
    ours = from_transformers(hf_model)
    ids = ids_for(hf_model)
    their_loss = hf_model(ids, labels=ids).loss  # they shift the labels themselves
    targets = torch.cat([ids[:, 1:], torch.full_like(ids[:, :1], -100)], dim=1)
    our_loss = ours(ids, targets)[1]
    assert our_loss.item() == pytest.approx(their_loss.item(), abs=1e-5)
    our_loss.backward()
    their_loss.backward()
    theirs = hf_model.transformer.wte.weight.grad
    assert torch.allclose(ours.token_embedding.weight.grad, theirs, atol=1e-5)


def test_greedy_continuation_equals_transformers():
    hf_model = gpt2(4)
    ids = ids_for(hf_model)[:, :3]
    room = min(20, hf_model.config.n_positions - 3)
    theirs = hf_model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        do_sample=False,
        max_new_tokens=room,
        pad_token_id=0,
    )
    assert torch.equal(generate(from_transformers(hf_model), ids, room, temperature=0), theirs)


def test_weights_are_copies():
    hf_model = gpt2(0)
    ours = from_transformers(hf_model)
    before = ours.token_embedding.weight.clone()
    with torch.no_grad():
        hf_model.transformer.wte.weight.zero_()
    assert torch.equal(ours.token_embedding.weight, before)


def test_reading_weights_draws_nothing_from_the_global_generator():
    config = transformers.GPT2Config(**random_sizes(0))
    hf_model = transformers.GPT2LMHeadModel(config)
    before = torch.get_rng_state()
    to_transformers(from_transformers(hf_model))
    assert torch.equal(before, torch.get_rng_state())


def test_errors_name_the_setting():
    with pytest.raises(ValueError, match="cannot read a Linear"):
        from_transformers(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="cannot read a GPT2Model"):
        from_transformers(gpt2(0).transformer)
    with pytest.raises(ValueError, match="activation is 'relu'"):
        from_transformers(gpt2(0, activation_function="relu"))
    with pytest.raises(ValueError, match="scale_attn_by_inverse_layer_idx"):
        from_transformers(gpt2(0, scale_attn_by_inverse_layer_idx=True))
    small = {"vocab_size": 20, "block_size": 8, "n_layer": 1, "n_head": 2, "n_embd": 8}
    with pytest.raises(ValueError, match="sinusoidal"):
        to_transformers(GPT(GPTConfig(**small, position="sinusoidal")))
    with pytest.raises(ValueError, match="bias=False"):
        to_transformers(GPT(GPTConfig(**small, bias=False)))
