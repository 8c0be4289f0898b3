import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizerFast, RobertaConfig, RobertaModel

from genrec.eval.bert_score import BertScore

WORDS = ["red", "blue", "lamp", "phone", "a", "fine", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Save a BERT with random weights that knows a few words."""
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(vocab={word: n for n, word in enumerate(WORDS)}).save_pretrained(folder)
    return folder


def by_hand(folder, answer, reference):
    """Match tokens one by one, each text alone."""
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    model = BertModel.from_pretrained(folder).eval()
    first, second = (
        model(**tokenizer(text, return_tensors="pt")).last_hidden_state[0, 1:-1].detach().numpy()
        for text in (answer, reference)
    )
    cosine = np.array([
        [a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in second] for a in first
    ])  # fmt: skip
    precision = np.mean([max(row) for row in cosine])
    recall = np.mean([max(column) for column in cosine.T])
    return 100 * precision, 100 * recall, 200 * precision * recall / (precision + recall)


def test_scores_are_those_of_matching_one_by_one(encoder):
    pairs = [("red lamp", "a fine blue lamp"), ("blue phone", "red"), ("a a a", "fine lamp")]
    answers, references = zip(*pairs, strict=True)
    found = BertScore(encoder)(answers, references)
    expected = [by_hand(encoder, *pair) for pair in pairs]
    np.testing.assert_allclose(np.column_stack(list(found.values())), expected, atol=1e-3)


def test_a_copy_scores_100_and_nothing_scores_0(encoder):
    found = BertScore(encoder, layer=1)(["red lamp", "", "red"], ["red lamp", "red", ""])
    for scores in found.values():
        np.testing.assert_allclose(scores, [100, 0, 0], atol=1e-4)


def test_long_texts_are_cut_and_many_are_scored_in_parts(encoder):
    found = BertScore(encoder)(["red " * 40] * 130, ["red " * 40] * 130)["bertscore-f1"]
    np.testing.assert_allclose(found, np.full(130, 100.0), atol=1e-3)


def test_long_texts_fit_an_encoder_whose_first_positions_are_of_no_token(encoder, tmp_path):
    config = RobertaConfig(
        vocab_size=len(WORDS), pad_token_id=WORDS.index("[PAD]"), hidden_size=16,
        num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16 + WORDS.index("[PAD]") + 1,
    )  # fmt: skip
    RobertaModel(config).save_pretrained(tmp_path)
    tokenizer = BertTokenizerFast.from_pretrained(encoder, model_max_length=16)
    tokenizer.save_pretrained(tmp_path)
    found = BertScore(tmp_path)(["red " * 40], ["red " * 40])["bertscore-f1"]
    np.testing.assert_allclose(found, [100.0], atol=1e-3)
