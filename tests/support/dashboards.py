"""The chart's Grafana dashboards, from a list of panels. `python tests/support/dashboards.py` writes them.

A panel is a title, a unit of Grafana's, and queries by legend; rows of panels are laid out as they stand here.
"""

import json
import pathlib
from dataclasses import dataclass
from typing import Any

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "charts" / "finetune-operator" / "files" / "dashboards"
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH = 24
HEIGHT = 8
NOW = 'max by (namespace, state) (finetunejob_jobs{namespace=~"$namespace"})'
"""Every operator pod counts all jobs."""
JOB = '{namespace=~"$namespace", finetune_dev_job_name="$job"}'
Queries = dict[str, str]
"""Legend to PromQL."""


@dataclass(frozen=True)
class Panel:
    """`kind`: of Grafana's, such as timeseries or stat."""

    title: str
    unit: str
    queries: Queries
    kind: str = "timeseries"
    names: bool = False
    """A stat shows the legends, not the values, and only those of now."""


def _quantiles(metric: str, by: str = "", where: str = "") -> Queries:
    """Median and 95th percentile of a histogram."""
    labels = f"le, {by}" if by else "le"
    legend = f" {{{{{by}}}}}" if by else ""
    rate = f"sum by ({labels}) (rate({metric}_bucket{where}[$__rate_interval]))"
    return {f"p{share}{legend}": f"histogram_quantile(0.{share}, {rate})" for share in (50, 95)}


def _used(metric: str) -> str:
    return f'sum by (namespace) (increase({metric}{{namespace=~"$namespace"}}[$__range]))'


FLEET: list[list[Panel]] = [
    [
        Panel("Jobs now", "short", {"{{state}}": f"sum by (state) ({NOW})"}, "stat"),
        Panel("Operator pods that lead", "short", {"leading": "sum(finetunejob_leading)"}, "stat"),
        Panel(
            "Version",
            "short",
            {"{{version}}": "max by (version) (finetunejob_build_info)"},
            "stat",
            names=True,
        ),
    ],
    [
        Panel("Jobs by state", "short", {"{{state}}": f"sum by (state) ({NOW})"}),
        Panel(
            "Jobs queued, by namespace", "short", {"{{namespace}}": NOW.replace("{n", '{state="Queued", n')}
        ),
    ],
    [
        Panel(
            "GPU hours",
            "short",
            {"{{namespace}}": f"{_used('finetunejob_gpu_seconds_total')} / 3600"},
            "bargauge",
        ),
        Panel(
            "Share of GPU time that was lost",
            "percentunit",
            {
                "{{namespace}}": f"{_used('finetunejob_wasted_gpu_seconds_total')} / {_used('finetunejob_gpu_seconds_total')}"
            },
            "bargauge",
        ),
        Panel(
            "Cost",
            "short",
            {
                "{{namespace}} {{currency}}": _used("finetunejob_cost_total").replace(
                    "(namespace)", "(namespace, currency)"
                )
            },
            "bargauge",
        ),
    ],
    [
        Panel("Time in the queue", "s", _quantiles("finetunejob_queued_seconds")),
        Panel(
            "Attempts that ended, per hour",
            "short",
            {
                "{{stage}} {{outcome}}": "sum by (stage, outcome) (rate(finetunejob_run_seconds_count[$__rate_interval])) * 3600"
            },
        ),
        Panel(
            "Training time of an attempt", "s", _quantiles("finetunejob_run_seconds", where='{stage="Train"}')
        ),
    ],
    [
        Panel(
            "Why jobs failed",
            "short",
            {
                "{{reason}}": 'topk(10, sum by (reason) (increase(finetunejob_jobs_finished_total{result="Failed"}[$__range])))'
            },
            "bargauge",
        ),
        Panel(
            "From a job's creation to its first Job", "s", _quantiles("finetunejob_create_to_child_seconds")
        ),
    ],
    [
        Panel(
            "Passes of the loop",
            "ops",
            {"{{result}}": "sum by (result) (rate(finetunejob_reconcile_total[$__rate_interval]))"},
        ),
        Panel("Time of a pass", "s", _quantiles("finetunejob_reconcile_duration_seconds")),
        Panel("Jobs that wait for a worker", "short", {"{{pod}}": "finetunejob_queue_depth"}),
        Panel(
            "Requests to the API server",
            "reqps",
            {
                "{{verb}} {{code}}": "sum by (verb, code) (rate(finetunejob_api_requests_total[$__rate_interval]))"
            },
        ),
    ],
]
"""For the admin."""

