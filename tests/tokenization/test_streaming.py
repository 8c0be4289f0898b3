import numpy as np
import pytest
import torch

from genrec.tokenization.rqkmeans import RQKMeans, RQKMeansConfig
from genrec.tokenization.streaming import FeatureFile, quantize_rows, read_rows


def saved(tmp_path, dtype: str = "float32") -> tuple[FeatureFile, np.ndarray]:
    x_NF = np.random.default_rng(0).normal(size=(40, 5)).astype(dtype)
    np.save(tmp_path / "features.npy", x_NF)
    return FeatureFile(tmp_path / "features.npy"), x_NF


def test_a_file_gives_the_rows_that_are_asked_for(tmp_path):
    file, x_NF = saved(tmp_path)
    assert (len(file), file.shape) == (40, (40, 5))
    np.testing.assert_array_equal(file[3:7], x_NF[3:7])
    np.testing.assert_array_equal(file[np.array([9, 2])], x_NF[[9, 2]])


def test_half_precision_on_disk_is_read_as_float32(tmp_path):
    file, x_NF = saved(tmp_path, "float16")
    assert file[:2].dtype == np.float32
    np.testing.assert_array_equal(file[:2], x_NF[:2].astype(np.float32))


def test_rows_are_the_same_from_tensor_array_and_file(tmp_path):
    file, x_NF = saved(tmp_path)
    for rows in (slice(1, 4), np.array([5, 0, 5])):
        expected = torch.from_numpy(x_NF[rows])
        for source in (torch.from_numpy(x_NF), x_NF, file):
            assert torch.equal(read_rows(source, rows), expected)


def test_codes_do_not_depend_on_how_many_rows_are_read_at_a_time(tmp_path, monkeypatch):
    file, x_NF = saved(tmp_path)
    model = RQKMeans(RQKMeansConfig(codebook_sizes=(4, 4), components=4), 5)
    model.fit(torch.from_numpy(x_NF), generator=torch.Generator().manual_seed(0))
    whole_NL = quantize_rows(model, file)
    monkeypatch.setattr("genrec.tokenization.streaming.ROWS_AT_ONCE", 7)
    np.testing.assert_array_equal(quantize_rows(model, file), whole_NL)


def test_an_array_that_is_no_matrix_is_refused(tmp_path):
    np.save(tmp_path / "features.npy", np.zeros(3))
    with pytest.raises(
        ValueError, match=r"holds an array of shape \(3,\), not \(items, features\)"
    ):
        FeatureFile(tmp_path / "features.npy")


def test_a_file_that_lost_its_end_is_refused(tmp_path):
    file, _ = saved(tmp_path)
    whole = file.path.read_bytes()
    file.path.write_bytes(whole[:-8])
    with pytest.raises(ValueError, match="is shorter than it was"):
        file[38:]
