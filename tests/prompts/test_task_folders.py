import pytest

from genrec.prompts import TaskError, Tasks


@pytest.mark.parametrize("name", ["no-such-folder", ""])
def test_a_folder_without_tasks_is_an_error_that_names_it(tmp_path, name):
    with pytest.raises(TaskError, match=f"{tmp_path / name} does not exist or holds no"):
        Tasks.load([tmp_path / name])
