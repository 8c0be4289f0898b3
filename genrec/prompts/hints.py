"""Feature words: what an explanation is about, to be given as a hint."""

import re

_WORD = re.compile(r"[^\W\d_]{3,}")

_FUNCTION_WORDS = frozenset(
    _WORD.findall("""
    about after again ain all also although always and another any anything are aren around
    because been before being between both but can cannot could couldn did didn does doesn
    doing don done down each either else even ever every everything few for from get gets
    getting give given goes going got had has hasn have haven having her here hers him his
    how however into isn its itself just know less like made make makes many may maybe
    might more most much must myself never nor not nothing now off often once one only onto
    other our out over own put quite rather really same say see seem she should since
    some something soon still such than that the their them then there these they thing
    things this those though through too two under until upon use used very want wanted
    was wasn way well went were what when where whether which while who whole whom whose why
    will with without won would wouldn yet you your yours
    """)
)
"""English words that carry no feature of a thing."""


def feature_words(text: str, *, within: int) -> list[str]:
    """List the words of a text that may be its subject, each once, in the order of the text.

    PETER (https://arxiv.org/abs/2105.11601) and P5 take such words from a parser of opinions; here
    they are all words but the function words of English.

    Args:
        text: An explanation or a review.
        within: Look at so many words from the start: an answer's end may be cut off.
    """
    words = _WORD.findall(" ".join(text.split()[:within]).lower())
    return list(dict.fromkeys(word for word in words if word not in _FUNCTION_WORDS))
