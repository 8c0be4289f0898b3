import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_the_example_of_the_guide_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exec(example, {"__name__": "guide"})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("recommend ")
    assert printed[2].startswith("same brand ")
    assert printed[-1] in ("better", "worse", "cannot tell")
    assert (tmp_path / "runs" / "same-brand" / "report.html").is_file()
