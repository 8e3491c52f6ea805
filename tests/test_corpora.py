"""The registry of corpora: the same bytes everywhere, honest splits, cards, clear errors."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gptlib import corpora, draws
from gptlib.downloads import DataUnavailableError

ROOT = Path(__file__).resolve().parents[1]
GENERATED = ("tales", "class-chain", "addition")
WITH_PYTHON = ("python-docs", "python-code")
LOCAL = (*WITH_PYTHON, *GENERATED)
# Digests as a fresh interpreter computes them.
PRINT_DIGESTS = (
    f"from gptlib import corpora\nfor name in {GENERATED}: print(name, corpora.load(name).sha256)"
)


def other_pythons() -> list[str]:
    """Other Pythons of the supported versions on this machine; the generators need no package."""
    found = [shutil.which(f"python3.{minor}") for minor in range(10, 14)]
    found += sorted(map(str, Path.home().glob(".pyenv/versions/3.1[0-3].*/bin/python")))
    own = os.path.realpath(sys.executable)
    others = {os.path.realpath(path): path for path in found if path}
    return [path for real, path in others.items() if real != own and runs(path)]


def runs(python: str) -> bool:
    """Whether this is an interpreter that starts, and not a stand-in for one that is absent."""
    return subprocess.run([python, "-c", ""], capture_output=True, timeout=60).returncode == 0


def digests(python: str, hash_seed: str) -> str:
    env = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [python, "-c", PRINT_DIGESTS], env=env, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


EXPECTED = "".join(f"{name} {corpora.ABOUT[name].sha256}\n" for name in GENERATED)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_generators_give_the_recorded_bytes(hash_seed) -> None:
    assert digests(sys.executable, hash_seed) == EXPECTED


@pytest.mark.slow
def test_generators_give_the_recorded_bytes_on_other_pythons() -> None:
    pythons = other_pythons()
    if not pythons:
        pytest.skip("no other Python from 3.10 to 3.13 is on this machine")
    for python in pythons:
        assert digests(python, "1") == EXPECTED, python


def test_the_only_promised_method_gives_the_promised_numbers() -> None:
    # If random() ever changed, every generator would; this says so at the root.
    rng = random.Random(0)
    assert [rng.random() for _ in range(2)] == [0.8444218515250481, 0.7579544029403025]


def test_draws() -> None:
    rng = random.Random(1)
    assert sorted(draws.shuffled(rng, range(10))) == list(range(10))
    assert len(set(draws.sample(rng, "abcdefgh", 5))) == 5
    counts = [0, 0, 0]
    for _ in range(6000):
        counts[draws.pick_weighted(rng, range(3), (1, 0, 5))] += 1
    assert counts[1] == 0 and abs(counts[0] - 1000) < 150
    orders = [tuple(draws.shuffled(rng, "abc")) for _ in range(6000)]
    assert len(set(orders)) == 6
    assert all(abs(orders.count(order) - 1000) < 150 for order in set(orders))
    with pytest.raises(ValueError, match="4 different items"):
        draws.sample(rng, "abc", 4)
    with pytest.raises(ValueError, match="at least 1"):
        draws.below(rng, 0)


@pytest.mark.parametrize("name", LOCAL)
def test_split_is_exact_and_about_a_tenth(name) -> None:
    corpus = corpora.load(name)
    assert corpus.train + corpus.val == corpus.text
    assert corpus.train.endswith("\n") and corpus.val.endswith("\n")
    share = len(corpus.val) / len(corpus.text)
    assert share == pytest.approx(1 / 3 if name == "class-chain" else 0.1, abs=0.002)


def test_tales_are_cut_between_documents() -> None:
    corpus = corpora.load("tales")
    assert corpus.train.endswith("\n\n") and not corpus.val.startswith("\n")
    assert len(corpus.text) < 500_000


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_texts_of_python_are_real_and_of_the_promised_size(name) -> None:
    corpus = corpora.load(name)
    assert 400_000 < len(corpus.text) <= 1_000_000
    assert corpus.about.sha256 is None and "Python Software Foundation" in corpus.about.licence
    assert "\r" not in corpus.text
    word = "def " if name == "python-code" else "expression"
    assert corpus.text.count(word) > 200


def test_python_code_takes_whole_modules_up_to_its_limit() -> None:
    full, part = corpora.load("python-code"), corpora.load("python-code", max_chars=200_000)
    assert full.text.startswith(part.text[:-1])
    assert 100_000 < len(part.text) <= 200_000
    compile(part.text, "modules", "exec", dont_inherit=True)
    with pytest.raises(ValueError, match="less than the first module"):
        corpora.load("python-code", max_chars=10)


def test_missing_sources_are_named(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(corpora.sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(DataUnavailableError, match="'abc' is not in .*came without its sources"):
        corpora.load("python-code")


def test_a_missing_manual_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    with pytest.raises(DataUnavailableError, match="reference manual"):
        corpora.load("python-docs")


def test_unknown_names_and_options() -> None:
    with pytest.raises(KeyError, match="no corpus is called 'tale'.*python-docs.*addition"):
        corpora.load("tale")
    with pytest.raises(TypeError, match="tales has no option 'size'; it has seed, n_documents"):
        corpora.load("tales", size=3)
    with pytest.raises(TypeError, match="it has no options"):
        corpora.load("python-docs", seed=1)


def test_options_reach_the_generator() -> None:
    assert corpora.load("tales", seed=1).sha256 != corpora.load("tales").sha256
    assert len(corpora.load("tales", n_documents=12).text.split("\n\n")) == 12
    assert len(corpora.load("class-chain", train_words=100, val_words=7).val.split()) == 7
    with pytest.raises(ValueError, match="val_words 0"):
        corpora.load("class-chain", val_words=0)


def test_repr_is_short() -> None:
    assert len(repr(corpora.load("tales"))) < 400


# Tiny Shakespeare: a file in GPTLIB_DATA, a download, or one error with both remedies.


@pytest.fixture
def no_network(monkeypatch, tmp_path) -> list[str]:
    """Without data folder and cache; every download fails. The list holds what was asked for."""
    import pooch
    import requests

    asked = []

    def refuse(url, output, pooch_object, check_only=False):
        asked.append(url)
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.delenv("GPTLIB_DATA", raising=False)
    monkeypatch.setattr(pooch, "os_cache", lambda project: tmp_path / "cache" / project)
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **options: refuse)
    return asked


def test_shakespeare_offline_names_both_remedies_once(no_network) -> None:
    with pytest.raises(DataUnavailableError) as raised:
        corpora.load("shakespeare")
    message = str(raised.value)
    assert "connect to the network" in message
    assert "GPTLIB_DATA" in message and "tinyshakespeare/input.txt" in message
    assert no_network == [corpora.SHAKESPEARE_URL]  # asked once: no long retries
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_shakespeare_with_another_checksum_names_the_file(
    no_network, monkeypatch, tmp_path
) -> None:
    path = tmp_path / "tinyshakespeare" / "input.txt"
    path.parent.mkdir()
    path.write_text("First Citizen:\n")
    monkeypatch.setenv("GPTLIB_DATA", str(tmp_path))
    with pytest.raises(DataUnavailableError, match="SHA-256") as raised:
        corpora.load("shakespeare")
    assert str(path) in str(raised.value)
    assert no_network == []


def test_shakespeare_from_the_data_folder_is_cut_as_in_nanogpt(monkeypatch, tmp_path) -> None:
    content = ("First Citizen:\nspeak, speak.\n\n" * 100).encode()
    about = corpora.About("shakespeare", "here", "none", hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(corpora.ABOUT, "shakespeare", about)
    path = tmp_path / "tinyshakespeare" / "input.txt"
    path.parent.mkdir()
    path.write_bytes(content)
    monkeypatch.setenv("GPTLIB_DATA", str(tmp_path))
    corpus = corpora.load("shakespeare")
    assert len(corpus.train) == int(len(content) * 0.9)
    assert corpus.train + corpus.val == content.decode()


def test_the_real_shakespeare() -> None:
    folder = os.environ.get("GPTLIB_DATA")
    if not folder or not Path(folder, "tinyshakespeare", "input.txt").is_file():
        pytest.skip("GPTLIB_DATA has no tinyshakespeare/input.txt")
    corpus = corpora.load("shakespeare")
    assert (len(corpus.train), len(corpus.val)) == (1_003_854, 111_540)
    assert len(set(corpus.text)) == 65
    assert corpus.sha256 == corpus.about.sha256


# Cards and samples.


@pytest.mark.parametrize("name", corpora.names())
def test_card_and_sample(name) -> None:
    folder = corpora.datasets_folder() / name
    card = (folder / "README.md").read_text(encoding="utf-8")
    about = corpora.ABOUT[name]
    for heading in ("# ", "## What it is", "## Source and licence", "## Split", "## Limits"):
        assert heading in card, heading
    assert about.sha256 is None or about.sha256 in card
    assert about.licence.split(" (")[0].split(",")[0] in card
    sample = (folder / "sample.txt").read_text(encoding="utf-8")
    assert 3 <= len(sample.splitlines()) <= 60
    if name in LOCAL:
        assert corpora.load(name).card == card
    index = (folder.parent / "README.md").read_text(encoding="utf-8")
    assert f"]({name}/README.md)" in index


@pytest.mark.parametrize("name", GENERATED)
def test_card_and_sample_keep_in_step_with_the_generator(name) -> None:
    corpus = corpora.load(name)
    folder = corpora.datasets_folder() / name
    assert corpus.text.startswith((folder / "sample.txt").read_text(encoding="utf-8"))
    for number in (len(corpus.text), len(corpus.train), len(corpus.val)):
        assert f"{number:,}" in corpus.card, number


def test_every_folder_of_datasets_is_a_corpus() -> None:
    folders = {path.name for path in corpora.datasets_folder().iterdir() if path.is_dir()}
    assert folders == set(corpora.names())
