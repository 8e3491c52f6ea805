"""The training loop: equal to one written by hand, and exact through stops and kills."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from gptlib.evaluation import evaluate
from gptlib.model import GPT, GPTConfig
from gptlib.optim import adamw, warmup_cosine
from gptlib.training import (
    History,
    load_checkpoint,
    load_model,
    random_batch,
    save_checkpoint,
    train,
)

V, T = 17, 8
IDS = torch.randint(V, (400,), generator=torch.Generator().manual_seed(5))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(dropout=0.0, seed=0, **changes):
    settings = dict(vocab_size=V, block_size=T, n_layer=2, n_head=2, n_embd=16, dropout=dropout)
    model = GPT(GPTConfig(**(settings | changes)))
    model.reset_parameters(torch.Generator().manual_seed(seed))
    return model


def run(model, data=IDS, **changes):
    settings = dict(steps=20, batch_size=4, lr=1e-2, warmup=3, progress=False)
    return train(model, data, **(settings | changes))


def weights(model):
    return {name: p.detach().clone() for name, p in model.state_dict().items()}


def same_weights(a, b):
    a, b = (x if isinstance(x, dict) else weights(x) for x in (a, b))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def stop_at(n):
    def callback(step, model, history):
        if step == n:
            raise KeyboardInterrupt

    return callback


# Batches


def test_random_batch_holds_shifted_windows_of_the_text():
    ids = torch.arange(30, dtype=torch.int32)
    x, y = random_batch(ids, 500, 7, torch.Generator().manual_seed(0))
    assert x.shape == y.shape == (500, 7)
    assert x.dtype == y.dtype == torch.int64
    assert torch.equal(y, x + 1)
    assert torch.equal(x, x[:, :1] + torch.arange(7))
    assert set(x[:, 0].tolist()) == set(range(30 - 7))  # every start, the last one included


def test_random_batch_follows_its_generator():
    a = random_batch(IDS, 4, T, torch.Generator().manual_seed(3))
    b = random_batch(IDS, 4, T, torch.Generator().manual_seed(3))
    c = random_batch(IDS, 4, T, torch.Generator().manual_seed(4))
    assert torch.equal(a[0], b[0]) and not torch.equal(a[0], c[0])


def test_text_too_short():
    x, y = random_batch(torch.arange(T + 1), 2, T)
    assert y[0, -1] == T
    with pytest.raises(ValueError, match=f"has {T} tokens.*need {T + 1}"):
        random_batch(torch.arange(T), 2, T)
    with pytest.raises(ValueError, match="at least 9 are needed"):
        run(small(), torch.arange(T))


# The loop


@pytest.mark.parametrize("clip", [0.05, None])
def test_equals_a_loop_written_by_hand(clip):
    ours, by_hand = small(), small()
    history = run(ours, clip=clip, min_lr=1e-3, seed=7)
    optimizer, generator = adamw(by_hand, 1e-2), torch.Generator().manual_seed(7)
    for step in range(20):
        ids, targets = random_batch(IDS, 4, T, generator)
        logits, _ = by_hand(ids)
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        gradient = torch.cat([p.grad.flatten() for p in by_hand.parameters()])
        length = gradient.norm().item()
        assert history.train_loss[step] == pytest.approx(loss.item(), abs=1e-5)
        assert history.grad_norm[step] == pytest.approx(length, rel=1e-3)
        if clip is not None:
            for p in by_hand.parameters():
                p.grad *= min(1.0, clip / length)
        for group in optimizer.param_groups:
            group["lr"] = warmup_cosine(step, steps=20, warmup=3, lr=1e-2, min_lr=1e-3)
        optimizer.step()
    for name, tensor in weights(ours).items():
        torch.testing.assert_close(tensor, weights(by_hand)[name], atol=2e-5, rtol=1e-3)


def test_learns_a_text_that_can_be_learned():
    model = small()
    cycle = torch.arange(V).repeat(30)
    history = run(model, cycle, steps=120, val=cycle, eval_every=40)
    assert history.train_loss[0] == pytest.approx(torch.tensor(V).log().item(), abs=0.1)
    assert history.last < 0.1
    assert history.val_loss[-1] < 0.1
    assert history.smoothed()[-1] < history.smoothed()[10]


def test_history_counts():
    val = IDS[:100]
    history = run(small(), val=val, eval_every=8, accumulate=2)
    assert history.steps == list(range(1, 21)) and history.step == 20
    assert len(history.train_loss) == len(history.grad_norm) == 20
    assert history.val_steps == [8, 16, 20]
    assert history.tokens_seen == 20 * 4 * T * 2
    assert 0 < history.train_seconds <= history.seconds
    assert history.tokens_per_second == history.tokens_seen / history.train_seconds
    assert not history.interrupted
    with pytest.raises(ValueError, match="empty"):
        _ = History().last
    assert History(train_loss=[2.0, 4.0]).smoothed(0.5) == pytest.approx([2.0, 10 / 3])


def test_val_is_the_evaluation_of_its_first_tokens():
    model = small()
    history = run(model, val=IDS, eval_tokens=50)
    assert history.val_steps == [20]
    assert history.val_loss == [evaluate(model, IDS[:50]).loss]
    history = run(model, val=lambda m: 1.25, eval_every=10)
    assert history.val_loss == [1.25, 1.25]


@pytest.mark.parametrize("k", [2, 3])
def test_accumulation_equals_one_large_batch(k):
    for clip in (None, 0.05):
        split, whole = small().double(), small().double()
        a = run(split, accumulate=k, clip=clip)
        b = run(whole, batch_size=4 * k, clip=clip)
        assert a.train_loss == pytest.approx(b.train_loss, abs=1e-6)
        for name, tensor in weights(split).items():
            torch.testing.assert_close(tensor, weights(whole)[name], atol=1e-6, rtol=0)


def test_accumulation_weighs_batches_by_their_targets():
    """Batches with 1, 8 and 0 targets: the mean is over all nine, not over three means."""
    ids, targets = random_batch(IDS, 3, T, torch.Generator().manual_seed(0))
    targets = targets.clone()
    targets[0, 1:] = -100
    targets[2] = -100
    turn = iter(range(100))

    def one_by_one(generator):
        i = next(turn) % 3
        return ids[i : i + 1], targets[i : i + 1]

    split, whole = small().double(), small().double()
    a = run(split, one_by_one, accumulate=3, clip=None)
    b = run(whole, lambda generator: (ids, targets), clip=None)
    assert a.train_loss == pytest.approx(b.train_loss, abs=1e-9)
    for name, tensor in weights(split).items():
        torch.testing.assert_close(tensor, weights(whole)[name], atol=1e-9, rtol=0)
    nothing = torch.full_like(targets, -100)
    with pytest.raises(ValueError, match="no target"):
        run(small(), lambda generator: (ids, nothing), accumulate=2)


def test_any_module_that_returns_logits_and_loss():
    class Bigram(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(V, V)

        def forward(self, ids, targets=None):
            logits = self.table(ids)
            return logits, F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    history = run(Bigram(), block_size=5, val=IDS)
    assert history.tokens_seen == 20 * 4 * 5
    with pytest.raises(ValueError, match="pass block_size"):
        run(Bigram())


@pytest.mark.parametrize("training", [True, False])
def test_comes_back_in_its_mode_without_gradients(training):
    model = small(dropout=0.1).train(training)
    modes = []
    run(model, callback=lambda step, m, h: modes.append(m.training), eval_every=5)
    assert model.training is training
    assert modes == [False] * 4
    assert all(p.grad is None for p in model.parameters())


def test_randomness_is_the_runs_own():
    """Dropout follows the seed, and neither callback nor caller notice each other."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = small(dropout=0.3)
    torch.set_rng_state(before)
    run(first)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    second = small(dropout=0.3)
    run(second, callback=lambda *_: torch.rand(3), val=IDS, eval_every=3)
    assert same_weights(first, second)
    third = small(dropout=0.3)
    run(third, seed=1)
    assert not same_weights(first, third)


