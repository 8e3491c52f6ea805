"""Weights in and out: between :class:`gptlib.model.GPT` and Hugging Face transformers.

transformers is imported only by :func:`to_transformers`; :func:`from_transformers` reads the
model that it is given. Used in chapter 6, where GPT-2's published weights are loaded.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gptlib.model import GPT, GPTConfig

# Their names of the activation functions, and ours. "gelu" means the tanh form in their
# OpenAIGPT model and the exact form in their GPT-2 model.
_GPT2_ACTIVATIONS = {"gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}
_GPT1_ACTIVATIONS = {"gelu": "gelu_tanh"}


def from_transformers(hf_model: nn.Module) -> GPT:
    """Our GPT with the weights of a ``GPT2LMHeadModel`` or an ``OpenAIGPTLMHeadModel``.

    The logits are equal to float rounding (tested at 1e-4). Weights are copied, so the two
    models don't share memory. Raises ValueError for settings that have no counterpart here.
    """
    kind = type(hf_model).__name__
    if kind == "GPT2LMHeadModel":
        config = _config_from_gpt2(hf_model.config)
    elif kind == "OpenAIGPTLMHeadModel":
        config = _config_from_openai_gpt(hf_model.config)
    else:
        raise ValueError(
            f"cannot read a {kind}; pass a GPT2LMHeadModel or an OpenAIGPTLMHeadModel "
            "(with its language-model head, not the bare transformer)"
        )
    theirs = hf_model.state_dict()
    weights = _outer_weights(theirs, config)
    for i in range(config.n_layer):
        weights |= _layer_weights(theirs, f"transformer.h.{i}", f"blocks.{i}")
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, then replaced
        gpt = GPT(config)
    gpt.load_state_dict(weights)
    gpt = gpt.to(device=hf_model.device, dtype=hf_model.dtype)
    return gpt.train(hf_model.training)


def to_transformers(gpt: GPT) -> nn.Module:
    """The transformers model with the weights of ``gpt``: pre-LN to ``GPT2LMHeadModel``,
    post-LN to ``OpenAIGPTLMHeadModel``. The way back of :func:`from_transformers`.

    Raises ValueError for configurations that transformers' two classes can't express, and
    ImportError with the remedy where transformers isn't installed.
    """
    try:
        import transformers
    except ImportError:
        raise ImportError(
            "to_transformers needs the package transformers: pip install transformers"
        ) from None
    config = gpt.config
    _check_expressible(config)
    with torch.random.fork_rng(devices=[]):
        if config.norm == "pre":
            hf_model = transformers.GPT2LMHeadModel(_config_to_gpt2(transformers, config))
            norms = ("transformer.ln_f",)
        else:
            their_config = _config_to_openai_gpt(transformers, config)
            hf_model = transformers.OpenAIGPTLMHeadModel(their_config)
            norms = ()
    ours = gpt.state_dict()
    token, position = _embedding_names(config)
    weights = {
        token: ours["token_embedding.weight"],
        position: ours["position_embedding.weight"],
        "lm_head.weight": ours["lm_head.weight"],
    }
    for norm in norms:
        weights[f"{norm}.weight"] = ours["final_norm.weight"]
        weights[f"{norm}.bias"] = ours["final_norm.bias"]
    for i in range(config.n_layer):
        for our_name, their_name in _LAYER_NAMES.items():
            value = ours[f"blocks.{i}.{our_name}"]
            weights[f"transformer.h.{i}.{their_name}"] = _flip(our_name, value)
    missing, unexpected = hf_model.load_state_dict(weights, strict=False)
    # Causal masks are buffers that they make themselves; nothing else may be left over.
    left = [name for name in missing if not name.endswith(("attn.bias", "attn.masked_bias"))]
    if left or unexpected:
        raise RuntimeError(f"weights without a place: missing {left}, unexpected {unexpected}")
    return hf_model.to(device=gpt.device, dtype=gpt.lm_head.weight.dtype).train(gpt.training)


_LAYER_NAMES = {
    "norm1.weight": "ln_1.weight",
    "norm1.bias": "ln_1.bias",
    "attention.qkv.weight": "attn.c_attn.weight",
    "attention.qkv.bias": "attn.c_attn.bias",
    "attention.out.weight": "attn.c_proj.weight",
    "attention.out.bias": "attn.c_proj.bias",
    "norm2.weight": "ln_2.weight",
    "norm2.bias": "ln_2.bias",
    "mlp.up.weight": "mlp.c_fc.weight",
    "mlp.up.bias": "mlp.c_fc.bias",
    "mlp.down.weight": "mlp.c_proj.weight",
    "mlp.down.bias": "mlp.c_proj.bias",
}


def _flip(name: str, value: Tensor) -> Tensor:
    """They store the matrices of a layer as (in, out), torch's Linear as (out, in)."""
    return value.t() if value.dim() == 2 else value


