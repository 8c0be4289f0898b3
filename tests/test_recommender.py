import pytest

from genrec.recommender import Request


def test_ratings_are_one_per_item():
    Request(history=(1, 2), ratings=(5.0, None))
    with pytest.raises(ValueError, match="1 ratings were given for a history of 2 items"):
        Request(history=(1, 2), ratings=(5.0,))