def test_callback_moments():
    def moments(**changes):
        seen = []
        run(small(), callback=lambda step, model, history: seen.append(step), **changes)
        return seen

    assert moments(eval_every=7) == [7, 14, 20]
    assert moments() == list(range(1, 21))


@pytest.mark.parametrize("spoil", ["loss", "gradient"])
def test_not_finite_stops_with_the_last_finite_weights(spoil):
    model, calls = small(), []
    forward = model.forward

    def spoiled(ids, targets=None):
        calls.append(1)
        logits, loss = forward(ids, targets)
        if len(calls) == 6:
            if spoil == "loss":
                loss = loss * float("nan")
            else:
                loss.register_hook(lambda grad: grad * float("inf"))
        return logits, loss

    model.forward = spoiled
    seen = []
    with pytest.raises(FloatingPointError, match="step 6 of 20.*lower lr.*warmup"):
        run(model, clip=None, callback=lambda step, m, h: seen.append(weights(m)))
    assert same_weights(model, seen[4])
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"steps": 0}, ValueError, "steps is 0"),
        ({"warmup": 20}, ValueError, "warmup is 20"),
        ({"lr": -1.0}, ValueError, "lr is"),
        ({"batch_size": 0}, ValueError, "batch_size is 0"),
        ({"accumulate": 0}, ValueError, "accumulate 0"),
        ({"clip": 0.0}, ValueError, "clip is 0"),
        ({"eval_tokens": 1, "val": IDS}, ValueError, "eval_tokens is 1"),
        ({"val": [1, 2]}, TypeError, "val is a list"),
        ({"data": IDS.tolist()}, TypeError, "data is a list"),
        ({"data": IDS + 1}, ValueError, "another tokenizer"),
        ({"data": IDS.float()}, TypeError, "integers"),
        ({"data": IDS.view(2, 200)}, ValueError, "one long row"),
    ],
)
def test_bad_arguments(changes, error, message):
    model = small()
    before = weights(model)
    with pytest.raises(error, match=message):
        run(model, **changes)
    assert same_weights(before, model)


