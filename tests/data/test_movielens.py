import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genrec.data import DataError, MovieLensConfig, load_movielens
from tests.real_data import real_data

RATINGS = "userId,movieId,rating,timestamp\n1,10,4.0,964982703\n1,30,0.5,964982700\n"
MOVIES = (
    "\ufeffmovieId,title,genres\n"
    "10,Toy Story (1995),Adventure|Comedy\n"
    '20,"Nobody, Rated (2001)",Drama\n'
    "30,Death Note (2006\N{EN DASH}2007),(no genres listed)\n"
)


def config(folder: Path, *, ratings: str = RATINGS, movies: str = MOVIES) -> MovieLensConfig:
    (folder / "ratings.csv").write_text(ratings)
    (folder / "movies.csv").write_text(movies)
    return MovieLensConfig(folder=folder)


def test_movies_have_title_genres_and_year(tmp_path):
    shop = load_movielens(config(tmp_path)).catalogue
    assert shop.item_ids == ["10", "30"]
    assert shop.describe(0) == {"title": "Toy Story", "genres": "Adventure, Comedy", "year": 1995}
    assert shop.describe(1) == {"title": "Death Note", "year": 2006}


def test_unrated_movies_can_stay(tmp_path):
    config(tmp_path)
    shop = load_movielens(MovieLensConfig(folder=tmp_path, keep_unrated=True)).catalogue
    assert shop.item_ids == ["10", "20", "30"]
    assert shop.describe(1)["title"] == "Nobody, Rated"


@pytest.mark.parametrize(
    ("title", "bare", "year"),
    [
        ("Babylon 5", "Babylon 5", None),
        ("2001: A Space Odyssey (1968)", "2001: A Space Odyssey", 1968),
        ("Fargo (2014-)", "Fargo", 2014),
        ("Seven (a.k.a. Se7en) (1995) ", "Seven (a.k.a. Se7en)", 1995),
    ],
)
def test_the_year_is_taken_off_the_title(tmp_path, title, bare, year):
    movies = f"movieId,title,genres\n10,{title},Drama\n30,x,Drama\n"
    told = load_movielens(config(tmp_path, movies=movies)).catalogue.describe(0)
    assert (told["title"], told.get("year")) == (bare, year)


def test_ratings_are_in_time_order(tmp_path):
    events = load_movielens(config(tmp_path)).interactions
    assert events.item.tolist() == [1, 0]
    assert events.time.tolist() == [964982700, 964982703]
    assert events.rating.tolist() == [0.5, 4.0]


def test_posters_are_those_of_rated_movies(tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (64, 96), (0, 128, 0)).save(file, "JPEG")
    (tmp_path / "posters").mkdir()
    for movie in ("20", "30"):
        (tmp_path / "posters" / f"{movie}.jpg").write_bytes(file.getvalue())
    config(tmp_path)
    dataset = load_movielens(MovieLensConfig(folder=tmp_path, pictures=tmp_path / "posters"))
    np.testing.assert_array_equal(dataset.catalogue.has_picture, [False, True])
    assert dataset.info["pictures"]["missing"] == 1
    assert dataset.info["pictures"]["of_no_item"] == 1


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"ratings": RATINGS + "2,10,11,964982703\n"}, r"ratings\.csv, row 4 has the rating '11'"),
        ({"ratings": RATINGS + "2,99,1,964982703\n"}, r"ratings\.csv, row 4 has the item '99'"),
        ({"ratings": RATINGS.splitlines()[0] + "\n"}, r"ratings\.csv is empty"),
        ({"ratings": ""}, r"ratings\.csv is empty"),
        (
            {"ratings": RATINGS.replace("movieId", "movie")},
            r"ratings\.csv has no column 'movieId'; did you mean 'movie'",
        ),
        (
            {"movies": MOVIES + "10,Again,Drama\n"},
            r"movies\.csv, row 5 repeats the item_id '10' of",
        ),
        (
            {"movies": MOVIES + "x,y,z,w\n"},
            r"movies\.csv, row 5 has 4 fields, but the header has 3",
        ),
    ],
)
def test_wrong_files_are_refused(tmp_path, files, message):
    with pytest.raises(DataError, match=message):
        load_movielens(config(tmp_path, **files))


def test_the_counts_of_movielens_small():
    folder = real_data("movielens-small")
    dataset = load_movielens(MovieLensConfig(folder=folder, pictures=folder / "posters_64x96.zip"))
    expected = {"users": 610, "items": 9724, "interactions": 100_836, "pictures": 8766}
    assert dataset.counts == expected
    assert dataset.info["pictures"]["missing"] == 958
    assert dataset.info["pictures"]["broken"] == 0
    poster = dataset.catalogue.picture(0)
    assert poster is not None
    assert poster.size == (64, 96)


def test_movielens_small_agrees_with_reading_it_by_hand():
    folder = real_data("movielens-small")
    dataset = load_movielens(MovieLensConfig(folder=folder))
    table = dataset.interactions.to_table(dataset.catalogue)
    with (folder / "ratings.csv").open(newline="") as lines:
        records = list(csv.DictReader(lines))
    expected = sorted(records, key=lambda record: (int(record["userId"]), int(record["timestamp"])))
    assert table.rows() == [
        (record["userId"], record["movieId"], int(record["timestamp"]), float(record["rating"]))
        for record in expected
    ]
