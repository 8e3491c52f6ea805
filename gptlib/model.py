"""One GPT for the whole lineage, chosen by a configuration.

Letters for shapes, everywhere in the project: B batch, T time (positions of the input),
S positions that may be looked at (T plus what a cache holds), C channels (``n_embd``),
H heads, D head size (C / H), V vocabulary, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gptlib.attention import KERNELS, CausalSelfAttention, LayerCache
from gptlib.linear import Linear


@dataclass(frozen=True)
class GPTConfig:
    """Everything that tells one member of the family from another.

    ``norm``: "pre" (GPT-2 and later: LayerNorm before each sublayer, one more at the end) or
    "post" (GPT-1: LayerNorm after each residual addition).
    ``position``: "learned" (all GPTs) or "sinusoidal" (Vaswani et al. 2017, section 3.5).
    ``activation``: "gelu_tanh" (the tanh form that the GPTs use) or "gelu" (exact, by erf);
    Hendrycks and Gimpel 2016, section 2.
    ``n_inner``: width of the MLP, 4 times ``n_embd`` unless given.
    ``scale_residual_init``: divide the init of layers that write to the residual stream by
    sqrt(2 L) (Radford et al. 2019, section 2.3, in minGPT's reading).
    ``kernel``: "fused" or "naive" attention; the same function, see :mod:`gptlib.attention`.
    """

    vocab_size: int
    block_size: int
    n_layer: int
    n_head: int
    n_embd: int
    norm: Literal["pre", "post"] = "pre"
    position: Literal["learned", "sinusoidal"] = "learned"
    activation: Literal["gelu", "gelu_tanh"] = "gelu_tanh"
    n_inner: int | None = None
    bias: bool = True
    tie_weights: bool = True
    dropout: float = 0.0
    layer_norm_eps: float = 1e-5
    init_std: float = 0.02
    scale_residual_init: bool = True
    kernel: Literal["fused", "naive"] = "fused"

    def __post_init__(self) -> None:
        for name in ("vocab_size", "block_size", "n_layer", "n_head", "n_embd"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} is {value!r}; it must be a whole number of at least 1")
        if self.n_inner is not None and (not isinstance(self.n_inner, int) or self.n_inner < 1):
            raise ValueError(
                f"n_inner is {self.n_inner!r}; give a whole number of at least 1, or None"
            )
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_embd is {self.n_embd} and n_head is {self.n_head}: the heads share the "
                "channels, so n_embd must be a multiple of n_head"
            )
        if self.position == "sinusoidal" and self.n_embd % 2:
            raise ValueError(
                f"n_embd is {self.n_embd}: sinusoidal positions pair sines with cosines, "
                "so n_embd must be even"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1")
        choices = {
            "norm": ("pre", "post"),
            "position": ("learned", "sinusoidal"),
            "activation": tuple(ACTIVATIONS),
            "kernel": tuple(KERNELS),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; choose one of {', '.join(allowed)}"
                )

    @property
    def head_size(self) -> int:
        """D, the channels of one head."""
        return self.n_embd // self.n_head

    @property
    def inner_size(self) -> int:
        """Width of the MLP's hidden layer."""
        return self.n_inner or 4 * self.n_embd

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> GPTConfig:
        """The configuration of a published model, for example ``from_preset("gpt2-xl")``.

        ``changes`` replace single fields: ``from_preset("gpt2", n_layer=2)``.
        See :data:`gptlib.presets.PRESETS` for the names.
        """
        from gptlib.presets import get_preset  # the tables import this class

        return replace(get_preset(name).config, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a JSON file; ``GPTConfig(**d)`` is the way back."""
        return asdict(self)

    def count_parameters(self) -> int:
        """Number of parameters of ``GPT(self)``, without building it. Derived in chapter 4."""
        C, inner, bias = self.n_embd, self.inner_size, int(self.bias)
        norm = C * (1 + bias)
        attention = C * 3 * C + bias * 3 * C + C * C + bias * C
        mlp = C * inner + bias * inner + inner * C + bias * C
        total = self.n_layer * (attention + mlp + 2 * norm) + self.vocab_size * C
        total += norm if self.norm == "pre" else 0
        total += self.block_size * C if self.position == "learned" else 0
        total += 0 if self.tie_weights else self.vocab_size * C
        return total


def gelu(x: Tensor) -> Tensor:
    """x times the probability that a standard normal is below x: exact form."""
    return F.gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """The tanh approximation of GELU that GPT-1, GPT-2 and GPT-3 use."""
    return F.gelu(x, approximate="tanh")


ACTIVATIONS = {"gelu": gelu, "gelu_tanh": gelu_tanh}


def sinusoidal_positions(length: int, n_embd: int) -> Tensor:
    """Fixed position vectors ``(length, n_embd)``: sine in even channels, cosine in odd ones.

    Source: Vaswani et al. 2017, section 3.5. Built in chapter 4.
    """
    position = torch.arange(length).unsqueeze(1)  # (T, 1)
    rate = torch.exp(torch.arange(0, n_embd, 2) * (-math.log(10000.0) / n_embd))  # (C / 2,)
    table = torch.empty(length, n_embd)
    table[:, 0::2] = torch.sin(position * rate)
    table[:, 1::2] = torch.cos(position * rate)
    return table


class MLP(nn.Module):
    """Two layers on each position alone, ``(B, T, C)`` to ``(B, T, C)``. Built in chapter 4."""

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.up = Linear(config.n_embd, config.inner_size, bias=config.bias)
        self.down = Linear(config.inner_size, config.n_embd, bias=config.bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))


class Block(nn.Module):
    """One layer: attention moves information between positions, the MLP works on each of them.

    Source: Radford et al. 2018 (post-LN), 2019 section 2.3 (pre-LN). Built in chapter 4.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.pre_norm = config.norm == "pre"
        self.norm1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_eps, bias=config.bias)
        self.attention = CausalSelfAttention(
            config.n_embd,
            config.n_head,
            bias=config.bias,
            dropout=config.dropout,
            kernel=config.kernel,
        )
        self.norm2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_eps, bias=config.bias)
        self.mlp = MLP(config)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()

    def forward(self, x: Tensor, cache: LayerCache | None = None) -> Tensor:
        if self.pre_norm:
            x = x + self.dropout(self.attention(self.norm1(x), cache))
            return x + self.dropout(self.mlp(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.attention(x, cache)))
        return self.norm2(x + self.dropout(self.mlp(x)))


