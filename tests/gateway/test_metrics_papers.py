"""Dashboard, alerts and the list of metrics follow the table, ask only for what there is, and promtool accepts them."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.telemetry.metrics.exposition import exposition
from gateway.telemetry.metrics.metrics import Metrics, merged
from gateway.telemetry.metrics.otel import RENAMED
from gateway.telemetry.metrics.papers.making import PAPERS
from gateway.telemetry.metrics.routes import route_of
from gateway.telemetry.metrics.table import BY_NAME
from tests.support.ended import NOW, ended
from translators.models import model_table

FOLDER = Path(__file__).resolve().parents[2] / "docs/observability"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="no promtool, which Debian's package prometheus brings")
# What Grafana puts in, and a value that it could have.
VARIABLES = {"$__rate_interval": "5m", "$model": ".*"}


def dashboard_queries() -> list[str]:
    shown: Any = json.loads((FOLDER / "dashboard.json").read_text("utf-8"))
    return [target["expr"] for panel in shown["panels"] for target in panel.get("targets", ())]


def alerts() -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
    return rules


def promtool(*arguments: str, text: str = "") -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], input=text, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", PAPERS)
def test_the_papers_are_those_that_the_table_makes(name: str) -> None:
    assert (FOLDER / name).read_text("utf-8") == PAPERS[name](), "python -m gateway.telemetry.metrics.papers"


def test_every_metric_that_is_asked_for_exists_with_its_labels() -> None:
    asked = dashboard_queries() + [alert["expr"] for alert in alerts()]

    for query in asked:
        names = re.findall(r"\b(?:dragoman|gen_ai)_\w+", query)
        assert names, query
        for name in names:
            metric = BY_NAME.get(name) or BY_NAME[name.removesuffix("_bucket")]
            assert name.endswith("_bucket") == (metric.type == "histogram"), query
        known = {label for name in names for label in BY_NAME[name.removesuffix("_bucket")].labels} | {"le"}
        used = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", query) + re.findall(r"by \(([\w, ]+)\)", query)
        assert {label.strip() for group in used for label in group.split(",")} <= known, query


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    asked = " ".join(dashboard_queries() + [alert["expr"] for alert in alerts()])

    assert [name for name in BY_NAME if name not in asked] == []


@needs_promtool
def test_promtool_accepts_metrics_alerts_and_the_queries_of_the_dashboard(tmp_path: Path) -> None:
    metrics = Metrics(model_table(), route_of, lambda: NOW)
    metrics.note(ended())
    body, _ = exposition(merged([metrics.look()], metrics.tally()), "", with_otel_names=True)
    rules = [
        {"record": f"panel:{number}", "expr": _filled_in(query)} for number, query in enumerate(dashboard_queries())
    ]
    queries = tmp_path / "queries.yml"
    queries.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))

    promtool("check", "metrics", text=body.decode())
    promtool("check", "rules", str(FOLDER / "alerts.yml"))
    promtool("check", "rules", str(queries))
    assert all(renamed.name in body.decode() for renamed in RENAMED)


@needs_promtool
def test_alerts_fire_when_they_should(tmp_path: Path) -> None:
    series = {
        'dragoman_key_state{key="a",state="rejected"}': "1x10",
        'dragoman_key_state{key="b",state="cooling"}': "1x10",
        'dragoman_requests_total{status="200"}': "0+60x10",
        'dragoman_requests_total{status="502"}': "0+6x10",
    }
    fired = {
        "DragomanKeyRejected": {"key": "a", "severity": "ticket"},
        "DragomanNoKeyReady": {"severity": "page"},
        "DragomanFails": {"severity": "page"},
    }
    known = {alert["alert"]: alert["annotations"] for alert in alerts()}
    expected = [
        {
            "eval_time": "10m",
            "alertname": name,
            "exp_alerts": [{"exp_labels": labels, "exp_annotations": _said(known[name], labels)}],
        }
        for name, labels in fired.items()
    ]
    test = tmp_path / "test.yml"
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    case = {"interval": "1m", "input_series": inputs, "alert_rule_test": expected}
    test.write_text(yaml.safe_dump({"rule_files": [str(FOLDER / "alerts.yml")], "tests": [case]}))

    promtool("test", "rules", str(test))


def _said(annotations: dict[str, str], labels: dict[str, str]) -> dict[str, str]:
    return {name: text.replace("{{ $labels.key }}", labels.get("key", "")) for name, text in annotations.items()}


def _filled_in(query: str) -> str:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query
