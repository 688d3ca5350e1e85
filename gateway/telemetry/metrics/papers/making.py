"""Makes the papers: `dashboard.json` for Grafana, `alerts.yml` for Prometheus, and `metrics.md` for people."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
import yaml

from gateway.telemetry.metrics.otel import CONVENTION, RENAMED
from gateway.telemetry.metrics.papers.alerts import ALERTS
from gateway.telemetry.metrics.papers.panels import ROWS, Panel
from gateway.telemetry.metrics.table import METRICS, Metric

_COMMAND: Final = "python -m gateway.telemetry.metrics.papers"
_WIDTH: Final = 24
_PANEL_WIDTH: Final = 8
_PANEL_HEIGHT: Final = 8
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> str:
    """A dashboard for Grafana 9 and newer."""
    shown: dict[str, Any] = {
        "title": "Dragoman",
        "uid": "dragoman",
        "description": f"Made by `{_COMMAND}`.",
        "tags": ["dragoman"],
        "schemaVersion": 38,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": _variables()},
        "panels": _panels(),
    }
    return orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def _variables() -> list[dict[str, Any]]:
    model = {
        "name": "model",
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": "label_values(dragoman_requests_total, model)", "refId": "model"},
        "includeAll": True,
        "multi": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "refresh": 2,
    }
    return [{"name": "datasource", "type": "datasource", "query": "prometheus"}, model]


def _panels() -> list[dict[str, Any]]:
    panels: list[dict[str, Any]] = []
    top = 0
    for row in ROWS:
        place = {"h": 1, "w": _WIDTH, "x": 0, "y": top}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "gridPos": place, "panels": []})
        top += 1
        for number, panel in enumerate(row.panels):
            line, left = divmod(number * _PANEL_WIDTH, _WIDTH)
            place = {"h": _PANEL_HEIGHT, "w": _PANEL_WIDTH, "x": left, "y": top + line * _PANEL_HEIGHT}
            panels.append(_panel(len(panels) + 1, panel, place))
        top += -(-len(row.panels) * _PANEL_WIDTH // _WIDTH) * _PANEL_HEIGHT
    return panels


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    stacking = {"mode": "normal"} if panel.is_stacked else {"mode": "none"}
    custom = {"fillOpacity": 20 if panel.is_stacked else 0, "stacking": stacking}
    return {
        "id": number,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.help,
        "gridPos": dict(place),
        "datasource": _DATASOURCE,
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0, "custom": custom}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": expression, "legendFormat": legend, "datasource": _DATASOURCE}
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }


def alerts() -> str:
    """Rules for Prometheus."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": f"{alert.for_minutes}m",
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "description": alert.description},
        }
        for alert in ALERTS
    ]
    text = yaml.safe_dump({"groups": [{"name": "dragoman", "rules": rules}]}, sort_keys=False, width=120)
    return f"# Made by `{_COMMAND}`.\n{text}"


def page() -> str:
    """The list of all metrics."""
    lines = [
        "# Metrics",
        "",
        f"All that [`/metrics`](../observability.md#metrics) shows. Made by `{_COMMAND}`.",
        "",
        "| name | type | labels | what it is |",
        "|---|---|---|---|",
        *map(_line, METRICS),
        "",
        "## OpenTelemetry's names",
        "",
        f"The same figures by the names of OpenTelemetry's convention: {CONVENTION}.",
        "",
        "| name | OpenTelemetry | of | labels |",
        "|---|---|---|---|",
    ]
    for renamed in RENAMED:
        labels = ", ".join(f"`{label}`" for label in renamed.label_names)
        lines.append(f"| `{renamed.name}` | {renamed.help} | `{renamed.source}` | {labels} |")
    return "\n".join([*lines, ""])


def _line(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.type} | {labels} | {metric.help} |"


PAPERS: Final[Mapping[str, Callable[[], str]]] = {
    "dashboard.json": dashboard,
    "alerts.yml": alerts,
    "metrics.md": page,
}
