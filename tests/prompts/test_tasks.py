import pytest

from genrec.prompts import Task, TaskError, Tasks


def test_the_package_brings_the_tasks_of_unimp_p5_and_lc_rec():
    assert set(Tasks.load()) == {
        "recommend", "direct", "search", "rate", "select", "converse", "reply", "imagine",
        "imagine_directly", "item_to_picture",
        "explain", "explain_hint", "explain_rated", "summarize", "preference",
        "title_to_item", "item_to_title", "description_to_item", "picture_to_item", "attribute",
        "history_to_title", "titles_to_item", "query_to_item",
    }  # fmt: skip


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
        ("name: x\nversion: 1\nanswer: text\ntarget: titel\nprompts: ['{item}']", "'title'"),
        ("name: x\nversion: 1\nanswer: item\ntarget: title\nprompts: ['{item}']", "'title'"),
        ("name: x\nversion: 1\nanswer: item\nmetrics: [rmse]\nprompts: ['{item}']", "'rmse'"),
        ("name: x\nversion: 1\nanswer: item\nprompts: '{item}'", "must be a list"),
        (
            "name: x\nversion: 1\nanswer: item\ninputs: [item]\nprompts: ['{query}']",
            r"declares the inputs \['item'\], but .* has the slots \['query'\]",
        ),
        ("name: x\nversion: 1\nanswer: item\nprompts: ['{item']", "cannot be read"),
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


@pytest.mark.parametrize("name", sorted(Tasks.load()))
def test_the_phrasings_of_a_task_all_ask_with_its_inputs(name):
    task = Tasks.load()[name]
    assert task.inputs
    assert task.slots == set(task.inputs)
    assert len(task.prompts) >= 2


@pytest.mark.parametrize(
    ("name", "occasion", "target"),
    [
        ("recommend", "event", "item"),
        ("history_to_title", "event", "title"),
        ("query_to_item", "event", "item"),
        ("summarize", "event", "summary"),
        ("title_to_item", "item", "item"),
        ("item_to_title", "item", "title"),
        ("attribute", "item", "attribute"),
        ("picture_to_item", "item", "item"),
        ("converse", "dialogue", "item"),
        ("reply", "dialogue", "text"),
    ],
)
def test_slots_and_target_say_what_an_example_is_made_of(name, occasion, target):
    task = Tasks.load()[name]
    assert (task.occasion, task.target) == (occasion, target)


def test_metrics_are_those_of_the_answer_where_the_file_names_none():
    task = Task(name="x", version=1, answer="items", prompts=("{candidates}",))
    assert task.metrics == ("precision", "recall", "f1")


def test_a_task_is_asked_by_the_method_that_answers_it():
    tasks = Tasks.load()
    tasks.check_answer(["recommend", "search"], ["item"])
    with pytest.raises(TaskError, match=r"'rate' is answered by a rating, .*; call rate"):
        tasks.check_answer(["recommend", "rate"], ["item"])
