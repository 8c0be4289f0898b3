"""The tokens of a model: plain text, markers, semantic IDs and image tokens, kept strictly apart.

Text from a catalogue or a user is data. It is encoded by a copy of the tokenizer that knows no
added token and whose special pieces no text can spell, so whatever a title contains (``<a_1>``,
``[EOC]``, ``</s>``), only plain-text tokens come out. Markers and codes enter by their numbers.

Shape letters in this file: N items, L levels.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from genrec.artifacts import ArtifactError, fingerprint, write_directory
from genrec.prompts.plain_text import clean, plain_tokenizer
from genrec.semantic_ids import SemanticIds, code_token

IMAGE = "[IMG]"
"""Marks where an item's picture belongs (UniMP, equation 1)."""

END_OF_CHUNK = "[EOC]"
"""Ends the description of an item (UniMP, equation 1)."""

PAD = "[PAD]"

# Longest text that one token may stand for when data is cut before it is tokenized.
_CHARACTERS_PER_TOKEN = 32


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer to which the markers and all codes of the semantic IDs were added."""

    tokenizer: PreTrainedTokenizerFast
    """Knows all tokens; use it to decode and to save, never to encode data."""

    codebook_sizes: tuple[int, ...]
    """Codes per level; their tokens follow one another, level by level."""

    first_code: int
    """Number of the token ``<a_0>``."""

    @classmethod
    def extend(
        cls,
        tokenizer: PreTrainedTokenizerFast,
        ids: SemanticIds,
        *,
        soft_prompt: int = 0,
        image_codes: int = 0,
    ) -> "Vocabulary":
        """Add the markers and the codes of ``ids`` to a tokenizer.

        Codes are ordinary added tokens, not special ones: special tokens vanish from decoded text.

        Args:
            tokenizer: Any fast tokenizer; it is changed.
            ids: The semantic IDs.
            soft_prompt: Tokens without a meaning of their own that all prompts are to begin with.
            image_codes: Codes that pictures are written with, for tasks that answer with pictures.
        """
        if tokenizer.eos_token_id is None:
            raise ValueError("the tokenizer has no end-of-sequence token; set tokenizer.eos_token")
        if tokenizer.pad_token_id is None:
            tokenizer.add_special_tokens({"pad_token": PAD})
        soft = [_soft_token(number) for number in range(soft_prompt)]
        markers = [AddedToken(marker, special=True) for marker in (IMAGE, END_OF_CHUNK, *soft)]
        tokenizer.add_tokens(markers, special_tokens=True)
        names = [*ids.tokens, *map(_image_token, range(image_codes))]
        codes = [AddedToken(token, normalized=False, special=False) for token in names]
        added = tokenizer.add_tokens(codes)
        if added != len(codes):
            raise ValueError(
                f"{len(codes) - added} tokens of semantic IDs or pictures are in the tokenizer "
                "already"
            )
        return cls._checked(tokenizer, ids.codebook_sizes)

    @classmethod
    def kept_in(
        cls,
        path: Path | str,
        ids: SemanticIds,
        make_tokenizer: Callable[[], PreTrainedTokenizerFast],
        *,
        soft_prompt: int = 0,
        image_codes: int = 0,
    ) -> "Vocabulary":
        """Read the vocabulary that a run keeps in a folder, or make it there the first time."""
        if not Path(path).is_dir():
            with write_directory(path) as folder:
                cls.extend(
                    make_tokenizer(), ids, soft_prompt=soft_prompt, image_codes=image_codes
                ).save(folder)
        return cls.load(path, ids.codebook_sizes)

    @classmethod
    def load(cls, path: Path | str, codebook_sizes: Sequence[int]) -> "Vocabulary":
        """Read the tokenizer of a model directory that :meth:`save` wrote."""
        tokenizer = AutoTokenizer.from_pretrained(str(path))
        return cls._checked(tokenizer, tuple(codebook_sizes))

    @classmethod
    def _checked(
        cls, tokenizer: PreTrainedTokenizerFast, codebook_sizes: tuple[int, ...]
    ) -> "Vocabulary":
        tokens = [code_token(lv, c) for lv, size in enumerate(codebook_sizes) for c in range(size)]
        tokens += _numbered(tokenizer, _image_token)
        numbers = tokenizer.convert_tokens_to_ids(tokens)
        first = numbers[0]
        if numbers != list(range(first, first + len(tokens))):
            raise ArtifactError(
                "the tokenizer does not hold the tokens of semantic IDs and pictures in one block"
            )
        return cls(tokenizer, codebook_sizes, first)

    def save(self, path: Path | str) -> None:
        """Write the tokenizer in the Hugging Face way."""
        self.tokenizer.save_pretrained(str(path))

    def __len__(self) -> int:
        return len(self.tokenizer)

    @property
    def bos(self) -> list[int]:
        """The begin-of-sequence token, or nothing where the tokenizer has none."""
        number = self.tokenizer.bos_token_id
        return [] if number is None else [number]

    @property
    def eos(self) -> int:
        """The token that ends an answer."""
        return int(self.tokenizer.eos_token_id)

    @property
    def pad(self) -> int:
        """The token that fills up a row."""
        return int(self.tokenizer.pad_token_id)

    @property
    def special(self) -> dict[str, int | None]:
        """Numbers of the special tokens, by the names that model configs give them."""
        bos = self.tokenizer.bos_token_id
        return {"bos_token_id": bos, "eos_token_id": self.eos, "pad_token_id": self.pad}

    @cached_property
    def image(self) -> int:
        """The token that marks where a picture belongs."""
        return int(self.tokenizer.convert_tokens_to_ids(IMAGE))

    @cached_property
    def end_of_chunk(self) -> int:
        """The token that ends an item's description."""
        return int(self.tokenizer.convert_tokens_to_ids(END_OF_CHUNK))

    @cached_property
    def level_starts(self) -> tuple[int, ...]:
        """The number of the first token of every level."""
        sizes = np.cumsum([0, *self.codebook_sizes[:-1]])
        return tuple(int(self.first_code + size) for size in sizes)

    @cached_property
    def soft_prompt(self) -> list[int]:
        """Tokens that every prompt begins with, to be learnt (https://arxiv.org/abs/2104.08691)."""
        names = _numbered(self.tokenizer, _soft_token)
        return [int(number) for number in self.tokenizer.convert_tokens_to_ids(names)]

    @cached_property
    def image_tokens(self) -> range:
        """The tokens of the codes that pictures are written with; they follow the semantic IDs'."""
        first = self.first_code + sum(self.codebook_sizes)
        return range(first, first + len(_numbered(self.tokenizer, _image_token)))

    @property
    def new_tokens(self) -> list[int]:
        """Tokens that no pretrained model has seen: markers, all codes and a soft prompt."""
        codes = range(self.first_code, self.image_tokens.stop)
        return sorted({self.image, self.end_of_chunk, *self.soft_prompt, *codes})

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every token with its number."""
        return fingerprint(json.dumps(self.tokenizer.get_vocab(), sort_keys=True))

    def item_tokens(self, ids: SemanticIds) -> np.ndarray[Any, np.dtype[np.int32]]:
        """Number the tokens of every item's semantic ID, of shape (items, levels)."""
        return ids.codes_NL + np.asarray(self.level_starts, dtype=np.int32)

    def encode(self, text: str, *, max_tokens: int | None = None) -> list[int]:
        """Encode text as plain text, whatever it contains.

        Args:
            text: Data or template text. Control characters and marks that reorder text go.
            max_tokens: Keep only so many tokens from the start.
        """
        if max_tokens is not None:
            text = text[: max_tokens * _CHARACTERS_PER_TOKEN]
        numbers: list[int] = self._plain.encode(clean(text), add_special_tokens=False).ids
        return numbers if max_tokens is None else numbers[:max_tokens]

    def decode(self, numbers: Iterable[int]) -> str:
        """Turn tokens into text, without special tokens and with codes written out."""
        text: str = self.tokenizer.decode(list(numbers), skip_special_tokens=True)
        return text.strip()

    @cached_property
    def _plain(self) -> Tokenizer:
        return plain_tokenizer(self.tokenizer.backend_tokenizer)


def _numbered(tokenizer: PreTrainedTokenizerFast, name_of: Callable[[int], str]) -> list[str]:
    """List the added tokens of numbered names, from 0 up to the first that is missing."""
    added = tokenizer.get_added_vocab()
    return list(takewhile(added.__contains__, map(name_of, count())))


def _soft_token(number: int) -> str:
    return f"[SOFT-{number}]"


def _image_token(number: int) -> str:
    return f"<img_{number}>"
