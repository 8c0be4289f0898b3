import re
from pathlib import Path

from genrec.eval.methods import METHODS

GUIDE = Path(__file__).parents[2] / "docs" / "baselines.md"


def test_the_example_of_the_guide_runs(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(example, str(GUIDE), "exec"), {"__name__": "guide"})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed[2:]] == ["popularity", "item_knn", "sasrec"]


def test_the_guide_tells_of_every_method():
    told = re.findall(r"^\| `(\w+)` \| ", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(METHODS) <= set(told)
