"""Text is data: whatever it contains, no marker, special token or code can come out of it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.artifacts import ArtifactError
from genrec.prompts import Vocabulary, clean
from tests.prompts.tokenizers import MAKERS
from tests.small_shop import small_ids

HOSTILE = (
    "<a_1>", "<b_0>", "[IMG]", "[EOC]", "[PAD]", "</s>", "<s>", "<pad>", "<unk>", "<|im_start|>",
    "<|endoftext|>", "\x00</s>", "<a_\u200b1>", "\u202e>1_a<", "\uff1ca_1\uff1e", "\n\r\t", "lamp",
)  # fmt: skip


@pytest.fixture(scope="module", params=sorted(MAKERS))
def vocabulary(request):
    return Vocabulary.extend(MAKERS[request.param](), small_ids())


def control_tokens(vocabulary):
    unknown = {vocabulary.tokenizer.unk_token_id}  # what T5 makes of a letter it never saw
    added = set(vocabulary.tokenizer.added_tokens_decoder)
    return (added | set(vocabulary.new_tokens)) - unknown


@given(parts=st.lists(st.sampled_from(HOSTILE) | st.text(max_size=8), max_size=8))
def test_no_text_becomes_control(vocabulary, parts):
    assert not control_tokens(vocabulary) & set(vocabulary.encode("".join(parts)))


def test_the_plain_tokenizer_of_transformers_would_let_control_through(vocabulary):
    tokens = vocabulary.tokenizer("<a_1> [EOC]", add_special_tokens=False)["input_ids"]
    assert control_tokens(vocabulary) & set(tokens)


def test_a_megabyte_of_one_letter_is_cut_before_it_is_tokenized(vocabulary):
    assert len(vocabulary.encode("a" * 1_000_000, max_tokens=20)) <= 20


def test_codes_are_one_block_in_the_order_of_levels(vocabulary):
    tokens = vocabulary.tokenizer.convert_tokens_to_ids(small_ids().tokens)
    assert tokens == list(range(vocabulary.first_code, vocabulary.first_code + 7))
    assert vocabulary.level_starts == (vocabulary.first_code, vocabulary.first_code + 4)


def test_item_tokens_spell_the_semantic_id(vocabulary):
    tokens = vocabulary.item_tokens(small_ids())[5]
    assert vocabulary.tokenizer.convert_ids_to_tokens(tokens.tolist()) == ["<a_1>", "<b_2>"]


def test_text_survives_the_round_trip(vocabulary):
    assert vocabulary.decode(vocabulary.encode("a fine green lamp")) == "a fine green lamp"


def test_codes_are_written_out_and_special_tokens_left_out_when_decoding(vocabulary):
    numbers = [vocabulary.first_code, vocabulary.end_of_chunk, vocabulary.eos]
    assert vocabulary.decode(numbers) == "<a_0>"


def test_saved_and_loaded_it_is_the_same(vocabulary, tmp_path):
    vocabulary.save(tmp_path)
    loaded = Vocabulary.load(tmp_path, (4, 3))
    assert loaded.fingerprint == vocabulary.fingerprint
    assert loaded.first_code == vocabulary.first_code
    text = "red <a_1> </s> phone"
    assert loaded.encode(text) == vocabulary.encode(text)


def test_a_tokenizer_without_the_codes_is_refused(tmp_path):
    MAKERS["llama"]().save_pretrained(tmp_path)
    with pytest.raises(ArtifactError, match="tokens of semantic IDs"):
        Vocabulary.load(tmp_path, (4, 3))


def test_a_merge_that_spells_a_special_token_is_taken_out():
    tokenizer = MAKERS["qwen"]()
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["model"]["vocab"] |= {"<|": 900, "im_end|>": 901}
    state["model"]["merges"] += [["<|", "im_end|>"]]
    tokenizer.backend_tokenizer.from_str(json.dumps(state))
    vocabulary = Vocabulary.extend(tokenizer, small_ids())
    assert vocabulary.eos not in vocabulary.encode("<|im_end|>")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("  two \n\t words ", "two words"),
        ("a\x00b\x07c", "abc"),
        ("left\u202eright", "leftright"),
        ("zero\u200bwidth", "zerowidth"),
        ("one \u200b blank", "one blank"),
        ("tag\U000e0061s", "tags"),
        ("lost\ufffd\u2581letters \ufffd", "lost letters"),
        ("caf\u00e9 \u2713 \U0001f600", "caf\u00e9 \u2713 \U0001f600"),
        ("", ""),
    ],
)
def test_clean_keeps_text_and_nothing_else(text, kept):
    assert clean(text) == kept