TRAINING: list[list[Panel]] = [
    [
        Panel(
            "Step",
            "short",
            {
                "step": f"max(finetune_trainer_step{JOB})",
                "of all steps": f"max(finetune_trainer_total_steps{JOB})",
            },
            "stat",
        ),
        Panel("Epoch", "short", {"epoch": f"max(finetune_trainer_epoch{JOB})"}, "stat"),
        Panel("Time left", "s", {"to the end": f"max(finetune_trainer_eta_seconds{JOB})"}, "stat"),
        Panel("Attempt", "short", {"attempt": f"max(finetune_trainer_attempt{JOB})"}, "stat"),
        Panel(
            "Stage",
            "short",
            {"{{stage}}": f"max by (stage) (finetune_trainer_stage{JOB})"},
            "stat",
            names=True,
        ),
    ],
    [
        Panel(
            "Loss (SFT: nats per token)",
            "short",
            {
                "training": f"max(finetune_trainer_loss{JOB})",
                "held out": f"max(finetune_trainer_eval_loss{JOB})",
            },
        ),
        Panel("Learning rate", "sci", {"learning rate": f"max(finetune_trainer_learning_rate{JOB})"}),
    ],
    [
        Panel("Tokens per second", "short", {"tokens/s": f"max(finetune_trainer_tokens_per_second{JOB})"}),
        Panel("Share of the GPUs' arithmetic", "percentunit", {"MFU": f"max(finetune_trainer_mfu{JOB})"}),
        Panel(
            "Time since the work last moved",
            "s",
            {"{{pod}}": f"time() - finetune_trainer_updated_timestamp_seconds{JOB}"},
        ),
    ],
]
"""One job while it trains; its pods must be scraped (`metrics.podMonitor`)."""


def _variable(name: str, query: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": "query", "datasource": SOURCE, "query": query, "refresh": 2, **more}


ALL = {"multi": True, "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
DASHBOARDS: dict[str, tuple[str, list[list[Panel]], list[dict[str, Any]]]] = {
    "finetune-fleet": (
        "Fine-tuning: all jobs",
        FLEET,
        [_variable("namespace", "label_values(finetunejob_jobs, namespace)", **ALL)],
    ),
    "finetune-job": (
        "Fine-tuning: one job",
        TRAINING,
        [
            _variable("namespace", "label_values(finetune_trainer_step, namespace)"),
            _variable(
                "job", 'label_values(finetune_trainer_step{namespace="$namespace"}, finetune_dev_job_name)'
            ),
        ],
    ),
}
"""uid, which is the file's name too, to title, rows and variables."""


def dashboard(uid: str) -> dict[str, Any]:
    """What Grafana imports."""
    title, rows, variables = DASHBOARDS[uid]
    source = {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    panels = [
        _panel(
            panel,
            1 + at + 100 * down,
            {"x": left, "y": down * HEIGHT, "w": (at + 1) * WIDTH // len(row) - left, "h": HEIGHT},
        )
        for down, row in enumerate(rows)
        for at, panel in enumerate(row)
        for left in [at * WIDTH // len(row)]
    ]
    return {
        "uid": uid,
        "title": title,
        "tags": ["finetune"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [source, *variables]},
        "panels": panels,
    }


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + at), "datasource": SOURCE, "expr": query, "legendFormat": legend}
        for at, (legend, query) in enumerate(panel.queries.items())
    ]
    found: dict[str, Any] = {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit}, "overrides": []},
        "targets": targets,
    }
    if panel.names:
        found["options"] = {"textMode": "name"}
        for target in targets:
            target |= {"instant": True, "range": False}
    return found


def text(uid: str) -> str:
    """The file."""
    return json.dumps(dashboard(uid), indent=1) + "\n"


def main() -> None:
    """Write them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for uid in DASHBOARDS:
        (FOLDER / f"{uid}.json").write_text(text(uid))


if __name__ == "__main__":
    main()