# Progress


def test_progress_ends_in_one_line(capsys):
    run(small(), progress=True, val=IDS, eval_every=10)
    shown = capsys.readouterr().out
    last = shown.rstrip("\n").split("\r")[-1]
    assert last.startswith("20/20 100%")
    assert "loss" in last and "val" in last and "tok/s" in last
    assert shown.endswith("\n") and shown.count("\n") == 1


def test_printing_in_a_callback_keeps_its_lines(capsys):
    run(small(), progress=True, eval_every=10, callback=lambda step, *_: print("sample", step))
    lines = [line.split("\r")[-1] for line in capsys.readouterr().out.split("\n")]
    assert lines[:2] == ["sample 10", "sample 20"]
    assert lines[2].startswith("20/20")


def test_silent(capsys):
    run(small(), eval_every=10, callback=lambda *_: None)
    assert capsys.readouterr() == ("", "")


# Interrupts


def interrupted_forward(model, n, place):
    """``model.forward``, but step n + 1 breaks off, before or in the middle of its gradients."""
    forward, calls = model.forward, []

    def break_off(*args, **kwargs):
        calls.extend([1] if model.training else [])  # evaluations do not count
        if model.training and len(calls) == n + 1:
            if place == "backward":
                some = model.token_embedding.weight
                some.grad = torch.ones_like(some)
            raise KeyboardInterrupt
        return forward(*args, **kwargs)

    return break_off


