"""What lets a run that was stopped go on bit for bit as if it never had been.

Random streams of its own, updates that no Ctrl-C can cut in half, and a refusal to go on with
other settings than the run began with.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import zlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gptlib.checkpoints import Checkpoint
from gptlib.optim import warmup_cosine


class RunRandomness:
    """The random numbers of a run: one generator for the batches, one for dropout.

    torch draws dropout from a generator that the whole process shares. It is lent to the run for
    the length of a step and then put back, so that neither disturbs the other.
    """

    def __init__(self, seed: int, device: torch.device):
        self.batches = torch.Generator().manual_seed(seed)
        self._shared = {"cpu": torch.default_generator}
        if device.type == "cuda":
            index = torch.cuda.current_device() if device.index is None else device.index
            self._shared["cuda"] = torch.cuda.default_generators[index]
        self._own = {
            name: torch.Generator(shared.device).manual_seed(seed + 1).get_state()
            for name, shared in self._shared.items()
        }

    @contextlib.contextmanager
    def dropout(self) -> Iterator[None]:
        outside = {name: shared.get_state() for name, shared in self._shared.items()}
        try:
            for name, shared in self._shared.items():
                shared.set_state(self._own[name])
            yield
        finally:
            for name, shared in self._shared.items():
                self._own[name] = shared.get_state()
                shared.set_state(outside[name])

    def state(self) -> dict[str, Tensor]:
        dropout = {f"dropout.{name}": state for name, state in self._own.items()}
        return {"batches": self.batches.get_state(), **dropout}

    def restore(self, states: dict[str, Tensor]) -> None:
        self.batches.set_state(states["batches"])
        for name in self._own:
            self._own[name] = states.get(f"dropout.{name}", self._own[name])


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold a Ctrl-C back until the block is done: half an update must never be seen."""
    on_main_thread = threading.current_thread() is threading.main_thread()
    usual = signal.getsignal(signal.SIGINT) if on_main_thread else None
    if not callable(usual):  # only the main thread is interrupted, and not if SIGINT is ignored
        yield
        return
    held: list[Any] = []
    signal.signal(signal.SIGINT, lambda *arguments: held.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if held:
        usual(*held[-1])


def fingerprint(data: Any) -> str:
    """Names the data of a run: its length and checksum, as far as it is a tensor."""
    if not isinstance(data, Tensor):
        return "a function"
    crc = zlib.crc32(data.detach().cpu().contiguous().view(torch.uint8).numpy())
    return f"{data.numel()} tokens, crc32 {crc:08x}"


def check_same_run(stored: Checkpoint, config: Any, arguments: dict[str, Any]) -> None:
    """Going on with other settings would give a run that nobody can repeat: refuse it."""
    old, new = dict(stored.arguments), dict(arguments)
    if stored.config is not None and hasattr(config, "to_dict"):
        old |= {f"config.{k}": v for k, v in stored.config.to_dict().items()}
        new |= {f"config.{k}": v for k, v in config.to_dict().items()}
    if not stored.arguments:
        raise ValueError(
            f"{stored.path} was not written by train: it holds no run to go on with. "
            "Pass resume=False to start from the model as it is (the file is then replaced)"
        )
    changed = [k for k in sorted(old.keys() | new.keys()) if old.get(k) != new.get(k)]
    if changed == ["steps"] and new["steps"] >= stored.history.step:
        rates = ("warmup", "lr", "min_lr")
        same = all(
            warmup_cosine(i, steps=old["steps"], **{k: old[k] for k in rates})
            == warmup_cosine(i, steps=new["steps"], **{k: new[k] for k in rates})
            for i in range(stored.history.step)
        )
        changed = [] if same else changed
    if changed:
        listed = "; ".join(f"{k} was {old.get(k)!r}, now {new.get(k)!r}" for k in changed)
        raise ValueError(
            f"{stored.path} belongs to another run: {listed}. Call train with the arguments it "
            "had, choose another checkpoint name, or pass resume=False to start anew "
            "(the file is then replaced)"
        )
