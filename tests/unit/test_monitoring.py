"""The dashboard and the alert rules ask for what /metrics tells, and Prometheus' own tool takes them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from metrics.definitions import ALL, Metric
from settings import ROOT
from tests.unit.images import photo

ALERTS = ROOT / "deploy" / "alerts.yml"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana-dashboard.json").read_text("utf-8"))
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*"}
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
# A name, and what stands in the braces behind it.
ASKED = re.compile(r"\b(punnet_\w+)(?:\{([^}]*)\})?")


def series(metric: Metric) -> Iterator[str]:
    """The names that Prometheus stores."""
    return iter([f"{metric.name}_{end}" for end in ("bucket", "sum", "count")] if metric.bounds else [metric.name])


LABELS = {name: {*metric.labels, "instance", "job"} for metric in ALL for name in series(metric)}


def expressions() -> list[str]:
    """What the dashboard asks for."""
    asked = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
    for name, value in VARIABLES.items():
        asked = [expression.replace(name, value) for expression in asked]
    return asked


def promtool(*arguments: str, given: str = "") -> str:
    done = subprocess.run(["promtool", *arguments], input=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("text", [ALERTS.read_text("utf-8"), "\n".join(expressions())], ids=["alerts", "dashboard"])
def test_only_what_is_told_is_asked_for(text: str) -> None:
    asked = ASKED.findall(text)
    assert len(asked) > 10
    for name, filters in asked:
        assert name in LABELS
        assert {part.group(1) for part in re.finditer(r"(\w+)\s*[=!]", filters)} <= LABELS[name], (name, filters)


def test_every_metric_is_on_the_dashboard() -> None:
    asked = {name for expression in expressions() for name, _ in ASKED.findall(expression)}
    assert {metric.name for metric in ALL if not {*series(metric)} & asked} == set()


def test_every_alert_says_what_is_wrong() -> None:
    text = ALERTS.read_text("utf-8")
    assert text.count("- alert:") == text.count("summary:") == text.count("severity:")


@needs_promtool
def test_promtool_takes_the_rules_and_what_the_dashboard_asks_for(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", str(ALERTS))
    records = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(expressions())]
    (tmp_path / "asked.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": records}]}))
    assert "SUCCESS" in promtool("check", "rules", str(tmp_path / "asked.yml"))


@needs_promtool
def test_promtool_takes_the_numbers(client: FlaskClient) -> None:
    for query in ("", "mode=async", "top_k=0"):
        client.post(f"/predict?model_type=leaf&{query}", data=photo(), content_type="image/jpeg")
    assert promtool("check", "metrics", given=client.get("/metrics").text) == ""
