"""One training loop for the course: it shows where it is, can be stopped, and goes on exactly."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gptlib.checkpoints import (
    Checkpoint,
    History,
    checkpoint_path,
    load_checkpoint,
    load_model,
    save_checkpoint,
)
from gptlib.evaluation import check_ids, evaluate
from gptlib.optim import adamw, warmup_cosine
from gptlib.progress import ProgressLine
from gptlib.resumable import RunRandomness, check_same_run, fingerprint, uninterrupted

__all__ = [
    "Checkpoint",
    "History",
    "load_checkpoint",
    "load_model",
    "random_batch",
    "save_checkpoint",
    "train",
]

Batch = tuple[Tensor, Tensor]
BatchSource = Callable[[torch.Generator], Batch]
SAVE_SECONDS = 30.0  # how much work a kill may cost, unless checkpoint_every says otherwise


def random_batch(
    ids: Tensor, batch_size: int, block_size: int, generator: torch.Generator | None = None
) -> Batch:
    """``batch_size`` windows of a text, each from a random place: inputs and targets ``(B, T)``.

    ``ids``: ``(N,)``, N at least ``block_size + 1``. The targets are the inputs shifted by one
    token. Every window of the text is equally likely. Built in chapter 4.
    """
    n_starts = ids.numel() - block_size
    if n_starts < 1:
        raise ValueError(
            f"the text has {ids.numel()} tokens, but a window of block_size {block_size} and its "
            f"targets need {block_size + 1}: give a longer text or a smaller block_size"
        )
    starts = torch.randint(n_starts, (batch_size, 1), generator=generator)
    windows = ids[(starts + torch.arange(block_size + 1)).to(ids.device)].long()  # (B, T + 1)
    return windows[:, :-1], windows[:, 1:]


def train(
    model: nn.Module,
    data: Tensor | BatchSource,
    *,
    steps: int,
    batch_size: int = 12,
    block_size: int | None = None,
    lr: float = 1e-3,
    min_lr: float | None = None,
    warmup: int = 0,
    weight_decay: float = 0.1,
    clip: float | None = 1.0,
    accumulate: int = 1,
    val: Tensor | Callable[[nn.Module], float] | None = None,
    eval_every: int = 0,
    eval_tokens: int | None = 16_384,
    seed: int = 0,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: int = 0,
    resume: bool = True,
    progress: bool = True,
    callback: Callable[[int, nn.Module, History], Any] | None = None,
) -> History:
    """Train ``model`` in place for ``steps`` updates and return what happened.

    ``data``: token ids ``(N,)``, from which random windows of ``block_size`` (the model's unless
    given) are drawn, or a function ``data(generator) -> (ids, targets)``, each ``(B, T)``, that
    draws a batch from the generator alone. ``model(ids, targets)`` returns ``(logits, loss)``.

    Each step: ``accumulate`` batches of ``batch_size``, whose mean gradient equals that of one
    large batch; the gradient's global norm is cut to ``clip`` (None: not cut); AdamW at
    ``warmup_cosine`` from ``lr`` down to ``min_lr`` (``lr / 10`` unless given).

    ``val``: ids ``(N,)``, or a function of the model that returns a loss. It is evaluated after
    every ``eval_every`` steps and after the last (0: only then); of ids only the first
    ``eval_tokens`` are used (None: all), the same each time. For a result to report, call
    :func:`gptlib.evaluation.evaluate` on the whole split. ``callback(step, model, history)`` is
    called at the same moments (``eval_every=0``: after every step) with the model in eval mode,
    for example to print a sample. What it draws at random does not change the training.

    ``seed`` decides batches and dropout; torch's global random state is neither used nor changed.

    ``checkpoint``: where to keep the run, for example ``"checkpoints/tiny"``. It is written every
    ``checkpoint_every`` steps (0: every 30 seconds), at an interruption and at the end. If it is
    there already and ``resume`` is true, the run goes on from it, bit for bit as if it had never
    stopped; a finished run is only loaded. Other arguments than before are an error, except a
    larger ``steps`` where the rate does not depend on it (``min_lr=lr``).

    A KeyboardInterrupt (the stop button) throws the unfinished step away, saves, and returns with
    ``history.interrupted`` set. The model comes back in the mode, train or eval, that it had,
    without gradients. Raises FloatingPointError if a loss or gradient is not finite; the model
    then keeps its last finite weights.

    Source: the recipe of Brown et al. 2020, arXiv:2005.14165, appendix B. Built in chapter 4.
    """
    min_lr = lr / 10 if min_lr is None else min_lr
    # Numbers of numpy have no form in JSON, which would be found out only when saving.
    steps, warmup, lr, min_lr = map(_plain, (steps, warmup, lr, min_lr))
    batch_size, block_size, accumulate = map(_plain, (batch_size, block_size, accumulate))
    weight_decay, clip, seed = map(_plain, (weight_decay, clip, seed))
    whole = dict(
        steps=steps, warmup=warmup, batch_size=batch_size, accumulate=accumulate, seed=seed
    )
    for name, value in whole.items():
        if not isinstance(value, int):
            raise TypeError(f"{name} is {value!r}; it must be a whole number, without a point")
    schedule = {"steps": steps, "warmup": warmup, "lr": lr, "min_lr": min_lr}
    warmup_cosine(0, **schedule)  # complains about bad values before any work is done
    config = getattr(model, "config", None)
    block_size = getattr(config, "block_size", None) if block_size is None else block_size
    _check(data, val, block_size, batch_size, accumulate, clip, getattr(config, "vocab_size", None))
    measure = val
    if isinstance(val, Tensor):
        if eval_tokens is not None and eval_tokens < 2:
            raise ValueError(f"eval_tokens is {eval_tokens}; give at least 2, or None for all")
        val_ids = val[:eval_tokens]
        size = block_size or getattr(config, "block_size", None)
        measure = lambda m: evaluate(m, val_ids, block_size=size).loss  # noqa: E731

    optimizer = adamw(model, lr, weight_decay)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    device = parameters[0].device
    random = RunRandomness(seed, device)
    history = History()
    if checkpoint is not None:
        arguments = {**schedule, "batch_size": batch_size, "block_size": block_size}
        arguments |= {"weight_decay": weight_decay, "clip": clip, "accumulate": accumulate}
        arguments |= {"seed": seed, "data": fingerprint(data)}
        target = checkpoint_path(checkpoint)
        target.parent.mkdir(parents=True, exist_ok=True)  # better now than after an hour
        if resume and target.exists():
            stored = load_checkpoint(checkpoint)
            check_same_run(stored, config, arguments)
            stored.restore(model, optimizer)
            random.restore(stored.random_states)
            history = stored.history
            history.interrupted = False

    was_training = model.training
    committed = random.state()  # random states after the last whole step
    clock, seconds_before = time.perf_counter(), history.seconds
    saved_at, unsaved, resumed_at = clock, False, history.step

    def save() -> None:
        nonlocal saved_at, unsaved
        history.seconds = seconds_before + time.perf_counter() - clock
        with uninterrupted():
            save_checkpoint(
                checkpoint, model, optimizer, history, arguments=arguments, random_states=committed
            )
            saved_at, unsaved = time.perf_counter(), False

    line = ProgressLine(steps, history.step, enabled=progress)
    shown = (history.smoothed() or [0.0])[-1]
    try:
        model.train()
        while True:
            # What is due after a step stands before the next one: a run that was stopped in the
            # middle of an evaluation makes it up when it goes on.
            step = history.step
            last = step >= steps
            due = step > 0 and (last or (eval_every > 0 and step % eval_every == 0))
            missing = due and measure is not None and history.val_steps[-1:] != [step]
            new = missing or step > resumed_at
            call = callback is not None and new and (due or eval_every == 0)
            if missing or call:
                model.eval()
                if missing:
                    loss = float(measure(model))
                    with uninterrupted():
                        history.val_steps.append(step)
                        history.val_loss.append(loss)
                        unsaved = True
                    line.update(_describe(shown, history), advance=0)
                if call:
                    with line.paused():
                        callback(step, model, history)
                model.train()
            if checkpoint is not None and unsaved:
                waited = time.perf_counter() - saved_at > SAVE_SECONDS
                if last or (step % checkpoint_every == 0 if checkpoint_every else waited):
                    save()
            if last:
                break

            began = time.perf_counter()
            batches = _draw(data, batch_size, block_size, accumulate, random.batches)
            with random.dropout():
                loss = _accumulate_gradients(model, batches, device)
            gradients = [p.grad for p in parameters if p.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            # The only moment in a step at which the host waits for the device.
            loss_value, norm_value = torch.stack([loss, norm.to(loss)]).tolist()
            rate = warmup_cosine(step, **schedule)
            if not (math.isfinite(loss_value) and math.isfinite(norm_value)):
                raise _diverged(step, steps, loss_value, norm_value, rate, warmup)
            if clip is not None and norm_value > clip:
                torch.nn.utils.clip_grads_with_norm_(parameters, clip, norm)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with uninterrupted():
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                history.steps.append(step + 1)
                history.train_loss.append(loss_value)
                history.grad_norm.append(norm_value)
                history.tokens_seen += sum(ids.numel() for ids, _, _ in batches)
                history.train_seconds += time.perf_counter() - began
                committed, unsaved = random.state(), True
            shown = loss_value if step == 0 else 0.95 * shown + 0.05 * loss_value
            line.update(_describe(shown, history))
    except KeyboardInterrupt:
        history.interrupted = True
        line.close()
        note = "train again with checkpoint=... to be able to go on from where you stop"
        if checkpoint is not None:
            with contextlib.suppress(KeyboardInterrupt):  # impatience must not cost the work
                save()
            note = "call train again with the same arguments to go on"
        print(f"Stopped after {history.step} of {steps} steps. The model can be used; {note}.")
    finally:
        line.close()
        optimizer.zero_grad(set_to_none=True)
        model.train(was_training)
        history.seconds = seconds_before + time.perf_counter() - clock
    return history


def _plain(value: Any) -> Any:
    """A number of numpy or a tensor of one element as a number of Python."""
    return value.item() if hasattr(value, "item") else value


def _draw(
    data: Tensor | BatchSource,
    batch_size: int,
    block_size: int | None,
    accumulate: int,
    generator: torch.Generator,
) -> list[tuple[Tensor, Tensor, float]]:
    """The batches of one step, each with its share of the step's targets."""
    if isinstance(data, Tensor):
        # Drawn as one batch: the same windows however the step is split.
        ids, targets = random_batch(data, accumulate * batch_size, block_size, generator)
        parts = zip(ids.split(batch_size), targets.split(batch_size), strict=True)
        return [(x, y, 1 / accumulate) for x, y in parts]
    batches = [data(generator) for _ in range(accumulate)]
    if accumulate == 1:
        return [(*batches[0], 1.0)]
    counts = [int((targets != -100).sum()) for _, targets in batches]
    if not sum(counts):
        raise ValueError("no target of this step counts: data returned only targets of -100")
    # A batch with no target has no mean loss, and nothing to add to the gradient.
    shares = zip(batches, counts, strict=True)
    return [(ids, targets, n / sum(counts)) for (ids, targets), n in shares if n]


