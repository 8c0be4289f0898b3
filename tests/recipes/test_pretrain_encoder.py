import pytest

from genrec.artifacts import ArtifactError
from genrec.config import parse_args
from genrec.models.vision import load_encoder
from recipes.pretrain_encoder import Config, main
from tests.small_shop import small_dataset, with_pictures

FEW = [
    "--pretraining.steps=2", "--pretraining.held_out=0.2", "--pretraining.encoder.image_size=16",
    "--text_pieces=60", "--pretraining.encoder.layers=1", "--pretraining.encoder.patch_size=8",
]  # fmt: skip


def test_toy_pictures_make_an_encoder(tmp_path, capsys):
    main(parse_args(Config, None, ["--toy_pictures=20", f"--out={tmp_path / 'encoder'}", *FEW]))
    assert load_encoder(str(tmp_path / "encoder")).config.image_size == 16
    assert "20 pictures; of those held out" in capsys.readouterr().out


def test_a_catalogue_teaches_by_the_texts_of_items_that_have_a_picture(tmp_path, capsys):
    with_pictures(small_dataset()).save(tmp_path / "data")
    given = [f"--dataset={tmp_path / 'data'}", "--captions=[title]", f"--out={tmp_path / 'eyes'}"]
    main(parse_args(Config, None, [*given, *FEW]))
    assert load_encoder(str(tmp_path / "eyes")).config.image_size == 16
    assert "11 pictures" in capsys.readouterr().out


@pytest.mark.parametrize("given", [{}, {"toy_pictures": 5, "dataset": "data"}])
def test_one_source_of_pictures_is_needed(tmp_path, given):
    with pytest.raises(ValueError, match="either dataset or toy_pictures"):
        Config(out=tmp_path, **given)


def test_a_data_set_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ArtifactError, match="nowhere"):
        main(Config(out=tmp_path / "eyes", dataset=tmp_path / "nowhere"))
