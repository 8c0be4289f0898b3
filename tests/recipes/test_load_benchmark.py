"""The load test of the service, on a model and times that take seconds."""

import json

from recipes.benchmarks import load


def test_the_service_survives_a_small_load(capsys):
    config = load.Config(
        items=300, layers=1, width=32, history=3, callers=(1, 4), seconds=0.4, waiting=24,
        requests=60, changes=3,
    )  # fmt: skip
    load.main(config)
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found["callers"]) == {"1", "4"}
    assert all(row["requests_per_second"] > 0 for row in found["callers"].values())
    assert found["overload"]["refused_429"] > 0
    assert found["overload"]["otherwise"] == 0
    assert found["overload"]["recovers"]
    assert found["memory"]["requests"] >= 60
    assert found["reload"]["answered"] > 0
    assert (found["reload"]["lost"], found["reload"]["mixed"]) == (0, 0)
