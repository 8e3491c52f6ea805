"""The optimizer and the learning rate of a GPT: AdamW with its two groups, warm-up and cosine."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

# Where torch has one kernel that updates all tensors of a group. On a CPU it was measured
# faster than the loop over tensors, because a small GPT has many small tensors.
FUSED_DEVICES = ("cpu", "cuda")


def parameter_groups(model: nn.Module, weight_decay: float = 0.1) -> list[dict[str, Any]]:
    """Split the trainable parameters in two groups: those that decay and those that do not.

    Everything with two dimensions or more decays: the matrices and both embeddings. Biases and
    LayerNorm gains do not. Decay pulls a weight to 0; that limits how strongly a matrix can
    stretch its input, but for a gain, whose neutral value is 1, or a bias it only does harm.

    Embeddings are where implementations differ. GPT-1 regularised "all non bias or gain weights"
    (Radford et al. 2018, section 4.1), which includes them; nanoGPT does so too, minGPT leaves
    them out. They decay here: with tied weights the token embedding *is* the output matrix.

    Frozen parameters are left out; a tied weight appears once. Returns two dictionaries with
    ``params`` and ``weight_decay``, decaying first, as ``torch.optim`` takes them.
    Raises ValueError when nothing can be trained. Built in chapter 4.
    """
    if not (math.isfinite(weight_decay) and weight_decay >= 0):
        raise ValueError(f"weight_decay is {weight_decay}; it must be 0 or more, for example 0.1")
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise ValueError(
            "the model has no trainable parameter: every requires_grad is False; "
            "call model.requires_grad_(True), or unfreeze the part that should learn"
        )
    return [
        {"params": [p for p in trainable if p.dim() >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.dim() < 2], "weight_decay": 0.0},
    ]


def adamw(
    model: nn.Module,
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-8,
) -> torch.optim.AdamW:
    """AdamW over :func:`parameter_groups`, with the settings of GPT-3.

    Source: Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization",
    arXiv:1711.05101, algorithm 2; the values of ``betas``, ``eps`` and ``weight_decay`` from
    Brown et al. 2020, arXiv:2005.14165, appendix B. As in torch, the decay is multiplied by the
    learning rate: one step takes ``lr * weight_decay`` of a weight away. Built in chapter 4.
    """
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr is {lr}; it must be above 0, for example 1e-3")
    groups = parameter_groups(model, weight_decay)
    fused = all(p.device.type in FUSED_DEVICES for group in groups for p in group["params"])
    # None, not False: elsewhere torch then picks its own best implementation.
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=fused or None)


def warmup_cosine(
    step: int, *, steps: int, warmup: int = 0, lr: float, min_lr: float = 0.0
) -> float:
    """The learning rate of update number ``step`` (the first is 0, the last ``steps - 1``).

    It rises in equal parts to ``lr``, which update ``warmup`` is the first to use, and falls
    along half a cosine to ``min_lr`` at the last update. Exactly: ``lr / (warmup + 1)`` at 0,
    ``lr`` at ``warmup``, ``min_lr`` at ``steps - 1`` and after it. (With ``warmup = steps - 1``
    there is no room to fall, and the last update uses ``lr``.)

    Source: Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, one cycle; the linear
    warm-up before it and ``min_lr = lr / 10`` as in Brown et al. 2020, appendix B.
    Built in chapter 4.
    """
    if step < 0:
        raise ValueError(f"step is {step}; updates are counted from 0")
    if steps < 1:
        raise ValueError(f"steps is {steps}; there must be at least 1")
    if not 0 <= warmup < steps:
        raise ValueError(
            f"warmup is {warmup} and steps {steps}: the warm-up must be 0 or more and shorter "
            "than the run; a tenth of the steps is usually enough"
        )
    if not (math.isfinite(lr) and lr > 0):
        raise ValueError(f"lr is {lr}; it must be above 0, for example 1e-3")
    if not 0 <= min_lr <= lr:
        raise ValueError(f"min_lr is {min_lr}; it must lie between 0 and lr, which is {lr}")
    if step < warmup:
        return lr * (step + 1) / (warmup + 1)
    if step == warmup:
        return float(lr)
    if step >= steps - 1:
        return float(min_lr)
    progress = (step - warmup) / (steps - 1 - warmup)  # above 0, below 1
    return min_lr + (lr - min_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))
