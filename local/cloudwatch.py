"""What CloudWatch makes of EMF lines and logs, as far as this project's dashboard and alarms ask for it."""

from __future__ import annotations

import ast
import operator
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Values by the start of their period, in seconds since the epoch.
type Series = dict[float, float]

_OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}


class Metric(NamedTuple):
    """A metric as CloudWatch knows it: every set of dimensions makes another one.

    Parameters
    ----------
    namespace, name : str
        Its namespace and its name.
    dimensions : frozenset of tuple of str
        Names and values of its dimensions.
    """

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


class Line(NamedTuple):
    """A line of a dashboard's widget.

    Parameters
    ----------
    metric : Metric or None
        What it shows, if it is no expression.
    options : dict
        Its other properties: label, stat, id, expression, …
    """

    metric: Metric | None
    options: dict[str, Any]


def metric(namespace: str, name: str, *dimensions: str) -> Metric:
    """Make a metric from its dimensions' names and values in turn."""
    return Metric(namespace, name, frozenset(zip(dimensions[::2], dimensions[1::2], strict=True)))


def emitted(emf: Iterable[Mapping[str, Any]]) -> dict[Metric, list[tuple[float, float]]]:
    """Return each metric in EMF objects, with its times and values."""
    found: defaultdict[Metric, list[tuple[float, float]]] = defaultdict(list)
    for entry in emf:
        for directive in entry["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = frozenset((name, entry[name]) for name in names)
                for each in directive["Metrics"]:
                    values = entry[each["Name"]]
                    found[Metric(directive["Namespace"], each["Name"], dimensions)] += [
                        (entry["_aws"]["Timestamp"] / 1000, value)
                        for value in (values if isinstance(values, list) else [values])
                    ]
    return dict(found)


def statistic(values: Iterable[tuple[float, float]], stat: str, period: float) -> Series:
    """Return a statistic over each period in which there are values."""
    periods: defaultdict[float, list[float]] = defaultdict(list)
    for at, value in values:
        periods[at // period * period].append(value)
    return {at: _statistic(periods[at], stat) for at in sorted(periods)}


def _statistic(values: list[float], stat: str) -> float:
    if percentile := re.fullmatch(r"p(\d+)", stat):
        return float(np.percentile(values, int(percentile[1])))
    statistics = {"Sum": sum(values), "Maximum": max(values), "SampleCount": len(values)}
    return float(statistics[stat])


def calculate(expression: str, series: Mapping[str, Series], period: float) -> Series:
    """Evaluate metric math: arithmetic, ``PERIOD`` and ``FILL`` with a number, and ``IF`` with ``>=``.

    Examples
    --------
    >>> calculate("100 * failed / FILL(sent, 5)", {"failed": {0: 1, 60: 2}, "sent": {0: 10}}, 60)
    {0: 10.0, 60: 40.0}
    """
    tree = ast.parse(expression, mode="eval").body
    times = sorted({at for each in series.values() for at in each})
    values = {at: _value(tree, series, at, period) for at in times}
    return {at: value for at, value in values.items() if value is not None}


def _value(node: ast.expr, series: Mapping[str, Series], at: float, period: float) -> float | None:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            return series[name].get(at)
        case ast.BinOp(left=left, op=op, right=right):
            operands = [_value(each, series, at, period) for each in (left, right)]
            if operands[0] is None or operands[1] is None or (isinstance(op, ast.Div) and not operands[1]):
                return None
            return float(_OPERATORS[type(op)](*operands))
        case ast.Call(func=ast.Name(id="PERIOD")):
            return period
        case ast.Call(func=ast.Name(id="FILL"), args=[filled, other]):
            value = _value(filled, series, at, period)
            return _value(other, series, at, period) if value is None else value
        case ast.Call(
            func=ast.Name(id="IF"), args=[ast.Compare(left=left, ops=[ast.GtE()], comparators=[right]), then, otherwise]
        ):
            operands = [_value(each, series, at, period) for each in (left, right)]
            if operands[0] is None or operands[1] is None:
                return None
            return _value(then if operands[0] >= operands[1] else otherwise, series, at, period)
    raise ValueError(f"not understood: {ast.unparse(node)}")


def lines(widget: Mapping[str, Any]) -> list[Line]:
    """Return the lines of a metric widget, with "." and "..." replaced by what they stand for."""
    found: list[Line] = []
    above: list[str] = []
    for row in widget["properties"]["metrics"]:
        options = row[-1] if isinstance(row[-1], dict) else {}
        names = [each for each in row if isinstance(each, str)]
        if not names:
            found.append(Line(None, options))
            continue
        if names[0] == "...":
            names = above[: len(above) - len(names) + 1] + names[1:]
        above = [above[index] if name == "." else name for index, name in enumerate(names)]
        found.append(Line(metric(*above), options))
    return found


class Query(NamedTuple):
    """A query of Logs Insights: lines that have a field, counted by fields.

    Parameters
    ----------
    field : str
        What lines have to have.
    by : list[str]
        What they are counted by.
    """

    field: str
    by: list[str]

    @classmethod
    def parse(cls, text: str) -> Query:
        """Read a query; of the language it takes what the dashboard uses."""
        shape = r"(?:SOURCE '[^']+' \| )+filter ispresent\((\w+)\) \| stats count\(\*\) as \w+ by ([\w, ]+) \| sort .*"
        if not (parts := re.fullmatch(shape, text)):
            raise ValueError(f"not understood: {text}")
        return cls(parts[1], parts[2].split(", "))

    def counts(self, logs: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
        """Return each combination of values and its count, the most frequent first."""
        chosen = [line for line in logs if line.get(self.field) is not None]
        counts = Counter(tuple(str(line.get(name, "")) for name in self.by) for line in chosen)
        return [(*values, str(count)) for values, count in counts.most_common()]
