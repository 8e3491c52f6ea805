"""A run on disk: weights, optimizer, random states and history, written all or not at all.

A checkpoint called ``runs/tiny`` is one file, ``runs/tiny.safetensors``. It is written under
another name and then renamed, which the file system does in one piece: whenever the process
is killed, the name leads to a whole checkpoint, the new one or the one before. Beside it lies
``runs/tiny.json``, a copy of the settings for people to read; loading never looks at it.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import time
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from gptlib.model import GPT, GPTConfig

FORMAT = 1
STALE_SECONDS = 3600.0  # an unfinished file this old belongs to a process that was killed


@dataclass
class History:
    """What happened in a run, over all its interruptions.

    ``steps``: updates done when each entry was made: 1, 2, 3, ...
    ``train_loss``: loss of that step's batch, nats per token, *before* the update.
    ``grad_norm``: length of the gradient of all parameters together, before clipping.
    ``val_steps``, ``val_loss``: the evaluations and after how many updates they were made.
    ``seconds``: wall clock of the whole run; ``train_seconds``: of the steps alone.
    ``tokens_seen``: input tokens trained on. ``interrupted``: stopped before its last step.
    """

    steps: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    val_steps: list[int] = field(default_factory=list)
    val_loss: list[float] = field(default_factory=list)
    seconds: float = 0.0
    train_seconds: float = 0.0
    tokens_seen: int = 0
    interrupted: bool = False

    @property
    def step(self) -> int:
        """Updates done so far."""
        return self.steps[-1] if self.steps else 0

    @property
    def last(self) -> float:
        """Training loss of the last step (a single batch: noisy, see :meth:`smoothed`)."""
        if not self.train_loss:
            raise ValueError("the history is empty: no step has been made yet")
        return self.train_loss[-1]

    @property
    def tokens_per_second(self) -> float:
        """Training speed; evaluations, callbacks and saving are not counted."""
        return self.tokens_seen / self.train_seconds if self.train_seconds else 0.0

    def smoothed(self, beta: float = 0.95) -> list[float]:
        """Exponential moving average of the training loss, corrected for its start."""
        averages, mean, weight = [], 0.0, 0.0
        for loss in self.train_loss:
            mean, weight = beta * mean + (1 - beta) * loss, beta * weight + (1 - beta)
            averages.append(mean / weight)
        return averages


@dataclass
class Checkpoint:
    """A checkpoint in memory. ``config`` is None for a model that is not a :class:`GPT`.

    ``weights``: the model's state dict. ``optimizer_state``: parameter name to its tensors.
    ``arguments``: what ``train`` was called with. ``random_states``: name to generator state.
    """

    path: Path
    config: GPTConfig | None
    weights: dict[str, Tensor]
    optimizer_state: dict[str, dict[str, Tensor]]
    random_states: dict[str, Tensor]
    history: History
    arguments: dict[str, Any]

    def restore(self, model: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> None:
        """Put the weights (and the optimizer's memory) into ``model`` (and ``optimizer``).

        Raises ValueError, and changes nothing, if they are made for another model.
        """
        own = model.state_dict()
        wrong = sorted(own.keys() ^ self.weights.keys())
        wrong += [n for n in own if n not in wrong and own[n].shape != self.weights[n].shape]
        if wrong:
            raise ValueError(
                f"{self.path} holds the weights of another model; names or shapes differ at "
                f"{', '.join(wrong[:4])}{' ...' if len(wrong) > 4 else ''}: build the model with "
                "the configuration in the .json beside it, or use load_model(path)"
            )
        model.load_state_dict(self.weights)
        if optimizer is not None:
            names = _names_of(model, optimizer)
            state = {i: self.optimizer_state[n] for i, n in enumerate(names) if self._has(n)}
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def _has(self, name: str) -> bool:
        return name in self.optimizer_state


def checkpoint_path(path: str | os.PathLike[str]) -> Path:
    """The file of a checkpoint: ``runs/tiny`` and ``runs/tiny.safetensors`` mean the same."""
    path = Path(path)
    return path if path.suffix == ".safetensors" else path.with_name(path.name + ".safetensors")


def save_checkpoint(
    path: str | os.PathLike[str],
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None = None,
    history: History | None = None,
    *,
    arguments: dict[str, Any] | None = None,
    random_states: dict[str, Tensor] | None = None,
) -> Path:
    """Write the model, and what else is given, to ``path``; return the file written.

    Tied weights are stored once. Folders are made as needed. If the process is killed or the
    disk is full, the checkpoint that was there before stays.
    """
    target = checkpoint_path(path)
    history = history or History()
    tensors, tied, seen = {}, {}, {}
    for name, tensor in model.state_dict().items():
        place = (tensor.data_ptr(), tensor.shape, tensor.stride())
        if tensor.numel() and place in seen:
            tied[name] = seen[place]
        else:
            seen[place] = name
            tensors[f"model/{name}"] = tensor
    if optimizer is not None:
        names = _names_of(model, optimizer)
        for index, state in optimizer.state_dict()["state"].items():
            for key, value in state.items():
                if not isinstance(value, Tensor):
                    raise TypeError(
                        f"the optimizer keeps {key!r} as {type(value).__name__}; "
                        "only tensors can be stored in a checkpoint"
                    )
                tensors[f"optimizer/{names[index]}/{key}"] = value
    for name, state in (random_states or {}).items():
        tensors[f"random/{name}"] = state
    numbers = {}
    for entry in fields(History):
        value = getattr(history, entry.name)
        if isinstance(value, list):
            dtype = torch.int64 if entry.name.endswith("steps") else torch.float64
            tensors[f"history/{entry.name}"] = torch.tensor(value, dtype=dtype)
        else:
            numbers[entry.name] = value
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    config = getattr(model, "config", None)
    record = {
        "format": FORMAT,
        "model": type(model).__name__,
        "config": config.to_dict() if isinstance(config, GPTConfig) else None,
        "step": history.step,
        "train_loss": history.train_loss[-1] if history.train_loss else None,
        "val_loss": history.val_loss[-1] if history.val_loss else None,
        "arguments": arguments or {},
        "history": numbers,
        "tied": tied,
        "torch": str(torch.__version__),
    }
    record["checksum"] = _checksum(tensors, record)
    metadata = {"gptlib": json.dumps(record)}
    target.parent.mkdir(parents=True, exist_ok=True)
    # Not safetensors' save_file: killed, it leaves files behind whose names nobody can trace.
    _replace(target, save(tensors, metadata))
    readable = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    _replace(target.with_suffix(".json"), readable.encode())
    return target


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read what :func:`save_checkpoint` wrote, onto the CPU.

    Raises FileNotFoundError if there is none, ValueError if the file is damaged, cut short, or
    not a checkpoint of ours.
    """
    target = checkpoint_path(path)
    if not target.is_file():
        raise FileNotFoundError(
            f"there is no checkpoint {target}; train(..., checkpoint={str(path)!r}) writes one"
        )
    try:
        with safe_open(target, framework="pt") as file:
            record = json.loads((file.metadata() or {})["gptlib"])
            # Copies: the tensors must not change if the file does.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError) as error:
        raise ValueError(
            f"{target} is damaged or cut short ({error}); delete it and train again, "
            "or copy it anew"
        ) from error
    except KeyError:
        raise ValueError(
            f"{target} is a safetensors file, but not one that gptlib.training wrote"
        ) from None
    if record.get("format") != FORMAT:
        raise ValueError(
            f"{target} has format {record.get('format')}, this version reads {FORMAT}: "
            "update gptlib"
        )
    if record.pop("checksum", None) != _checksum(tensors, record):
        raise ValueError(
            f"{target} is damaged: its checksum does not match; delete it and train again, "
            "or copy it anew"
        )
    parts: dict[str, dict[str, Tensor]] = {
        "model": {},
        "optimizer": {},
        "random": {},
        "history": {},
    }
    for name, tensor in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = tensor
    weights = parts["model"]
    for name, original in record["tied"].items():
        weights[name] = weights[original]
    optimizer_state: dict[str, dict[str, Tensor]] = {}
    for name, tensor in parts["optimizer"].items():
        parameter, _, key = name.rpartition("/")
        optimizer_state.setdefault(parameter, {})[key] = tensor
    lists = {name: tensor.tolist() for name, tensor in parts["history"].items()}
    return Checkpoint(
        path=target,
        config=None if record["config"] is None else GPTConfig(**record["config"]),
        weights=weights,
        optimizer_state=optimizer_state,
        random_states=parts["random"],
        history=History(**lists, **record["history"]),
        arguments=record["arguments"],
    )


def load_model(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> GPT:
    """The model of a checkpoint, built from its stored configuration, in eval mode."""
    checkpoint = load_checkpoint(path)
    if checkpoint.config is None:
        raise ValueError(
            f"{checkpoint.path} holds a model that is not a gptlib GPT; build the model yourself, "
            "then load_checkpoint(path).restore(model)"
        )
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, then replaced
        model = GPT(checkpoint.config)
    model.to(checkpoint.weights["token_embedding.weight"].dtype)
    checkpoint.restore(model)
    return model.to(device).eval()


def _names_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """Names of the optimizer's parameters in its own order: names last longer than numbers."""
    names = {id(p): name for name, p in model.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _checksum(tensors: dict[str, Tensor], record: dict[str, Any]) -> str:
    """CRC-32 over all content; notices what a length cannot, such as one flipped bit."""
    crc = zlib.crc32(json.dumps(record).encode())
    for name in sorted(tensors):
        crc = zlib.crc32(name.encode(), crc)
        crc = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy(), crc)
    return f"crc32:{crc:08x}"


def _replace(target: Path, content: bytes) -> None:
    """Write a file beside ``target``, then give it that name in one piece."""
    for old in target.parent.glob(f"{glob.escape(target.name)}.*.partial"):
        with contextlib.suppress(FileNotFoundError):  # another process may clear up as well
            if time.time() - old.stat().st_mtime > STALE_SECONDS:
                old.unlink()
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # on the disk, not only in its cache, before the rename
        os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
