"""Writing 256 tokens with a KV cache, beside transformers and beside the memory's own limit."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.harness import Row, compare
from benchmarks.training_rows import transformers_gpt2
from gptlib.model import GPT, GPTConfig
from gptlib.sampling import generate

NEW_TOKENS = 256
PROMPT_TOKENS = 16


def weight_reader(model: GPT) -> Callable[[], None]:
    """Read, once, every weight that one new token needs, as fast as torch can add them up.

    That is all matrices, with the tied embedding counted once, and not the position table.
    """
    needed = sum(p.numel() for name, p in model.named_parameters() if "position" not in name)
    weights = torch.rand(needed)
    return lambda: weights.sum()


def our_generation(model: GPT, prompt: torch.Tensor) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(0)
    return lambda: generate(model, prompt, NEW_TOKENS, generator=generator)


def their_generation(config: GPTConfig, prompt: torch.Tensor) -> Callable[[], object]:
    theirs = transformers_gpt2(config).eval()
    mask = torch.ones_like(prompt)

    def run() -> object:
        return theirs.generate(
            prompt,
            attention_mask=mask,
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=True,
            top_k=0,
            pad_token_id=0,
        )

    return run


def random_prompt(config: GPTConfig, batch_size: int) -> torch.Tensor:
    return torch.randint(config.vocab_size, (batch_size, PROMPT_TOKENS))


def generate_124m_limit() -> Row:
    config = GPTConfig.from_preset("gpt2", dropout=0.0)
    model = GPT(config).eval()
    reader = weight_reader(model)

    def read_once_a_token() -> None:
        for _ in range(NEW_TOKENS):
            reader()

    return compare(
        "generate-124m",
        our_generation(model, random_prompt(config, 1)),
        read_once_a_token,
        peer_name="reading the weights once a token",
        target=0.9,
        rounds=3,
        per=NEW_TOKENS,
    )


def generate_124m_peer() -> Row:
    config = GPTConfig.from_preset("gpt2", dropout=0.0)
    prompt = random_prompt(config, 1)
    return compare(
        "generate-124m-peer",
        our_generation(GPT(config).eval(), prompt),
        their_generation(config, prompt),
        peer_name="transformers",
        target=1.0,
        rounds=3,
        per=NEW_TOKENS,
    )


def small_row(batch_size: int) -> Row:
    config = GPTConfig(vocab_size=65, block_size=512, n_layer=4, n_head=4, n_embd=128)
    prompt = random_prompt(config, batch_size)
    return compare(
        f"generate-small-b{batch_size}",
        our_generation(GPT(config).eval(), prompt),
        their_generation(config, prompt),
        peer_name="transformers",
        target=3.0,
        rounds=5,
        per=NEW_TOKENS,
    )


ROWS = {
    "generate-124m": generate_124m_limit,
    "generate-124m-peer": generate_124m_peer,
    "generate-small-b1": lambda: small_row(1),
    "generate-small-b32": lambda: small_row(32),
}
