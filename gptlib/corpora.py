"""The texts of the course, by name: ``load("tales").train``.

Two come with every Python (``python-docs``, ``python-code``), one is downloaded once and checked
(``shakespeare``), three are made by generators that give the same bytes everywhere (``tales``,
``class-chain``, ``addition``). Each has a folder in ``datasets/`` with a card and a sample.
The first chapter that uses this module is chapter 1.
"""

from __future__ import annotations

import hashlib
import inspect
import random
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gptlib import addition, class_chain, tales
from gptlib.downloads import DataUnavailableError, fetch

SHAKESPEARE_URL = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)

# Modules that every Python from 3.10 to 3.13 has, written to be read.
_MODULES = """
    abc argparse ast base64 bdb bisect calendar cmd code codecs collections/__init__ colorsys
    configparser contextlib copy csv dataclasses difflib enum fileinput fnmatch fractions functools
    getopt glob graphlib gzip heapq hmac ipaddress json/decoder json/encoder linecache
    logging/__init__ numbers operator os pprint queue random sched shelve shlex shutil socketserver
    statistics string tempfile textwrap threading timeit
"""
CODE_MODULES = tuple(_MODULES.split())


@dataclass(frozen=True)
class About:
    """Where a corpus comes from.

    ``sha256``: of the whole text as UTF-8 with the default options, or None where it differs by
    Python version. ``generated``: made here, from a seed.
    """

    name: str
    source: str
    licence: str
    sha256: str | None
    generated: bool = False


@dataclass(frozen=True)
class Corpus:
    """A text, its split and its card. ``train + val == text``."""

    name: str
    text: str = field(repr=False)
    train: str = field(repr=False)
    val: str = field(repr=False)
    card: str = field(repr=False)
    about: About

    @property
    def sha256(self) -> str:
        """SHA-256 of this text as UTF-8, in hexadecimal."""
        return hashlib.sha256(self.text.encode("utf-8")).hexdigest()


def _nine_tenths(text: str, boundary: str = "\n") -> int:
    """Where to cut: after the last boundary within the first 90% of the characters."""
    limit = len(text) * 9 // 10
    found = text.rfind(boundary, 0, limit)
    return limit if found < 0 else found + len(boundary)


def _python_docs() -> tuple[str, int]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataUnavailableError(
            "this Python came without its reference manual (the module pydoc_data.topics); "
            "use a Python from python.org, conda or your system's full package"
        ) from None
    text = "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"
    return text, _nine_tenths(text)


def _python_code(max_chars: int = 1_000_000) -> tuple[str, int]:
    folder = Path(sysconfig.get_path("stdlib"))
    parts: list[str] = []
    size = 0
    for name in CODE_MODULES:
        try:
            # Text mode turns every line ending into "\n".
            source = (folder / f"{name}.py").read_text(encoding="utf-8").strip() + "\n"
        except OSError:
            raise DataUnavailableError(
                f"the source of the standard library's {name!r} is not in {folder}: this Python "
                "came without its sources; use a Python from python.org, conda or your system's "
                "full package, or another corpus"
            ) from None
        size += len(source) + (2 if parts else 0)
        if size > max_chars:
            break
        parts.append(source)
    if not parts:
        raise ValueError(f"max_chars is {max_chars}, less than the first module has")
    text = "\n\n".join(parts)
    return text, _nine_tenths(text)


def _shakespeare() -> tuple[str, int]:
    path = fetch(
        "tinyshakespeare/input.txt",
        SHAKESPEARE_URL,
        str(ABOUT["shakespeare"].sha256),
        "the text of Tiny Shakespeare",
    )
    # Bytes, not text mode: a line ending changed on the way would change the checksum's text.
    text = path.read_bytes().decode("utf-8")
    return text, int(len(text) * 0.9)


def _tales(seed: int = 0, n_documents: int = tales.DOCUMENTS) -> tuple[str, int]:
    text = "\n\n".join(tales.documents(n_documents, seed)) + "\n"
    return text, _nine_tenths(text, "\n\n")


