"""Training a byte-pair vocabulary beside Hugging Face's tokenizers, encoding beside tiktoken."""

from __future__ import annotations

from benchmarks.harness import Row, compare
from gptlib import corpora
from gptlib.tokenizers import train_bpe

MERGES = 1024


def their_training(text: str) -> object:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=256 + MERGES,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer


def bpe_train() -> Row:
    text = corpora.load("shakespeare").text
    return compare(
        "bpe-train",
        lambda: train_bpe(text, 256 + MERGES),
        lambda: their_training(text),
        peer_name="tokenizers (Rust)",
        target=0.33,
        rounds=7,
        unit="s",
        note="1.1 MB of Tiny Shakespeare, 1,024 merges; ours is Python",
    )


def bpe_encode() -> Row:
    import tiktoken

    text = corpora.load("shakespeare").text
    ours = train_bpe(text, 256 + MERGES)
    theirs = tiktoken.Encoding(
        "peer",
        pat_str=ours.encoding._pat_str,
        mergeable_ranks=dict(ours.encoding._mergeable_ranks),
        special_tokens={},
    )
    return compare(
        "bpe-encode",
        lambda: ours.encode(text),
        lambda: theirs.encode_ordinary(text),
        peer_name="tiktoken",
        target=1.0,
        rounds=15,
    )


ROWS = {"bpe-train": bpe_train, "bpe-encode": bpe_encode}
