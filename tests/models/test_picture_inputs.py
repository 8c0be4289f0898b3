import numpy as np
import torch

from genrec.models.picture_inputs import PictureInputs


class Numbered:
    """Pictures whose only feature is the item's row."""

    def inputs(self, rows):
        return {"picture_features": torch.tensor(rows, dtype=torch.float32).view(-1, 1, 1)}


def owners(*numbers):
    return np.array(numbers, dtype=np.int32)


def test_each_picture_comes_once_and_every_token_keeps_its_own():
    seen = PictureInputs(rows=2, tokens=6)
    seen.place(0, 0, owners(-1, 0, 0, 1), [7, 3])
    seen.place(0, 4, owners(0, -1), [3])  # a second example in the same row
    seen.place(1, 1, owners(0, 1, -1), [3, 9])
    inputs = seen.inputs(Numbered())
    assert inputs["picture_features"].flatten().tolist() == [7, 3, 9]
    assert inputs["owner"].tolist() == [[-1, 0, 0, 1, 1, -1], [-1, 1, 2, -1, -1, -1]]


def test_an_item_that_comes_twice_in_a_prompt_is_one_picture():
    seen = PictureInputs(rows=1, tokens=4)
    seen.place(0, 0, owners(0, 0, -1, 1), [5, 5])
    inputs = seen.inputs(Numbered())
    assert inputs["picture_features"].flatten().tolist() == [5]
    assert inputs["owner"].tolist() == [[0, 0, -1, 0]]


def test_a_batch_without_pictures_passes_nothing_on():
    seen = PictureInputs(rows=1, tokens=3)
    seen.place(0, 0, owners(), ())
    assert seen.inputs(Numbered()) == {}
