"""Soft tokens stand before every prompt, are new, and no text can spell them."""

import numpy as np
import pytest

from genrec.prompts import PromptConfig, Renderer, Tasks, Vocabulary, corpus, train_tokenizer
from genrec.recommender import Request
from tests.small_shop import small_dataset, small_ids


@pytest.fixture(scope="module")
def vocabulary():
    dataset = small_dataset()
    everything = np.ones(len(dataset.interactions), dtype=bool)
    tokenizer = train_tokenizer(corpus(dataset, everything, Tasks.load()), size=400)
    return Vocabulary.extend(tokenizer, small_ids(), soft_prompt=3)


def test_every_prompt_begins_with_them(vocabulary):
    renderer = Renderer(
        vocabulary=vocabulary, ids=small_ids(), catalogue=small_dataset().catalogue,
        tasks=Tasks.load(), config=PromptConfig(),
    )  # fmt: skip
    for task in ("recommend", "rate"):
        example = renderer.render(Request(task=task, history=(1, 2), item=3))
        assert example.prompt[:4].tolist() == [*vocabulary.bos, *vocabulary.soft_prompt]
        assert not example.prompt_weights[:4].any()


def test_they_are_new_and_stay_in_the_saved_tokenizer(vocabulary, tmp_path):
    assert len(set(vocabulary.soft_prompt)) == 3
    assert set(vocabulary.soft_prompt) <= set(vocabulary.new_tokens)
    vocabulary.save(tmp_path)
    loaded = Vocabulary.load(tmp_path, vocabulary.codebook_sizes)
    assert loaded.soft_prompt == vocabulary.soft_prompt


def test_no_text_spells_them(vocabulary):
    assert not set(vocabulary.encode("[SOFT-0] [SOFT-1]")) & set(vocabulary.soft_prompt)