@pytest.mark.parametrize("place", ["forward", "backward", "val", "callback", "optimizer"])
def test_an_interrupt_anywhere_leaves_whole_steps_and_goes_on_exactly(tmp_path, place, capsys):
    reference, settings = small(dropout=0.2), dict(val=IDS, eval_every=4)
    expected = run(reference, **settings)

    model, changes = small(dropout=0.2), dict(settings)
    if place in ("forward", "backward"):
        original = model.forward
        model.forward = interrupted_forward(model, 8, place)
    elif place == "val":
        count = []

        def val(m):
            count.append(1)
            if len(count) == 2:
                raise KeyboardInterrupt
            return evaluate(m, IDS).loss

        changes["val"] = val
    elif place == "callback":
        changes["callback"] = stop_at(8)
    else:
        handle = interrupt_inside_update(8)
    path = tmp_path / "run"
    history = run(model, checkpoint=path, **changes)
    if place in ("forward", "backward"):
        model.forward = original
    elif place == "optimizer":
        handle.remove()

    assert history.interrupted and history.step == 8
    assert history.train_loss == expected.train_loss[:8]
    assert "Stopped after 8 of 20 steps" in capsys.readouterr().out
    assert all(p.grad is None for p in model.parameters())
    assert torch.isfinite(model(IDS[None, :T])[0]).all()
    assert same_weights(load_model(path), model)

    fresh = small(dropout=0.2, seed=9)
    history = run(fresh, checkpoint=path, **settings)
    assert same_weights(fresh, reference)
    assert not history.interrupted
    for name in ("steps", "train_loss", "grad_norm", "val_steps", "val_loss", "tokens_seen"):
        assert getattr(history, name) == getattr(expected, name), name


def interrupt_inside_update(n):
    """A real SIGINT while the optimizer is at work on update n."""
    count = []

    def hook(*_):
        count.append(1)
        if len(count) == n:
            signal.raise_signal(signal.SIGINT)

    return register_optimizer_step_pre_hook(hook)


def test_a_real_ctrl_c_from_outside(tmp_path):
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        pytest.skip("the test runner handles SIGINT itself")
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    model = small()
    timer.start()
    history = run(model, steps=100_000, checkpoint=tmp_path / "run")
    timer.join()
    assert history.interrupted and 0 < history.step < 100_000
    stored = load_checkpoint(tmp_path / "run")
    assert stored.history.step == history.step
    assert same_weights(stored.weights, model)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_without_checkpoint(capsys):
    history = run(small(), callback=stop_at(3))
    assert history.interrupted and history.step == 3
    assert "checkpoint=" in capsys.readouterr().out


def test_runs_in_a_thread():
    done = []
    thread = threading.Thread(target=lambda: done.append(run(small(), steps=5)))
    thread.start()
    thread.join()
    assert done[0].step == 5


# Checkpoints and resuming


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_resume_is_bit_exact(tmp_path, dropout, accumulate):
    settings = dict(accumulate=accumulate, val=IDS[:90], eval_every=5)
    reference = small(dropout)
    expected = run(reference, **settings)
    interrupted = run(small(dropout), checkpoint=tmp_path / "run", callback=stop_at(10), **settings)
    assert interrupted.interrupted and interrupted.step == 10
    model = small(dropout, seed=4)
    history = run(model, checkpoint=tmp_path / "run", **settings)
    assert same_weights(model, reference)
    assert history.train_loss == expected.train_loss
    assert history.val_loss == expected.val_loss
    assert history.steps == list(range(1, 21))
    assert history.seconds > interrupted.seconds


def test_a_finished_run_is_only_loaded(tmp_path):
    model, calls = small(), []
    first = run(model, checkpoint=tmp_path / "run", val=IDS)
    other = small(seed=3)
    second = run(other, checkpoint=tmp_path / "run", val=IDS, callback=lambda *a: calls.append(a))
    assert same_weights(model, other)
    assert second.train_loss == first.train_loss and second.val_loss == first.val_loss
    assert not calls


def test_resume_false_starts_anew(tmp_path):
    run(small(), checkpoint=tmp_path / "run")
    model = small(seed=2)
    history = run(model, checkpoint=tmp_path / "run", lr=2e-2, steps=5, resume=False)
    assert history.steps == [1, 2, 3, 4, 5]
    assert same_weights(load_model(tmp_path / "run"), model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 2e-2}, "lr was 0.01, now 0.02"),
        ({"batch_size": 5}, "batch_size was 4, now 5"),
        ({"seed": 1}, "seed was 0, now 1"),
        ({"weight_decay": 0.0}, "weight_decay was 0.1, now 0.0"),
        ({"steps": 40}, "steps was 20, now 40"),
        ({"data": IDS.flip(0)}, "data was"),
        ({"data": lambda generator: None}, "now 'a function'"),
    ],
)
def test_other_arguments_are_named(tmp_path, changes, message):
    run(small(), checkpoint=tmp_path / "run", callback=stop_at(5))
    model = small(seed=1)
    before = weights(model)
    with pytest.raises(ValueError, match=message):
        run(model, checkpoint=tmp_path / "run", **changes)
    assert same_weights(before, model)


