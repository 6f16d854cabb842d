"""docs/dashboards/*.svg: the chart's dashboards, drawn from what a real Prometheus answers to their queries.

    PYTHONPATH=tests/cluster:tests/support:tests/bench python tests/support/dashboard_pictures.py [finetune-fleet] [finetune-job]

Not Grafana: the panels stand in the dashboard's grid and show its queries, drawn here. Takes the machine's pretended cluster
(`localcluster kwok-control-plane`) for the one, trains the tiny model for the other; 3 minutes each.
"""

import argparse
import contextlib
import json
import pathlib
import re
import tempfile
import time
from typing import Any

import dashboard_scenes
import dashboards
import panel_svg
import prometheus_server

FOLDER = dashboards.FOLDER.parents[3] / "docs" / "dashboards"
COLUMN, ROW, TOP, MARGIN = 50, 28, 64, 5
"""A cell of the grid, room for the title, half of what lies between two panels (px)."""
STEP = 1.0
"""Seconds between two points of a curve."""
RATE_SECONDS = 15
SCENES = {
    "finetune-fleet": (
        dashboard_scenes.fleet,
        {"namespace": ".*"},
        "an operator of this checkout, 10 pretended nodes, jobs of two namespaces of which some fail; no queue",
    ),
    "finetune-job": (
        dashboard_scenes.training,
        {"namespace": dashboard_scenes.NAMESPACE, "job": dashboard_scenes.JOB},
        "the tests' tiny model, trained on a CPU; no GPU whose arithmetic could be shared",
    ),
}
"""What is played for a dashboard, its variables, and what is said of it."""


def main() -> None:
    """Play, ask, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("uids", nargs="*", metavar="DASHBOARD", help="(all)")
    for uid in parser.parse_args().uids or SCENES:
        FOLDER.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="dashboard-") as folder:
            (FOLDER / f"{uid}.svg").write_text(picture(uid, pathlib.Path(folder)))


def picture(uid: str, folder: pathlib.Path) -> str:
    """The dashboard after its scene, as SVG."""
    scene, variables, told = SCENES[uid]
    dashboard = json.loads((dashboards.FOLDER / f"{uid}.json").read_text())
    with prometheus_server.scraping(folder) as prometheus, contextlib.ExitStack() as played:
        played.enter_context(scene(folder, folder / prometheus_server.TARGETS))
        end = time.time()
        start = min(moments[0][0] for _, moments in prometheus.series("up", end - 3600, end, STEP))
        asked = Asked(prometheus, start, end, variables)
        panels = [
            panel_svg.Panel(
                one["type"],
                one["title"],
                one["fieldConfig"]["defaults"]["unit"],
                place(one["gridPos"]),
                asked.shown(one),
                end - start,
                names=one.get("options", {}).get("textMode") == "name",
            )
            for one in dashboard["panels"]
        ]
    low = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in dashboard["panels"])
    size = dashboards.WIDTH * COLUMN, TOP + low * ROW + MARGIN
    beneath = f"Queries answered by Prometheus, drawn by tests/support/dashboard_pictures.py, not by Grafana. Shown: {told}."
    return panel_svg.page(*size, dashboard["title"], beneath, [panel_svg.panel(one) for one in panels])


def place(grid: dict[str, int]) -> panel_svg.Place:
    """Where a panel stands (px)."""
    return (
        grid["x"] * COLUMN + MARGIN,
        TOP + grid["y"] * ROW + MARGIN,
        grid["w"] * COLUMN - 2 * MARGIN,
        grid["h"] * ROW - 2 * MARGIN,
    )


class Asked:
    """Answers of Prometheus to a dashboard's queries over one span of time (seconds since 1970)."""

    def __init__(
        self, prometheus: prometheus_server.Prometheus, start: float, end: float, variables: dict[str, str]
    ) -> None:
        self._prometheus, self._start, self._end = prometheus, start, end
        self._variables = {
            "__rate_interval": f"{RATE_SECONDS}s",
            "__range": f"{round(end - start)}s",
            **variables,
        }

    def shown(self, panel: dict[str, Any]) -> panel_svg.Shown:
        """Legend and points of each series of a panel; where no time is shown, of its last moment."""
        start = self._start if panel["type"] == "timeseries" else self._end
        return [
            (
                legend(target["legendFormat"], labels),
                [(moment - self._start, value) for moment, value in points],
            )
            for target in panel["targets"]
            for labels, points in self._prometheus.series(self.query(target), start, self._end, STEP)
        ]

    def query(self, target: dict[str, Any]) -> str:
        """With the variables filled in."""
        return re.sub(r"\$(\w+)", lambda found: self._variables[found[1]], target["expr"])


def legend(form: str, labels: dict[str, str]) -> str:
    """As Grafana fills it in."""
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), form)


if __name__ == "__main__":
    main()