def _layer_weights(theirs: dict[str, Tensor], prefix: str, ours: str) -> dict[str, Tensor]:
    return {
        f"{ours}.{our_name}": _flip(our_name, theirs[f"{prefix}.{their_name}"])
        for our_name, their_name in _LAYER_NAMES.items()
    }


def _embedding_names(config: GPTConfig) -> tuple[str, str]:
    if config.norm == "pre":
        return "transformer.wte.weight", "transformer.wpe.weight"
    return "transformer.tokens_embed.weight", "transformer.positions_embed.weight"


def _outer_weights(theirs: dict[str, Tensor], config: GPTConfig) -> dict[str, Tensor]:
    token, position = _embedding_names(config)
    weights = {
        "token_embedding.weight": theirs[token],
        "position_embedding.weight": theirs[position],
        "lm_head.weight": theirs["lm_head.weight"],
    }
    if config.norm == "pre":
        weights["final_norm.weight"] = theirs["transformer.ln_f.weight"]
        weights["final_norm.bias"] = theirs["transformer.ln_f.bias"]
    return weights


def _shared_fields(hf: Any) -> dict[str, Any]:
    """The fields that both of their configurations have under the same name."""
    rates = {float(hf.resid_pdrop), float(hf.embd_pdrop), float(hf.attn_pdrop)}
    return {
        "vocab_size": hf.vocab_size,
        "block_size": hf.n_positions,
        "n_layer": hf.n_layer,
        "n_head": hf.n_head,
        "n_embd": hf.n_embd,
        # Ours has one rate; different ones matter only for training on, so take the largest.
        "dropout": max(rates),
        "layer_norm_eps": hf.layer_norm_epsilon,
        "init_std": hf.initializer_range,
        "tie_weights": bool(hf.tie_word_embeddings),
    }


def _activation(name: str, known: dict[str, str]) -> str:
    if name not in known:
        raise ValueError(
            f"the model's activation is {name!r}, which gptlib does not have; "
            f"known here: {', '.join(known)}"
        )
    return known[name]


def _config_from_gpt2(hf: Any) -> GPTConfig:
    for setting in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        if getattr(hf, setting, False):
            raise ValueError(f"the model was made with {setting}=True, which gptlib does not have")
    if not hf.scale_attn_weights:
        raise ValueError("the model was made with scale_attn_weights=False; gptlib always scales")
    activation = _activation(hf.activation_function, _GPT2_ACTIVATIONS)
    return GPTConfig(**_shared_fields(hf), activation=activation, n_inner=hf.n_inner)


def _config_from_openai_gpt(hf: Any) -> GPTConfig:
    activation = _activation(hf.afn, _GPT1_ACTIVATIONS)
    return GPTConfig(
        **_shared_fields(hf), activation=activation, norm="post", scale_residual_init=False
    )


def _check_expressible(config: GPTConfig) -> None:
    problems = []
    if config.position != "learned":
        problems.append(f"position={config.position!r} (theirs is learned)")
    if not config.bias:
        problems.append("bias=False (theirs has biases)")
    if config.norm == "post" and config.activation != "gelu_tanh":
        problems.append("post-LN with the exact GELU (their GPT-1 has the tanh form)")
    if config.norm == "post" and config.inner_size != 4 * config.n_embd:
        problems.append("post-LN with n_inner other than 4 n_embd")
    if problems:
        raise ValueError(f"transformers has no GPT model with {'; '.join(problems)}")


def _their_fields(config: GPTConfig) -> dict[str, Any]:
    return {
        "vocab_size": config.vocab_size,
        "n_positions": config.block_size,
        "n_layer": config.n_layer,
        "n_head": config.n_head,
        "n_embd": config.n_embd,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": config.dropout,
        "layer_norm_epsilon": config.layer_norm_eps,
        "initializer_range": config.init_std,
        "tie_word_embeddings": config.tie_weights,
        "bos_token_id": None,
        "eos_token_id": None,
    }


def _config_to_gpt2(transformers: Any, config: GPTConfig) -> Any:
    activation = {"gelu_tanh": "gelu_new", "gelu": "gelu"}[config.activation]
    return transformers.GPT2Config(
        **_their_fields(config), activation_function=activation, n_inner=config.n_inner
    )


def _config_to_openai_gpt(transformers: Any, config: GPTConfig) -> Any:
    return transformers.OpenAIGPTConfig(**_their_fields(config), afn="gelu")