def test_another_configuration_is_named(tmp_path):
    run(small(), checkpoint=tmp_path / "run", callback=stop_at(5))
    with pytest.raises(ValueError, match="config.n_layer was 2, now 3"):
        run(small(n_layer=3), checkpoint=tmp_path / "run")


def test_more_steps_where_the_rate_is_constant(tmp_path):
    constant = dict(min_lr=1e-2, warmup=0)
    reference, model = small(), small()
    run(reference, **constant)
    run(model, steps=8, checkpoint=tmp_path / "run", **constant)
    model = small(seed=1)
    history = run(model, steps=20, checkpoint=tmp_path / "run", **constant)
    assert history.step == 20 and same_weights(model, reference)


@pytest.mark.parametrize("tie", [True, False])
def test_save_and_load_a_model(tmp_path, tie):
    model = small(tie_weights=tie, position="sinusoidal", dropout=0.1)
    path = save_checkpoint(tmp_path / "deep" / "v1.2", model)
    assert path.name == "v1.2.safetensors"
    before = torch.get_rng_state()
    loaded = load_model(tmp_path / "deep" / "v1.2")
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.config == model.config and not loaded.training
    assert same_weights(loaded, model)
    assert torch.equal(loaded(IDS[None, :T])[0], model.eval()(IDS[None, :T])[0])
    assert (loaded.lm_head.weight is loaded.token_embedding.weight) is tie
    stored = sum(p.numel() * 4 for p in model.parameters())
    assert stored < path.stat().st_size < stored + 10_000  # a tied weight is there once
    record = json.loads((tmp_path / "deep" / "v1.2.json").read_text("utf-8"))
    assert GPTConfig(**record["config"]) == model.config
    with pytest.raises(ValueError, match="not written by train"):
        run(model, checkpoint=path)


def test_same_state_gives_the_same_bytes(tmp_path):
    a, b = small(), small()
    assert save_checkpoint(tmp_path / "a", a).read_bytes() == (
        save_checkpoint(tmp_path / "b", b).read_bytes()
    )


def test_damaged_files_are_named(tmp_path):
    path = save_checkpoint(tmp_path / "run", small())
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], whole[:300], whole[:-1], b"\0" * 64):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"run\.safetensors is damaged"):
            load_checkpoint(tmp_path / "run")
    flipped = bytearray(whole)
    flipped[-20] ^= 1
    path.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"run\.safetensors is damaged: its checksum"):
        load_model(tmp_path / "run")
    for place in range(8, whole.index(b'"model/')):  # settings and history
        flipped = bytearray(whole)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(ValueError, match=r"run\.safetensors"):
            load_checkpoint(tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="no checkpoint .*none"):
        load_checkpoint(tmp_path / "none")


def test_a_loaded_model_has_the_precision_it_was_saved_in(tmp_path):
    model = small().double()
    save_checkpoint(tmp_path / "run", model)
    loaded = load_model(tmp_path / "run")
    assert loaded.lm_head.weight.dtype == torch.float64 and same_weights(model, loaded)


def test_numbers_of_numpy_are_stored_like_any_others(tmp_path):
    numbers = dict(steps=np.int64(3), batch_size=np.int64(2), lr=np.float32(0.01))
    numbers |= dict(seed=np.int64(1), warmup=np.int64(1), block_size=np.int64(5))
    numbers |= dict(clip=np.float32(1), weight_decay=np.float32(0.1), accumulate=np.int64(2))
    run(small(), **numbers, checkpoint=tmp_path / "run")
    history = run(small(), **numbers, checkpoint=tmp_path / "run")
    assert history.step == 3 and not history.interrupted
    with pytest.raises(TypeError, match=r"steps is 2\.5; it must be a whole number"):
        run(small(), steps=2.5)
    with pytest.raises(ValueError, match="block_size is 0; it must be at least 1"):
        run(small(), block_size=0)