def _accumulate_gradients(
    model: nn.Module, batches: list[tuple[Tensor, Tensor, float]], device: torch.device
) -> Tensor:
    """Add the gradient of the mean loss over all batches to the parameters; return that loss."""
    total = None
    for ids, targets, share in batches:
        _, loss = model(ids.to(device), targets.to(device))
        loss = loss * share
        loss.backward()
        total = loss.detach() if total is None else total + loss.detach()
    return total


def _describe(loss: float, history: History) -> str:
    val = f" val {history.val_loss[-1]:.3f}" if history.val_loss else ""
    speed = history.tokens_per_second
    shown = f"{speed / 1000:.0f}k" if speed >= 10_000 else f"{speed:.0f}"
    return f"loss {loss:.3f}{val} {shown} tok/s"


def _diverged(
    step: int, steps: int, loss: float, norm: float, rate: float, warmup: int
) -> FloatingPointError:
    what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
    return FloatingPointError(
        f"training broke down at step {step + 1} of {steps}: {what} (learning rate {rate:.3g}). "
        f"The model keeps its weights from before this step. Try a lower lr, a longer warmup "
        f"(now {warmup}), clip=1.0, or look for a batch without any target"
    )


def _check(data, val, block_size, batch_size, accumulate, clip, vocab_size) -> None:
    if batch_size < 1 or accumulate < 1:
        raise ValueError(
            f"batch_size is {batch_size} and accumulate {accumulate}; both must be at least 1"
        )
    if clip is not None and not clip > 0:
        raise ValueError(f"clip is {clip}; it must be above 0, or None to leave gradients as long")
    if isinstance(data, Tensor) or not callable(data):
        if block_size is None:
            raise ValueError("the model has no config.block_size; pass block_size=")
        if block_size < 1:
            raise ValueError(f"block_size is {block_size}; it must be at least 1")
        check_ids(data, "data", at_least=block_size + 1, vocab_size=vocab_size)
    if isinstance(val, Tensor) or not (val is None or callable(val)):
        check_ids(val, "val", at_least=2, vocab_size=vocab_size)
