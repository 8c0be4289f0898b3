"""Tokenizers: that of a pretrained model, or a small one trained on the catalogue's own texts."""

import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import sentencepiece
from transformers import AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerFast, T5Tokenizer

from genrec.artifacts import ArtifactError
from genrec.prompts.plain_text import clean


def make_tokenizer(
    path: str | None, texts: Iterable[str], *, size: int, kind: Literal["llama", "t5"]
) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a pretrained model, or train one where there is no such model."""
    return load_tokenizer(path) if path else train_tokenizer(texts, size=size, kind=kind)


def load_tokenizer(path: str) -> PreTrainedTokenizerFast:
    """Load the tokenizer of a pretrained model by name or folder.

    Raises:
        ArtifactError: When there is no such model.
        ValueError: When transformers has only a slow one for it, which cannot keep data apart.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"the language model {path!r} cannot be loaded: {error} Give the folder of a model "
            "with its tokenizer, or the name of one that can be fetched"
        ) from error
    if not tokenizer.is_fast:
        raise ValueError(
            f"{path} has only a slow tokenizer, {type(tokenizer).__name__}; "
            "convert it to the format of the tokenizers library"
        )
    return tokenizer


def train_tokenizer(
    texts: Iterable[str], *, size: int, kind: Literal["llama", "t5"] = "llama"
) -> PreTrainedTokenizerFast:
    """Train a SentencePiece model and wrap it as the tokenizer of a Llama or a T5.

    Llama's is byte-pair encoding that falls back to bytes; T5's is a unigram model
    (https://arxiv.org/abs/1808.06226). A small corpus gives fewer pieces than asked for.

    Args:
        texts: What the model will read: descriptions, reviews, queries, templates.
        size: Number of pieces at most.
        kind: Whose conventions to follow.

    Raises:
        ValueError: When there is no text, or more letters than pieces.
    """
    corpus = ["0 1 2 3 4 5 6 7 8 9", *(line for line in map(clean, texts) if line)]
    if len(corpus) == 1:
        raise ValueError("there is no text to train a tokenizer on; are all attributes missing?")
    special: dict[str, Any] = (
        {"unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": 3}
        if kind == "llama"
        else {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
    )
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(corpus),
            model_writer=model,
            model_type="bpe" if kind == "llama" else "unigram",
            byte_fallback=kind == "llama",
            vocab_size=size,
            hard_vocab_limit=False,
            split_digits=True,
            required_chars="0123456789.",  # rare ones are left out otherwise, but ratings need them
            minloglevel=2,
            **special,
        )
    except RuntimeError as error:
        raise ValueError(
            f"a vocabulary of {size} pieces cannot be trained on {len(corpus)} texts; "
            f"raise text_pieces ({error})"
        ) from error
    # transformers reads a SentencePiece model only from a folder and by these names.
    with tempfile.TemporaryDirectory() as folder:
        name = "tokenizer.model" if kind == "llama" else "spiece.model"
        (Path(folder) / name).write_bytes(model.getvalue())
        if kind == "llama":
            return LlamaTokenizer.from_pretrained(folder, pad_token="<pad>")
        return T5Tokenizer.from_pretrained(folder, extra_ids=0)
