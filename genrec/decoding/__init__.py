"""Constrained decoding: beams that can only name items, from a trie in tensors."""

from genrec.decoding.answers import choose_items, score_answers
from genrec.decoding.beam import Beams, beam_search, search, search_scored
from genrec.decoding.constraints import Constraints, ItemSet
from genrec.decoding.policy import Boosts, Policy
from genrec.decoding.processors import TrieLogitsProcessor, prefix_allowed_tokens_fn
from genrec.decoding.requests import Terms, TermsReader
from genrec.decoding.scorers import LogitsScorer, Scorer
from genrec.decoding.static import StaticDecoder
from genrec.decoding.steppers import Stepper, make_stepper
from genrec.decoding.trie import TokenTrie

__all__ = [
    "Beams",
    "Boosts",
    "Constraints",
    "ItemSet",
    "LogitsScorer",
    "Policy",
    "Scorer",
    "StaticDecoder",
    "Stepper",
    "Terms",
    "TermsReader",
    "TokenTrie",
    "TrieLogitsProcessor",
    "beam_search",
    "choose_items",
    "make_stepper",
    "prefix_allowed_tokens_fn",
    "score_answers",
    "search",
    "search_scored",
]