def test_foreign_files_and_models_are_refused(tmp_path):
    from safetensors.torch import save_file

    save_file({"a": torch.ones(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ValueError, match="not one that gptlib"):
        load_checkpoint(tmp_path / "foreign")
    save_checkpoint(tmp_path / "layer", nn.Linear(2, 3))
    with pytest.raises(ValueError, match="not a gptlib GPT"):
        load_model(tmp_path / "layer")
    other = nn.Linear(2, 4)
    before = weights(other)
    with pytest.raises(ValueError, match="another model.*bias"):
        load_checkpoint(tmp_path / "layer").restore(other)
    assert same_weights(before, other)


def test_a_failed_save_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    model = small()
    save_checkpoint(tmp_path / "run", model)
    written = []

    def full_disk(descriptor):
        written.append(os.fstat(descriptor).st_size)
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path / "run", small(seed=1))
    assert written[0] > 1000
    assert same_weights(load_model(tmp_path / "run"), model)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run.json", "run.safetensors"]


def test_unfinished_files_of_killed_processes_are_cleared(tmp_path):
    old, young = tmp_path / "run.safetensors.1.partial", tmp_path / "run.safetensors.2.partial"
    for file in (old, young):
        file.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    save_checkpoint(tmp_path / "run", small())
    assert young.exists() and not old.exists()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")

KILLER = """
    import os, random, signal, sys, time
    import torch
    from torch import nn
    from gptlib.checkpoints import History, load_checkpoint, save_checkpoint

    torch.set_num_threads(1)
    folder, hits = sys.argv[1], 0

    def writing():
        return any(".safetensors." in name for name in os.listdir(folder))

    for attempt in range(40):
        path = f"{folder}/{attempt}"
        child = os.fork()
        if child == 0:
            model = nn.ModuleList(nn.Linear(200, 200) for _ in range(12))
            for n in range(1, 1_000_000):
                with torch.no_grad():
                    for p in model.parameters():
                        p.fill_(n)
                save_checkpoint(path, model, history=History(steps=[n]))
        while not os.path.exists(path + ".safetensors"):
            time.sleep(0.001)
        time.sleep(random.Random(attempt).uniform(0.0, 0.06))
        while attempt % 2 and not writing():
            pass  # on a busy machine a random moment hardly ever meets a save
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        stored = load_checkpoint(path)
        values = torch.cat([w.flatten() for w in stored.weights.values()]).unique()
        assert values.tolist() == [float(stored.history.step)], "a mixture of two checkpoints"
        hits += writing()
        for name in os.listdir(folder):
            os.remove(f"{folder}/{name}")
        if attempt >= 9 and hits >= 3:
            break
    print("killed while writing:", hits)
    assert hits >= 3, "the kills never met a save: the test shows nothing"
"""


@needs_fork
def test_kill_while_saving_leaves_a_whole_checkpoint(tmp_path):
    code = textwrap.dedent(KILLER)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_fork
def test_kill_while_training_then_resume(tmp_path):
    """A run killed at some step, with a checkpoint at each, ends in the same weights."""
    code = f"""
import sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import torch
from test_training import run, small
torch.set_num_threads(1)
run(small(0.2), steps=60, checkpoint=sys.argv[1], checkpoint_every=1)
"""
    path = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    while not path.with_suffix(".safetensors").exists():
        assert process.poll() is None
        time.sleep(0.002)
    time.sleep(0.05)
    process.kill()
    process.wait()
    assert 1 <= load_checkpoint(path).history.step < 60
    model, reference = small(0.2, seed=8), small(0.2)
    history = run(model, steps=60, checkpoint=path, checkpoint_every=1)
    expected = run(reference, steps=60)
    assert history.train_loss == expected.train_loss
    assert same_weights(model, reference)
