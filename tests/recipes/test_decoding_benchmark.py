"""The benchmarks of decoding, on shapes that take seconds."""

import json

from recipes.benchmarks import decoding, decoding_gpu

SMALL = {"items": 300, "codebook_sizes": (8, 8, 8), "words": 60, "layers": 1, "width": 64}


def last_line(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_all_that_is_promised_is_measured(capsys):
    decoding.main(
        decoding.Config(
            **SMALL, prompts=2, tokens=12, beams=5, repeats=1, catalogues=(100, 500), checked=3000
        )
    )
    found = last_line(capsys)
    assert found["identical"]
    assert found["largest_score_difference"] < 1e-4
    assert found["invalid"] == 0
    assert found["checked"] >= 3000
    assert 0 < found["constraint_share"] < 1
    for name in ("speedup_vs_transformers", "growth_10k_to_10m", "build_seconds_10m"):
        assert found[name] >= 0
    assert [scale["items"] for scale in found["catalogues"]] == [100, 500]


def test_searches_in_fixed_shapes_are_measured(capsys):
    decoding_gpu.main(decoding_gpu.Config(**SMALL, requests=2, tokens=12, beams=(3, 9), repeats=1))
    found = last_line(capsys)
    assert [search["beams"] for search in found["searches"]] == [3, 9]
    assert all(search["largest_score_difference"] < 1e-4 for search in found["searches"])
    assert all(search["ms_a_request"] > 0 for search in found["searches"])