def _class_chain(
    seed: int = 0,
    text_seed: int = 1,
    train_words: int = class_chain.TRAIN_WORDS,
    val_words: int = class_chain.VAL_WORDS,
) -> tuple[str, int]:
    if train_words < 1 or val_words < 1:
        raise ValueError(
            f"train_words is {train_words}, val_words {val_words}; each must be at least 1"
        )
    chain = class_chain.make_chain(seed)
    words = chain.generate(train_words + val_words, random.Random(text_seed))
    parts = []
    for section in (words[:train_words], words[train_words:]):
        lines = [" ".join(section[i : i + 15]) for i in range(0, len(section), 15)]
        parts.append("\n".join(lines) + "\n")
    return "".join(parts), len(parts[0])


def _addition(digits: int = 2, seed: int = 0, reverse: bool = False) -> tuple[str, int]:
    parts = [
        "".join(addition.line(a, b, digits, reverse) + "\n" for a, b in pairs)
        for pairs in addition.split(digits, seed)
    ]
    return "".join(parts), len(parts[0])


_PSF = "Python Software Foundation License Version 2 (documentation and code of Python)"
_MIT = "MIT, like the course"

ABOUT: dict[str, About] = {
    about.name: about
    for about in (
        About("python-docs", "the reference manual in your Python, pydoc_data.topics", _PSF, None),
        About("python-code", "the standard library's source in your Python", _PSF, None),
        About(
            "shakespeare",
            SHAKESPEARE_URL,
            "public domain (the plays); no licence is stated for the selection",
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        ),
        About(
            "tales",
            "gptlib.tales",
            _MIT,
            "df8f9f5f8199af23faa2ce48f0e40c740c81df10b04d8586cbd3f9f36509eda7",
            generated=True,
        ),
        About(
            "class-chain",
            "gptlib.class_chain",
            _MIT,
            "32196db43b06c46716c2ef32d2a513d6da59b5064e17cf93b05d437773d0dc89",
            generated=True,
        ),
        About(
            "addition",
            "gptlib.addition",
            _MIT,
            "33c6a999fd7cb962888c03965f33e50fec964a74f1fe846b94ef0faa611d47fc",
            generated=True,
        ),
    )
}
"""The registry: source, licence and checksum of every corpus."""

_BUILDERS: dict[str, Callable[..., tuple[str, int]]] = {
    "python-docs": _python_docs,
    "python-code": _python_code,
    "shakespeare": _shakespeare,
    "tales": _tales,
    "class-chain": _class_chain,
    "addition": _addition,
}


def names() -> tuple[str, ...]:
    """The names of all corpora that ``load`` knows."""
    return tuple(ABOUT)


def datasets_folder() -> Path:
    """Where the cards and samples are: in an installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    inside = package / "datasets"
    return inside if inside.is_dir() else package.parent / "datasets"


def _card(name: str) -> str:
    path = datasets_folder() / name / "README.md"
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        raise DataUnavailableError(
            f"the card {path} is missing: this copy of the course is incomplete; install it again"
        ) from None


def load(name: str, **options: int) -> Corpus:
    """The corpus with this name, split into ``train`` and ``val``; ``train + val == text``.

    The last tenth of the characters is val. The cut is at the end of the last line within the
    first nine tenths (``tales``: of the last document), so that no line is in both parts. Three
    corpora have a cut of their own. ``shakespeare`` is cut at exactly ``int(0.9 * len(text))``,
    as nanoGPT does, so that losses compare. ``class-chain`` has 12,000 words for training and
    6,000 more. ``addition`` holds out a tenth of all sums (``gptlib.addition.split``).

    Options, all with defaults: ``tales`` has ``seed`` and ``n_documents``; ``class-chain`` has
    ``seed`` (the language), ``text_seed``, ``train_words`` and ``val_words``; ``addition`` has
    ``digits``, ``seed`` and ``reverse``; ``python-code`` has ``max_chars``, and takes whole modules
    up to it.

    Raises KeyError for a name that isn't known, TypeError for an option that the corpus doesn't
    have, DataUnavailableError where the text can't be had on this machine.
    """
    if name not in ABOUT:
        raise KeyError(f"no corpus is called {name!r}; the known ones are {', '.join(ABOUT)}")
    build = _BUILDERS[name]
    known = tuple(inspect.signature(build).parameters)
    for option in options:
        if option not in known:
            raise TypeError(
                f"{name} has no option {option!r}; it has {', '.join(known) or 'no options'}"
            )
    text, cut = build(**options)
    return Corpus(name, text, text[:cut], text[cut:], _card(name), ABOUT[name])
