#!/usr/bin/env python3
"""Breaks the dashboards on purpose, one thing at a time: check.py must notice each.

    test_checks.py SERVER_BINARY
"""
import copy
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import data  # noqa: E402
import static  # noqa: E402
from check import Check, DAY, Server  # noqa: E402


def panel(dashboard, title):
    return next(panel for panel in dashboard["panels"] if panel["title"] == title)


def asks(title, **keys):
    return lambda dashboard: panel(dashboard, title)["targets"][0].update(keys)


def column(title, at, **keys):
    return lambda dashboard: panel(dashboard, title)["targets"][0]["columns"][at].update(keys)


def parameter(title, at, **keys):
    return lambda dashboard: panel(dashboard, title)["targets"][0]["url_options"]["params"][at].update(keys)


def no_mapping(dashboard):
    del panel(dashboard, "State over time")["fieldConfig"]["defaults"]["mappings"][0]["options"]["4"]


def more_times(dashboard):
    panel(dashboard, "State over time")["targets"][0]["columns"].append(
        {"selector": "end", "text": "end", "type": "timestamp"})


def of_variable(at, **keys):
    return lambda dashboard: dashboard["templating"]["list"][at]["query"]["infinityQuery"].update(keys)


MUTATIONS = [
    ("fleet", "a misspelt path", asks("Servers", url="/statuses")),
    ("fleet", "a selector that is not there", column("Servers", 3, selector="enviroment")),
    ("fleet", "a column that organize does not know", column("Servers", 3, text="env")),
    ("fleet", "a number read as time", column("Open drifts", 3, type="timestamp")),
    ("fleet", "a wrong root", asks("Open drifts", root_selector="rows")),
    ("fleet", "a wrong cursor path", asks("Open drifts", pagination_param_cursor_extraction_path="cursor")),
    ("fleet", "a limit that is refused", asks("Open drifts", url="/episodes?open=true&limit=100000")),
    ("fleet", "two numbers in a bar", column("Drifted servers by group", 0, type="number")),
    ("fleet", "a stat of strings", column("Servers now", 0, type="string")),
    ("fleet", "a variable's path", of_variable(1, url="/summary?group_by=group")),
    ("host", "a macro that nobody fills in", asks("State over time", url="/timeline?from=${__timeFrm}")),
    ("host", "a parameter that is refused", parameter("Reports", 0, key="group")),
    ("host", "a variable that is not there", parameter("Reports", 0, value="${groups}")),
    ("host", "hosts that are not split", lambda d: panel(d, "State over time").update(transformations=[])),
    ("host", "a timeline of many hosts as time series", asks("State over time", format="timeseries")),
    ("host", "a state without a mapping", no_mapping),
    ("host", "two times", more_times),
    ("host", "the wrong parameter for pages", asks("Reports", pagination_param_cursor_field_name="page")),
    ("host", "an annotation with another column",
     lambda d: d["annotations"]["list"][1]["target"]["columns"][1].update(text="end")),
    ("host", "an annotation's path", lambda d: d["annotations"]["list"][1]["target"].update(url="/annotation")),
    ("review", "a grouping that is not there", lambda d: d["templating"]["list"][2]["current"].update(value="team")),
    ("review", "totals under another name", asks("Totals", root_selector="total")),
    ("review", "a row that organize does not know", lambda d: panel(d, "By ${group_by:text}")["transformations"][0]
     ["options"]["indexByName"].pop("coverage_percent")),
    ("review", "an override of nothing", lambda d: panel(d, "Totals")["fieldConfig"]["overrides"][0]["matcher"]
     .update(options="in sync")),
]


def failures(server, name, dashboard, now):
    # The review's own default is the last quarter; the test's data are of the last weeks.
    chosen = {"period": time.strftime("%Y", time.gmtime(now)), "reports": "false"}
    check = Check()
    check.dashboard(server, name, dashboard, chosen, now - 110 * DAY, now, full=True)
    chosen |= {"group": "web", "host": "web-01"}
    check.dashboard(server, name, dashboard, chosen, now - DAY, now)
    return check.failures


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    boards = {name.removesuffix(".json"): dashboard for name, dashboard in static.dashboards().items()}
    missed, now = [], time.time()
    with Server(sys.argv[1]) as server:
        data.fill(server.base)
        for name, dashboard in boards.items():
            missed += [f"{name} as committed: {failure}" for failure in failures(server, name, dashboard, now)]
        for name, what, mutate in MUTATIONS:
            broken = copy.deepcopy(boards[name])
            mutate(broken)
            if not failures(server, name, broken, now):
                missed.append(f"{name}: {what} was not noticed")
    for failure in missed:
        print(f"FAIL {failure}")
    print(f"{len(MUTATIONS)} breakages tried, {len(missed)} failures")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
