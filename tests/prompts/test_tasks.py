import pytest

from genrec.prompts import Task, TaskError, Tasks


def test_the_package_brings_the_four_tasks():
    assert {"recommend", "search", "rate", "explain"} <= set(Tasks.load())


@pytest.mark.parametrize("name", sorted(Tasks.load()))
def test_every_task_keeps_a_phrasing_out_of_training(name):
    task = Tasks.load()[name]
    assert task.unseen is not None
    assert task.unseen not in task.prompts


def test_a_task_of_ones_own_is_a_file(tmp_path):
    (tmp_path / "gift.yaml").write_text(
        'name: gift\nversion: 1\nanswer: item\nprompts: ["A gift for {history} is:"]\n'
    )
    task = Tasks.load([tmp_path])["gift"]
    assert task.slots == {"history"}


def test_a_file_of_ones_own_wins_by_name(tmp_path):
    (tmp_path / "rate.yaml").write_text(
        'name: rate\nversion: 7\nanswer: rating\nprompts: ["{card} stars:"]\n'
    )
    assert Tasks.load([tmp_path])["rate"].version == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nversion: 1\nanswer: item\nprompts: ['{histroy}']", "did you mean 'history'"),
        ("name: x\nversion: 1\nanswer: colour\nprompts: ['{history}']", "answers 'colour'"),
        ("name: x\nversion: 1\nanswer: item\nprompts: []", "no prompts"),
        ("name: x\nversion: 1\nanswer: item", "prompts"),
        ("name: x\nversion: 1\nanswer: item\nprompts: ['a']\nweigth: 3", "weigth"),
        ("- a list", "does not describe a task"),
    ],
)
def test_a_file_that_describes_no_task_is_refused_by_name(tmp_path, text, message):
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(TaskError, match=rf"broken.yaml .*{message}"):
        Tasks.load([tmp_path])


def test_an_unknown_task_is_refused_with_a_suggestion():
    with pytest.raises(TaskError, match="did you mean 'recommend'"):
        Tasks.load()["recomend"]


def test_the_hash_knows_every_word():
    tasks = Tasks.load()
    changed = Tasks(tasks)
    changed["rate"] = Task(name="rate", version=1, answer="rating", prompts=("{card} points:",))
    assert changed.fingerprint != tasks.fingerprint
