import pytest

from genrec.prompts.hints import feature_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The strings sound bright, and the Strings last.", ["strings", "sound", "bright", "last"]),
        ("It is what I wanted", []),
        ("5 stars!!! <a_1> caf\u00e9", ["stars", "caf\u00e9"]),
        ("", []),
    ],
)
def test_feature_words_are_those_that_are_no_function_words(text, words):
    assert feature_words(text, within=20) == words


def test_only_the_beginning_counts():
    assert feature_words("bright strings that last", within=2) == ["bright", "strings"]
