import re
from pathlib import Path

from genrec.models import TinyConfig, build_tiny
from genrec.serving import save_bundle
from tests.small_shop import small_renderer

GUIDE = Path(__file__).parents[2] / "docs" / "serving.md"


def test_the_first_python_of_the_guide_runs_as_written(tmp_path, monkeypatch):
    renderer = small_renderer()
    model = build_tiny(
        TinyConfig(hidden_size=32, layers=1, heads=2, intermediate_size=64),
        vocabulary_size=len(renderer.vocabulary), special=renderer.vocabulary.special,
        max_tokens=512, seed=0,
    )  # fmt: skip
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    save_bundle(tmp_path / "runs" / "demo" / "model", model, renderer)
    monkeypatch.chdir(tmp_path)
    first = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[0]
    exec(compile(first, str(GUIDE), "exec"), {})
