import pytest

from genrec.artifacts import ArtifactError
from genrec.prompts import load_tokenizer, train_tokenizer

CORPUS = ["red phone", "blue case", "a fine green lamp"] * 20


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_digits_can_be_written_though_the_corpus_has_none(kind):
    tokenizer = train_tokenizer(CORPUS, size=300 if kind == "llama" else 60, kind=kind)
    tokens = tokenizer("4", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(tokens).strip() == "4"


def test_a_small_corpus_gives_fewer_pieces():
    assert len(train_tokenizer(CORPUS, size=5000)) < 1000


def test_no_text_is_refused():
    with pytest.raises(ValueError, match="no text"):
        train_tokenizer(["", " "], size=300)


def test_too_few_pieces_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"10 pieces cannot be trained .* raise text_pieces"):
        train_tokenizer(CORPUS, size=10)


def test_a_saved_tokenizer_is_loaded_by_its_folder(tmp_path):
    tokenizer = train_tokenizer(CORPUS, size=300)
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path)).get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_ratings_can_be_read_and_told_apart_though_no_text_has_a_digit(kind):
    tokenizer = train_tokenizer(["many words without one"] * 2_000, size=300, kind=kind)
    steps = [f"{half / 2:g}" for half in range(11)]
    numbers = [tokenizer.encode(step, add_special_tokens=False) for step in steps]
    assert [tokenizer.decode(number).strip() for number in numbers] == steps


def test_a_model_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ArtifactError, match=r"(?s)'\./absent' cannot be loaded: .* Give the"):
        load_tokenizer("./absent")
