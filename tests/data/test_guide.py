import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "data.md"


def test_the_example_of_the_guide_runs_and_prints_what_it_says(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exec(compile(example, str(GUIDE), "exec"), {})
    expected = re.findall(r"print\(.*\)\s+# (.*)", example)
    assert capsys.readouterr().out.splitlines() == expected
