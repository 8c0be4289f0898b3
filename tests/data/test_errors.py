from genrec.data.errors import COMPARED, did_you_mean


def test_the_nearest_name_is_suggested():
    assert did_you_mean("titel", ["price", "title"]) == "did you mean 'title'?"


def test_some_names_are_listed_where_none_is_near():
    assert did_you_mean("x", ["price", "title"]) == "known are 'price', 'title'"
    assert did_you_mean("x", list("abc"), shown=2) == "known are 'a', 'b', ..."


def test_among_very_many_names_none_is_looked_for():
    names = [f"item {n}" for n in range(COMPARED + 1)]
    assert did_you_mean("item 1", names, shown=1) == "known are 'item 0', ..."


def test_where_nothing_is_known_nothing_is_suggested():
    assert did_you_mean("x", []) == "none is known"
