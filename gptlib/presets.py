"""The published sizes of GPT-1, GPT-2 and GPT-3, each with the paper's count and our own.

Sources: Radford et al. 2018 (GPT-1), section 4.1; Radford et al. 2019 (GPT-2), table 2;
Brown et al. 2020 (GPT-3, arXiv:2005.14165), table 2.1. Used in chapters 4, 6 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass

from gptlib.model import GPTConfig


@dataclass(frozen=True)
class Preset:
    """A published model.

    ``published``: parameters as the paper prints them, or None where it prints none;
    ``note``: why the two counts differ, where they do.
    """

    name: str
    family: str
    config: GPTConfig
    published: int | None
    note: str = ""

    @property
    def computed(self) -> int:
        """Parameters counted from the configuration."""
        return self.config.count_parameters()

    @property
    def difference(self) -> float | None:
        """computed / published - 1, or None."""
        return None if self.published is None else self.computed / self.published - 1


def _gpt2(n_layer: int, n_embd: int, n_head: int) -> GPTConfig:
    return GPTConfig(
        vocab_size=50257,
        block_size=1024,
        n_layer=n_layer,
        n_embd=n_embd,
        n_head=n_head,
        dropout=0.1,
    )


def _gpt3(n_layer: int, n_embd: int, n_head: int) -> GPTConfig:
    # The alternation of dense and banded attention has no parameters, so it doesn't show here.
    return GPTConfig(
        vocab_size=50257, block_size=2048, n_layer=n_layer, n_embd=n_embd, n_head=n_head
    )


_GPT1 = GPTConfig(
    vocab_size=40478,
    block_size=512,
    n_layer=12,
    n_embd=768,
    n_head=12,
    norm="post",
    dropout=0.1,
    scale_residual_init=False,
)

_MISCOUNT = "the paper's table undercounts; OpenAI's README for the released code says so"

_ROWS = [
    Preset("gpt1", "GPT-1", _GPT1, None, "the paper prints no count; 117M is often quoted"),
    Preset("gpt2", "GPT-2", _gpt2(12, 768, 12), 117_000_000, _MISCOUNT),
    Preset("gpt2-medium", "GPT-2", _gpt2(24, 1024, 16), 345_000_000, _MISCOUNT),
    Preset("gpt2-large", "GPT-2", _gpt2(36, 1280, 20), 762_000_000, _MISCOUNT),
    Preset("gpt2-xl", "GPT-2", _gpt2(48, 1600, 25), 1_542_000_000, _MISCOUNT),
    Preset("gpt3-small", "GPT-3", _gpt3(12, 768, 12), 125_000_000),
    Preset("gpt3-medium", "GPT-3", _gpt3(24, 1024, 16), 350_000_000, "the paper rounds"),
    Preset("gpt3-large", "GPT-3", _gpt3(24, 1536, 16), 760_000_000),
    Preset(
        "gpt3-xl",
        "GPT-3",
        _gpt3(24, 2048, 16),
        1_300_000_000,
        "the paper prints 24 heads of 128 channels, which are more than its 2048; "
        "16 heads of 128 fit, and give the printed count after rounding",
    ),
    Preset("gpt3-2.7b", "GPT-3", _gpt3(32, 2560, 32), 2_700_000_000, "the paper rounds"),
    Preset("gpt3-6.7b", "GPT-3", _gpt3(32, 4096, 32), 6_700_000_000, "the paper rounds"),
    Preset(
        "gpt3-13b",
        "GPT-3",
        _gpt3(40, 5120, 40),
        13_000_000_000,
        "the paper prints 5140 channels, not a multiple of its 40 heads of 128; 5120 is",
    ),
    Preset("gpt3", "GPT-3", _gpt3(96, 12288, 96), 175_000_000_000),
]

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _ROWS}


def get_preset(name: str) -> Preset:
    """The preset called ``name``; a KeyError names the known ones."""
    try:
        return PRESETS[name]
    except KeyError:
        raise KeyError(
            f"no preset is called {name!r}; the known ones are {', '.join(PRESETS)}"
        ) from None
