"""Small random catalogues, tiny random models, and the slow, plain ways to decode them."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import torch
from transformers import (
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from genrec.decoding import TokenTrie
from genrec.semantic_ids import SemanticIds

FIRST_TOKEN = 40
"""Semantic IDs begin here in the vocabulary of all tiny models; words are below."""

VOCABULARY = 70

_SHARED = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    # Wider than usual, so that the beams of an untrained model differ by more than rounding.
    "initializer_range": 0.3,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": None,
}
_GROUPED = {**_SHARED, "num_key_value_heads": 2}


def tiny_model(kind: str, *, attention: str = "sdpa", seed: int = 0):
    """Make a model such as ``llama``; ``mistral`` has a window shorter than the prompts."""
    torch.manual_seed(seed)
    if kind == "t5":
        config = T5Config(
            vocab_size=VOCABULARY,
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
            eos_token_id=None,
            attn_implementation=attention,
        )
        return T5ForConditionalGeneration(config).eval()
    config_class, model_class, options = {
        "llama": (LlamaConfig, LlamaForCausalLM, _GROUPED),
        "qwen2": (Qwen2Config, Qwen2ForCausalLM, _GROUPED),
        "qwen3": (Qwen3Config, Qwen3ForCausalLM, {**_GROUPED, "head_dim": 8}),
        "neox": (GPTNeoXConfig, GPTNeoXForCausalLM, _SHARED),
        "mistral": (MistralConfig, MistralForCausalLM, {**_GROUPED, "sliding_window": 4}),
    }[kind]
    return model_class(config_class(**options, attn_implementation=attention)).eval()


def ragged_prompts(lengths: Sequence[int], *, padding: str = "left", seed: int = 0):
    """Make random prompts of these lengths; return their tokens and the attention mask."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(lengths)
    place = torch.arange(longest)
    if padding == "left":
        mask = torch.stack([place >= longest - length for length in lengths]).long()
    else:
        mask = torch.stack([place < length for length in lengths]).long()
    tokens = torch.randint(1, FIRST_TOKEN, mask.shape, generator=generator)
    return tokens * mask, mask


def random_ids(items: int, sizes: Sequence[int], *, seed: int = 0, unique: bool = True):
    rng = np.random.default_rng(seed)
    if unique:
        number = rng.choice(int(np.prod(sizes)), size=items, replace=False)
        codes = np.stack(np.unravel_index(number, sizes), axis=1)
    else:
        codes = np.stack([rng.integers(0, size, items) for size in sizes], axis=1)
    return SemanticIds(codes, tuple(sizes))


def item_tokens(ids: SemanticIds, first_token: int = FIRST_TOKEN) -> list[tuple[int, ...]]:
    """Write every item's ID as vocabulary ids."""
    starts = list(itertools.accumulate(ids.codebook_sizes[:-1], initial=first_token))
    return [tuple(row) for row in (ids.codes_NL + np.array(starts)).tolist()]


def without_tables(trie: TokenTrie) -> TokenTrie:
    """Find children by bounds alone, as in levels whose nodes have few."""
    levels = tuple(dataclasses.replace(level, node_PK=None) for level in trie.levels)
    return dataclasses.replace(trie, levels=levels)


def continuations(
    ids: SemanticIds, first_token: int = FIRST_TOKEN
) -> dict[tuple[int, ...], list[int]]:
    """Map every beginning of an ID to the tokens that follow it in some item."""
    follow: dict[tuple[int, ...], set[int]] = {}
    for tokens in item_tokens(ids, first_token):
        for end in range(len(tokens)):
            follow.setdefault(tokens[:end], set()).add(tokens[end])
    return {beginning: sorted(tokens) for beginning, tokens in follow.items()}


class TableModel:
    """A model that is a table: its logits depend on the prompt, the level and the last token.

    It is a Stepper. ``table`` has the shape (requests, levels, vocabulary, vocabulary).
    """

    def __init__(self, table: torch.Tensor):
        self.table = table
        self.level = 0

    def prefill(self):
        return self.table[:, 0, :1]

    def step(self, token_BW, parent_BW):
        self.level += 1
        return self.table[torch.arange(len(token_BW))[:, None], self.level, token_BW]

    def log_prob(self, request: int, tokens: Sequence[int], among: Sequence[Sequence[int]] | None):
        """Score a path; ``among`` gives the tokens of each level that share all probability."""
        total = 0.0
        for level, token in enumerate(tokens):
            logits = self.table[request, level, tokens[level - 1] if level else 0].double()
            rivals = logits if among is None else logits[list(among[level])]
            total += float(logits[token] - rivals.logsumexp(dim=0))
        return total


def table_model(requests: int, levels: int, *, seed: int = 0, dtype=torch.float32) -> TableModel:
    generator = torch.Generator().manual_seed(seed)
    shape = (requests, levels, VOCABULARY, VOCABULARY)
    return TableModel((2 * torch.randn(shape, generator=generator)).to(dtype))


def plain_beam_search(model: TableModel, request: int, ids, items, beams: int):
    """Search beams over some items by dictionaries: the rows found, best first, with scores."""
    tokens = {row: item_tokens(ids)[row] for row in sorted(items)}
    front = [()]
    for level in range(ids.levels):
        longer = {tokens[row][: level + 1] for row in tokens if tokens[row][:level] in front}
        scored = sorted(longer, key=lambda path: -model.log_prob(request, path, None))
        front = scored[:beams]
    return [row for path in front for row in tokens if tokens[row] == path][:beams]


def transformers_beam_search(
    model, ids, prompts, mask, beams: int, *, first_token=FIRST_TOKEN, shown=None, **constraint
):
    """Let transformers search, by ``prefix_allowed_tokens_fn`` unless told another constraint.

    ``shown`` is what the model reads beside the prompts.
    """
    prompt_length = 1 if model.config.is_encoder_decoder else prompts.shape[1]
    follow = continuations(ids, first_token)
    constraint = constraint or {
        "prefix_allowed_tokens_fn": lambda _, tokens: follow[tuple(tokens[prompt_length:].tolist())]
    }
    output = model.generate(
        input_ids=prompts,
        attention_mask=mask,
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=ids.levels,
        do_sample=False,
        return_dict_in_generate=True,
        output_scores=True,
        # A single beam is a greedy search, which knows no length penalty.
        **({"length_penalty": 0.0} if beams > 1 else {}),
        **(shown or {}),
        **constraint,
    )
    row_of = {tokens: row for row, tokens in enumerate(item_tokens(ids, first_token))}
    items = [row_of[tuple(tokens)] for tokens in output.sequences[:, -ids.levels :].tolist()]
    scores = None if beams == 1 else output.sequences_scores.view(len(prompts), beams)
    return torch.tensor(items).view(len(prompts), beams), scores


@torch.no_grad()
def score_items(model, ids, prompt):
    """Score all items after one prompt without padding, each by a forward pass of its own."""
    answers = torch.tensor(item_tokens(ids))
    prompts = prompt.expand(len(ids), -1)
    if model.config.is_encoder_decoder:
        start = torch.full_like(answers[:, :1], model.config.decoder_start_token_id)
        decoder_input_ids = torch.cat([start, answers[:, :-1]], dim=1)
        logits = model(input_ids=prompts, decoder_input_ids=decoder_input_ids).logits
    else:
        logits = model(input_ids=torch.cat([prompts, answers[:, :-1]], dim=1)).logits
        logits = logits[:, -ids.levels :]
    return logits.float().log_softmax(dim=2).gather(2, answers[..., None]).sum(dim=(1, 2))
