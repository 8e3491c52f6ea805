"""A training step: forward, backward, clip, AdamW; beside transformers' GPT-2 of the same size.

Both sides get the same optimiser (torch's fused AdamW), the same batch and dropout 0, so the
rows compare the models.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.harness import Row, compare, seconds
from gptlib.model import GPT, GPTConfig
from gptlib.optim import adamw


def training_step(
    model: nn.Module, loss_of: Callable[[], Tensor], optimizer: torch.optim.Optimizer
) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss_of().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def transformers_gpt2(config: GPTConfig) -> nn.Module:
    """Their GPT-2 with our configuration, freshly initialised."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=config.vocab_size,
            n_positions=config.block_size,
            n_layer=config.n_layer,
            n_head=config.n_head,
            n_embd=config.n_embd,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def matmul_peak() -> float:
    """Floating-point operations a second in a 2048 x 2048 float32 matrix product."""
    n = 2048
    a, b = torch.randn(n, n), torch.randn(n, n)
    a @ b
    return 2 * n**3 / statistics.median(seconds(lambda: a @ b) for _ in range(5))


def step_flops(config: GPTConfig, batch_size: int) -> int:
    """Matrix-product operations of one step: three times the forward pass (backward is twice).

    Attention is counted in full, although a causal kernel may skip the masked half.
    """
    T, C = config.block_size, config.n_embd
    layer = 2 * T * (4 * C * C + 2 * C * config.inner_size) + 4 * T * T * C
    head = 2 * T * C * config.vocab_size
    return 3 * batch_size * (config.n_layer * layer + head)


def step_row(name: str, config: GPTConfig, batch_size: int, rounds: int, repeat: int) -> Row:
    shape = (batch_size, config.block_size)
    ids, targets = torch.randint(config.vocab_size, (2, *shape))
    ours, theirs = GPT(config), transformers_gpt2(config)
    peak = matmul_peak()
    row = compare(
        name,
        training_step(ours, lambda: ours(ids, targets)[1], adamw(ours)),
        training_step(
            theirs,
            lambda: theirs(input_ids=ids, labels=targets).loss,
            torch.optim.AdamW(theirs.parameters(), fused=True),
        ),
        peer_name="transformers' GPT-2",
        target=1.4,
        rounds=rounds,
        repeat=repeat,
    )
    rate = step_flops(config, batch_size) / (row.ours / 1e3)
    row.note = (
        f"{rate / 1e9:.0f} GFLOP/s in matrix products, {rate / peak:.0%} of the {peak / 1e9:.0f} "
        "measured for a 2048 x 2048 product"
    )
    return row


def train_small() -> Row:
    config = GPTConfig(vocab_size=65, block_size=64, n_layer=4, n_head=4, n_embd=128)
    return step_row("train-small", config, batch_size=12, rounds=15, repeat=8)


def train_medium() -> Row:
    config = GPTConfig(vocab_size=65, block_size=256, n_layer=6, n_head=6, n_embd=384)
    return step_row("train-medium", config, batch_size=8, rounds=7, repeat=1)


ROWS = {"train-small": train_small, "train-medium": train_medium}
