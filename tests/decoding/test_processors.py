import pytest
import torch

from genrec.decoding import (
    Constraints,
    TokenTrie,
    TrieLogitsProcessor,
    beam_search,
    prefix_allowed_tokens_fn,
)
from tests.decoding.tiny import (
    FIRST_TOKEN,
    VOCABULARY,
    continuations,
    item_tokens,
    ragged_prompts,
    random_ids,
    tiny_model,
    transformers_beam_search,
)

IDS = random_ids(60, (6, 6, 6))
TRIE = TokenTrie.from_semantic_ids(IDS, FIRST_TOKEN)
EXCLUDE = [range(0, 60, 3), [1, 2]]


def constraint_by(kind: str, prompt_length: int, constraints: Constraints | None):
    options = {"prompt_length": prompt_length, "constraints": constraints}
    if kind == "processor":
        return {"logits_processor": [TrieLogitsProcessor(TRIE, **options)]}
    return {"prefix_allowed_tokens_fn": prefix_allowed_tokens_fn(TRIE, **options)}


@pytest.mark.parametrize("kind", ["processor", "function"])
@pytest.mark.parametrize("architecture", ["llama", "t5"])
@pytest.mark.parametrize("exclude", [None, EXCLUDE])
def test_generate_finds_the_beams_that_our_search_finds(kind, architecture, exclude):
    model = tiny_model(architecture)
    prompts, mask = ragged_prompts((7, 4), padding="right" if architecture == "t5" else "left")
    constraints = Constraints.from_items(TRIE, exclude=exclude) if exclude else None
    prompt_length = 1 if architecture == "t5" else prompts.shape[1]
    items, scores = transformers_beam_search(
        model, IDS, prompts, mask, 5, **constraint_by(kind, prompt_length, constraints)
    )
    found = beam_search(model, TRIE, prompts, mask, beams=5, constraints=constraints)
    assert found.items_BK.tolist() == items.tolist()
    torch.testing.assert_close(found.log_probs_BK, scores, atol=1e-4, rtol=0)


def test_samples_are_items_of_their_own_requests_set():
    prompts, mask = ragged_prompts((7, 4))
    constraints = Constraints.from_items(TRIE, exclude=EXCLUDE)
    torch.manual_seed(0)
    output = tiny_model("llama").generate(
        input_ids=prompts,
        attention_mask=mask,
        do_sample=True,
        num_return_sequences=50,
        max_new_tokens=3,
        logits_processor=[
            TrieLogitsProcessor(TRIE, prompt_length=7, constraints=constraints),
        ],
    )
    row_of = {tokens: row for row, tokens in enumerate(item_tokens(IDS))}
    rows = [row_of[tuple(tokens)] for tokens in output[:, -3:].tolist()]
    assert not set(rows[:50]) & set(EXCLUDE[0])
    assert not set(rows[50:]) & set(EXCLUDE[1])


def test_the_processor_keeps_the_scores_of_continuations_and_hides_all_others():
    path, tokens = next((p, t) for p, t in continuations(IDS).items() if len(p) == 2)
    scores = torch.randn(1, VOCABULARY)
    masked = TrieLogitsProcessor(TRIE, prompt_length=1)(torch.tensor([[3, *path]]), scores)
    assert masked.isfinite().nonzero()[:, 1].tolist() == tokens
    assert masked[0, tokens].tolist() == scores[0, tokens].tolist()


def test_the_end_token_follows_a_complete_id():
    prompt = torch.tensor([5, 6, *item_tokens(IDS)[7]])
    allowed = prefix_allowed_tokens_fn(TRIE, prompt_length=2, end_token=1)
    assert allowed(0, prompt) == [1]


def test_nothing_follows_a_complete_id_without_an_end_token():
    prompt = torch.tensor([5, 6, *item_tokens(IDS)[7]])
    with pytest.raises(ValueError, match="set max_new_tokens=3, or name the end_token"):
        prefix_allowed_tokens_fn(TRIE, prompt_length=2)(0, prompt)


def test_a_beginning_of_no_id_is_an_error():
    with pytest.raises(ValueError, match=r"no ID begins with the tokens \[3\]"):
        TrieLogitsProcessor(TRIE, prompt_length=1)(torch.tensor([[5, 3]]), torch.randn(1, 70))


@pytest.mark.parametrize("make", [TrieLogitsProcessor, prefix_allowed_tokens_fn])
def test_ids_of_different_lengths_are_refused(make):
    make(TokenTrie.from_paths([[7, 3], [9, 2]]), prompt_length=0)
    with pytest.raises(ValueError, match=r"IDs of different lengths.*use .*beam_search"):
        make(TokenTrie.from_paths([[7, 3], [7]]), prompt_length=0)