class KVCache:
    """What every layer has computed for the tokens so far, so that each is computed once.

    Make one with ``model.new_cache(batch_size)`` and pass it to ``model(ids, cache=cache)``:
    ``ids`` are then only the *new* tokens. Inference only. Built in chapter 6.
    """

    def __init__(self, layers: list[LayerCache]):
        self.layers = layers

    @property
    def length(self) -> int:
        """Number of positions held."""
        return self.layers[0].length

    def __iter__(self) -> Iterator[LayerCache]:
        return iter(self.layers)


class GPT(nn.Module):
    """A decoder-only Transformer: ``ids (B, T)`` to ``logits (B, T, V)``.

    ``logits, loss = model(ids, targets)``; ``loss`` is the mean cross-entropy in nats over the
    targets that are not -100, or None without targets. Built in chapter 4.
    """

    def __init__(self, config: GPTConfig):
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        if config.position == "learned":
            self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        else:
            table = sinusoidal_positions(config.block_size, config.n_embd)
            self.register_buffer("position_table", table, persistent=False)
        self.dropout = nn.Dropout(config.dropout) if config.dropout else nn.Identity()
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        pre_norm = config.norm == "pre"
        self.final_norm = (
            nn.LayerNorm(config.n_embd, eps=config.layer_norm_eps, bias=config.bias)
            if pre_norm
            else nn.Identity()
        )
        self.lm_head = Linear(config.n_embd, config.vocab_size, bias=False)
        if config.tie_weights:
            self.lm_head.weight = self.token_embedding.weight
        self.reset_parameters()

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw all weights anew: normal(0, ``init_std``), biases 0, LayerNorm gain 1.

        With a ``generator`` the draw is reproducible and leaves torch's global state alone.
        """
        config = self.config
        residual_std = config.init_std
        if config.scale_residual_init:
            residual_std /= math.sqrt(2 * config.n_layer)
        for name, parameter in self.named_parameters():  # a tied weight appears once
            if parameter.dim() < 2:
                nn.init.ones_(parameter) if _is_gain(name) else nn.init.zeros_(parameter)
            else:
                writes_to_stream = name.endswith(("attention.out.weight", "mlp.down.weight"))
                std = residual_std if writes_to_stream else config.init_std
                nn.init.normal_(parameter, std=std, generator=generator)

    @property
    def device(self) -> torch.device:
        return self.token_embedding.weight.device

    def new_cache(self, batch_size: int, length: int | None = None) -> KVCache:
        """An empty cache for ``length`` positions (``block_size`` unless given)."""
        config, weight = self.config, self.token_embedding.weight
        shape = (batch_size, config.n_head, length or config.block_size, config.head_size)
        return KVCache(
            [LayerCache(weight.new_empty(shape), weight.new_empty(shape)) for _ in self.blocks]
        )

    def features(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """The residual stream after the last layer: ids ``(B, T)`` to ``(B, T, C)``."""
        if ids.dim() != 2:
            raise ValueError(
                f"ids has shape {tuple(ids.shape)}; expected (B, T): for one sequence use ids[None]"
            )
        start = 0 if cache is None else cache.length
        end = start + ids.size(1)
        if end > self.config.block_size:
            raise ValueError(
                f"block_size is {self.config.block_size} but the sequence has {end} tokens; "
                "pass only the last block_size of them, or build a model with a larger block_size"
            )
        if ids.is_floating_point() or ids.dtype == torch.bool:
            raise TypeError(f"ids is of type {ids.dtype}; token ids are integers: use ids.long()")
        x = self.token_embedding(ids.long())  # (B, T, C)
        if self.config.position == "learned":
            x = x + self.position_embedding.weight[start:end]  # (T, C), the same for each sequence
        else:
            x = x + self.position_table[start:end]
        x = self.dropout(x)
        layers = [None] * len(self.blocks) if cache is None else cache
        for block, layer_cache in zip(self.blocks, layers, strict=True):
            x = block(x, layer_cache)
        return self.final_norm(x)

    def forward(
        self, ids: Tensor, targets: Tensor | None = None, *, cache: KVCache | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """ids, targets: ``(B, T)``, integers. Returns logits ``(B, T, V)`` and the loss or None.

        Targets are the *next* tokens: ``targets[:, t]`` is what should follow ``ids[:, t]``.
        A target of -100 is left out of the loss.
        """
        logits = self.lm_head(self.features(ids, cache))  # (B, T, V)
        if targets is None:
            return logits, None
        if targets.shape != ids.shape:
            raise ValueError(
                f"ids has shape {tuple(ids.shape)} and targets {tuple(targets.shape)}: "
                "they must be equal, with targets shifted one step to the left by you"
            )
        # (B*T, V) against (B*T,)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten().long())
        return logits, loss

    def num_parameters(self) -> int:
        """Number of parameters; a tied weight counts once."""
        return sum(p.numel() for p in self.parameters())


def _is_gain(name: str) -> bool:
    return "norm" in name and name.endswith("weight")
