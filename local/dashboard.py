"""Draw the dashboard from a local run: docs/dashboard.png. Usage: ``python -m local.dashboard [FILE]``.

The widgets are those of the dashboard as it was deployed to the local AWS. The metrics of CubeSms come from the
functions' own EMF lines, those of SQS from a look at the queues every second. The run takes five minutes.
"""

from __future__ import annotations

import json
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from local.cloudwatch import Line, Metric, Query, Series, calculate, emitted, lines, metric, statistic
from local.load import QUOTA, Load
from local.stack import LocalStack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes

DOCS = Path(__file__).parents[1] / "docs"

# Seconds, in place of the dashboard's own 60: the run is short.
PERIOD = 15.0

GRID_COLUMNS = 24

# Inches of a cell of the grid.
CELL_WIDTH, CELL_HEIGHT = 0.6, 0.46

# The most characters of a text in a table.
TEXT = 60

STYLE: Any = {
    "font.size": 8,
    "axes.axisbelow": True,
    "axes.edgecolor": "#b0b0b0",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}


def main() -> None:
    """Run the stack under load and draw its dashboard."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS / "dashboard.png"
    parameters = {"CubeDailyQuota": str(QUOTA), "MaxAttempts": "3"}
    with LocalStack(parameters, latency=0.1, quota=0, seed=7) as stack:
        print(f"Sending for {Load.SECONDS:.0f} s ...")
        load = Load(stack)
        load.run()
        cloudwatch = stack.aws.client("cloudwatch")
        body = cloudwatch.get_dashboard(DashboardName=stack.outputs["DashboardName"])["DashboardBody"]
        values = emitted(stack.metrics()) | _queue_metrics(stack, load)
        draw(json.loads(body), values, stack.outcomes(), target)
    print(target)


def _queue_metrics(stack: LocalStack, load: Load) -> dict[Metric, list[tuple[float, float]]]:
    """Return what SQS would emit."""
    ends = {entry["correlation_id"]: _time(entry) for entry in stack.outcomes() if entry.get("state") != "RETRYING"}
    send_queue, dead_letters = (
        stack.outputs[name].rpartition("/")[2] for name in ("SendQueueUrl", "DeadLetterQueueUrl")
    )
    found: dict[Metric, list[tuple[float, float]]] = {}
    for look in load.looks:
        ages = [look.at - at for id_, at in load.enqueued.items() if at <= look.at < ends.get(id_, time.time())]
        for name, queue, value in (
            ("ApproximateAgeOfOldestMessage", send_queue, max(ages, default=0.0)),
            ("ApproximateNumberOfMessagesVisible", send_queue, look.waiting),
            ("ApproximateNumberOfMessagesNotVisible", send_queue, look.hidden),
            ("ApproximateNumberOfMessagesVisible", dead_letters, look.dead_letters),
        ):
            found.setdefault(metric("AWS/SQS", name, "QueueName", queue), []).append((look.at, value))
    return found


def _time(entry: Mapping[str, Any]) -> float:
    # Powertools writes 2026-11-22 12:50:54,123+0000.
    moment, milliseconds = entry["timestamp"].split(",")
    zone = milliseconds[3:]
    return time.mktime(time.strptime(moment + zone, "%Y-%m-%d %H:%M:%S%z")) + int(milliseconds[:3]) / 1000


def draw(
    dashboard: Mapping[str, Any],
    values: Mapping[Metric, list[tuple[float, float]]],
    logs: list[dict[str, Any]],
    target: Path,
) -> None:
    """Draw a dashboard's widgets where its grid has them.

    Parameters
    ----------
    dashboard : Mapping
        The dashboard's body.
    values : Mapping
        The values of every metric, with their times.
    logs : list[dict]
        The log's entries about messages.
    target : Path
        The file to write.
    """
    widgets = dashboard["widgets"]
    rows = max(widget["y"] + widget["height"] for widget in widgets)
    figure = Figure(figsize=(GRID_COLUMNS * CELL_WIDTH, rows * CELL_HEIGHT))
    times = [at for each in values.values() for at, _ in each]
    span = (min(times), max(times))
    with mpl.rc_context(STYLE):
        for widget in widgets:
            # Within its place, room for scales on both sides, a title above and a legend below.
            left, bottom = widget["x"] + 1.0, rows - widget["y"] - widget["height"] + 1.6
            width, height = widget["width"] - 1.8, widget["height"] - 2.3
            axes = figure.add_axes((left / GRID_COLUMNS, bottom / rows, width / GRID_COLUMNS, height / rows))
            axes.set_title(widget["properties"]["title"], loc="left", fontweight="bold", fontsize=9)
            if widget["type"] == "log":
                _draw_table(axes, Query.parse(widget["properties"]["query"]), logs)
            else:
                _draw_lines(axes, widget["properties"], lines(widget), values, span)
        figure.savefig(target, dpi=100)


def _draw_table(axes: Axes, query: Query, logs: list[dict[str, Any]]) -> None:
    axes.axis("off")
    counts = [[textwrap.shorten(value, TEXT, placeholder=" …") for value in row] for row in query.counts(logs)[:10]]
    rows = [[*query.by, "messages"], *counts]
    # The texts of errors have the width of two columns or more.
    widths = [0.68 if name == "error" else 0.11 for name in rows[0]]
    table = axes.table(rows, bbox=(-0.08, -0.3, 1.1, 1.3), colWidths=widths, cellLoc="left", edges="horizontal")  # type: ignore[arg-type]
    table.auto_set_font_size(False)
    for (row, _), cell in table.get_celld().items():
        cell.set_edgecolor("#e4e4e4")
        cell.set_text_props(fontweight="bold" if row == 0 else "normal", fontsize=7)


def _draw_lines(
    axes: Axes,
    properties: Mapping[str, Any],
    rows: list[Line],
    values: Mapping[Metric, list[tuple[float, float]]],
    span: tuple[float, float],
) -> None:
    shown = [
        (row.options, series)
        for row, series in zip(rows, _series(properties, rows, values), strict=True)
        if row.options.get("visible", True)
    ]
    sides = {"left": axes}
    if any("yAxis" in options for options, _ in shown):
        sides["right"] = axes.twinx()
        sides["right"].grid(visible=False)
        sides["right"].spines["right"].set_visible(True)
    _plot(sides, shown, span, is_stacked=properties["stacked"])
    for each in properties.get("annotations", {}).get("horizontal", []):
        axes.axhline(each["value"], color=each["color"], linewidth=1, linestyle="--", label=each["label"])
    for side, drawn in sides.items():
        scale = properties["yAxis"][side]
        drawn.set_ylabel(scale["label"])
        # Also if there are only zeros, or no values.
        drawn.set_ylim(scale["min"], scale.get("max", max(1.0, drawn.get_ylim()[1])))
    axes.set_xlim(0, (span[1] - span[0]) / 60)
    axes.xaxis.set_major_formatter(lambda minutes, _: f"{minutes:.0f} min")
    axes.xaxis.set_major_locator(MultipleLocator(1))
    handles = [handle for drawn in sides.values() for handle in drawn.get_legend_handles_labels()[0]]
    # A few below one another, and as many beside as there is room for.
    columns = len(handles) if len(handles) <= 3 else 2 if axes.get_position().width < 0.3 else 4
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(-0.08, -0.13), fontsize=7, ncols=columns)


def _series(
    properties: Mapping[str, Any], rows: list[Line], values: Mapping[Metric, list[tuple[float, float]]]
) -> list[Series]:
    """Return what each row shows."""
    measured = {
        index: statistic(values.get(row.metric, []), row.options.get("stat") or properties["stat"], PERIOD)
        for index, row in enumerate(rows)
        if row.metric
    }
    named = {rows[index].options.get("id", ""): series for index, series in measured.items()}
    return [
        measured[index] if row.metric else calculate(row.options["expression"], named, PERIOD)
        for index, row in enumerate(rows)
    ]


def _plot(
    sides: Mapping[str, Axes],
    shown: list[tuple[dict[str, Any], Series]],
    span: tuple[float, float],
    *,
    is_stacked: bool,
) -> None:
    first, last = (at // PERIOD * PERIOD for at in span)
    times = [first + PERIOD * step for step in range(int((last - first) / PERIOD) + 1)]
    minutes = [(at - span[0]) / 60 for at in times]
    labels = [options["label"] + ("" if series else " (no data)") for options, series in shown]
    if is_stacked:
        heights = [[series.get(at, 0.0) for at in times] for _, series in shown]
        sides["left"].stackplot(minutes, heights, labels=labels, colors=[options["color"] for options, _ in shown])
        return
    for label, (options, series) in zip(labels, shown, strict=True):
        side, color = sides[options.get("yAxis", "left")], options.get("color")
        line_or_gaps = [series.get(at, float("nan")) for at in times]
        side.plot(minutes, line_or_gaps, label=label, color=color, linewidth=1.2, marker=".", markersize=3)


if __name__ == "__main__":
    main()
