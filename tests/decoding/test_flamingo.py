"""Models that see pictures with their prompts, against transformers' constrained beam search."""

import pytest
import torch

from genrec.decoding import StaticDecoder, TokenTrie, beam_search
from tests.decoding.tiny import random_ids, transformers_beam_search
from tests.models.small_flamingo import owners, pictures, small_flamingo, tokens

IDS = random_ids(150, (8, 8, 8))
FIRST = 20
TRIE = TokenTrie.from_semantic_ids(IDS, FIRST)

# Pictures of one request come again in the other; its last tokens own none.
OWNER = owners("00.11.22.. ....2201..")
SHOWN = {"owner": OWNER, "pixel_values": pictures(3)}
MASK = torch.tensor([[1] * 10, [0] * 3 + [1] * 7])
PROMPTS = tokens(2, 10) * MASK


def seeing_model(kind):
    """Make a model whose pictures weigh as much as its words, and whose beams lie apart."""
    model = small_flamingo(kind, every_n_layers=1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() == 2 and not name.startswith("vision_model"):
                weight.normal_(std=0.3, generator=torch.Generator().manual_seed(weight.numel()))
    return model


@pytest.fixture(scope="module", params=["llama", "qwen3", "gemma3"])
def model(request):
    return seeing_model(request.param)


@pytest.mark.parametrize("beams", [1, 5, 20, 50])
def test_beams_are_those_of_transformers(model, beams):
    items, scores = transformers_beam_search(
        model, IDS, PROMPTS, MASK, beams, first_token=FIRST, shown=SHOWN
    )
    found = beam_search(model, TRIE, PROMPTS, MASK, beams=beams, prompt_inputs=SHOWN)
    assert found.items_BK.tolist() == items.tolist()
    if scores is not None:
        torch.testing.assert_close(found.log_probs_BK, scores, atol=1e-4, rtol=0)


def test_other_pictures_give_other_beams(model):
    found, other = (
        beam_search(
            model, TRIE, PROMPTS, MASK, beams=20, prompt_inputs=SHOWN | {"pixel_values": pixels}
        )
        for pixels in (SHOWN["pixel_values"], -SHOWN["pixel_values"])
    )
    assert found.items_BK[0].tolist() != other.items_BK[0].tolist()


def test_fixed_shapes_change_no_beams():
    model = seeing_model("llama")
    expected = beam_search(model, TRIE, PROMPTS, MASK, beams=20, prompt_inputs=SHOWN)
    found = beam_search(
        model, TRIE, PROMPTS, MASK, beams=20, prompt_inputs=SHOWN, static=StaticDecoder(model)
    )
    assert found.items_BK.tolist() == expected.items_BK.tolist()
    torch.testing.assert_close(found.log_probs_BK, expected.log_probs_BK, atol=1e-4, rtol=0)
