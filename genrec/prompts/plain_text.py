"""Text that can never become control: what is no text goes, and no special token can be spelt."""

import json
import re
import unicodedata

from tokenizers import Tokenizer

# SentencePiece takes two more for blanks: its own mark of one, and what stands for lost letters.
_BLANKS = re.compile(r"[\s\u2581\uFFFD]+")


def plain_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """Copy a tokenizer such that no text can become one of its special or added tokens.

    Dropping the added tokens is not enough: a Unigram model also matches the piece ``</s>`` of its
    own vocabulary, and a merge can spell it. So those pieces get names with a control character,
    which :func:`clean` takes out of every text, and the merges that lead to them go.
    """
    state = json.loads(tokenizer.to_str())
    reserved = {token["content"] for token in state["added_tokens"]}
    state |= {"added_tokens": [], "post_processor": None, "truncation": None, "padding": None}
    model = state["model"]

    def unspeakable(piece: str) -> str:
        return f"\0{piece}" if piece in reserved else piece

    if isinstance(model["vocab"], dict):
        model["vocab"] = {unspeakable(piece): number for piece, number in model["vocab"].items()}
    else:
        model["vocab"] = [[unspeakable(piece), score] for piece, score in model["vocab"]]
    if model.get("unk_token"):
        model["unk_token"] = unspeakable(model["unk_token"])
    if "merges" in model:
        pairs = [pair.split(" ", 1) if isinstance(pair, str) else pair for pair in model["merges"]]
        model["merges"] = [pair for pair in pairs if not reserved & {*pair, "".join(pair)}]
    return Tokenizer.from_str(json.dumps(state))


class _Kept(dict[int, int | None]):
    """What becomes of each character: itself, or nothing; found out when it is first met."""

    _NO_TEXT = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})

    def __missing__(self, character: int) -> int | None:
        dropped = unicodedata.category(chr(character)) in self._NO_TEXT
        self[character] = None if dropped else character
        return self[character]


_KEPT = _Kept()


def clean(text: str) -> str:
    """Take out what is no text: control characters, marks that reorder it, repeated blanks."""
    text = _BLANKS.sub(" ", text)
    if not text.isprintable():
        text = _BLANKS.sub(" ", text.translate(_KEPT))
    return text.strip()
