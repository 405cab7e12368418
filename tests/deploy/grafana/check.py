#!/usr/bin/env python3
"""Runs every query of every dashboard against a real server, as Infinity and Grafana would.

    check.py SERVER_BINARY [--require-metrics]
    check.py --promql OUT     writes the Prometheus expressions as a rules file, for promtool
"""
import argparse
import json
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import data  # noqa: E402
import static  # noqa: E402
from grafana import ALL, filled, interval, Value, transformed, variables_of  # noqa: E402
from infinity import FrameError, pivot, query, rows_in  # noqa: E402

URL_MAX = 8000
DAY = 86400


class Server:
    """The binary on a fresh database, for as long as the block lasts."""

    def __init__(self, binary):
        self.binary, self.asked = str(pathlib.Path(binary).resolve()), 0

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="gitops-grafana-")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.base = f"http://127.0.0.1:{port}"
        settings = {"API_HOST": "127.0.0.1", "API_PORT": str(port), "PATH": os.environ.get("PATH", ""),
                    "DATABASE_URL": f"sqlite://{self.folder.name}/x.db", "RUST_LOG": "warn"}
        self.process = subprocess.Popen([self.binary], env=settings, cwd=self.folder.name)
        for _ in range(150):
            try:
                if self.fetch("/ready")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.1)
        self.__exit__()
        raise SystemExit("FAIL: the server did not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.folder.cleanup()

    def fetch(self, path):
        self.asked += 1
        headers = {"Accept": "application/json;q=0.9,text/plain", "User-Agent": "Go-http-client/1.1"}
        try:
            with urllib.request.urlopen(urllib.request.Request(self.base + path, headers=headers), timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


# ---- one frame in one panel ----

def mappings_of(panel, name, shown):
    config = panel["fieldConfig"]
    found = config["defaults"].get("mappings", [])
    for override in config["overrides"]:
        if override["matcher"]["options"] in (name, shown):
            for prop in override["properties"]:
                found = prop["value"] if prop["id"] == "mappings" else found
    return {key for mapping in found if mapping["type"] == "value" for key in mapping["options"]}


def mapping_problems(panel, frame, names):
    for name, field in frame.items():
        keys = mappings_of(panel, name, names.get(name, name))
        if keys and field.kind == "number":
            unknown = {f"{value:g}" for value in field.values if value is not None} - keys
            if unknown:
                yield f"{name}: no mapping for {', '.join(sorted(unknown))}"


def name_problems(panel, target, frame, names):
    """Whatever is named in overrides, sorting and transformations must be there."""
    renamed, ordered = {}, set()
    for step in panel.get("transformations", []):
        if step["id"] == "organize":
            renamed, ordered = step["options"]["renameByName"], set(step["options"]["indexByName"])
    # A query without columns answers other fields for other choices.
    there = set(names.values()) if target["columns"] else set(renamed.values())
    wanted = {o["matcher"]["options"] for o in panel["fieldConfig"]["overrides"]}
    wanted |= {sort["displayName"] for sort in panel["options"].get("sortBy", [])}
    for name in sorted(wanted - there):
        yield f"an override or the sorting names {name}, which is not shown"
    frames, _ = transformed(panel, frame)
    known = set(frame).union(*frames.values())
    if ordered and target["columns"] and ordered != known:
        yield f"organize names other fields than there are: {', '.join(sorted(ordered ^ known))}"
    if ordered and not ordered >= known:
        yield f"organize does not name {', '.join(sorted(known - ordered))}"


def timeline_problems(panel, frame):
    frames, _ = transformed(panel, frame)
    if sum(field.kind == "time" for field in frame.values()) != 1:
        yield "needs exactly one time column"
        return
    for labels, part in frames.items():
        kinds = sorted(field.kind for field in part.values())
        if kinds != ["number", "time"]:
            yield f"{labels}: a row of the panel needs a time and one number, not {kinds}"
        try:
            points = [time for series in pivot(part).values() for time, _ in series]
            if len(points) != rows_in(part):
                yield f"{labels}: two rows have the same time"
        except FrameError as error:
            yield f"{labels}: {error}"


def annotation_problems(frame):
    kinds = {name: field.kind for name, field in frame.items()}
    if kinds != {"time": "time", "timeEnd": "time", "title": "string", "text": "string", "tags": "string"}:
        yield f"an annotation is time, timeEnd, title, text, tags; not {kinds}"
    elif any(time is None for time in frame["time"].values) or any(
            text is None or text.startswith("[") for text in frame["tags"].values):
        yield "an annotation has no time, or its tags are a list"


def gauge_problems(panel, frame):
    pattern = panel["options"]["reduceOptions"]["fields"].strip("/")
    numbers = [name for name, field in frame.items() if field.kind == "number"]
    if [name for name in numbers if re.search(pattern, name)] != numbers or len(numbers) != 1:
        yield "a bar is named by its strings only if there is one number"
    if sum(field.kind == "string" for field in frame.values()) != 1:
        yield "a bar needs one string for its name"


def frame_problems(panel, target, frame):
    if not rows_in(frame):
        return
    for name, field in frame.items():
        if field.missing:
            yield f"{name}: no row has it, so the column would be empty strings"
        if field.unread:
            yield f"{name}: {field.unread} values are not of the column's type, and would be lost"
    if panel["type"] == "annotation":
        yield from annotation_problems(frame)
        return
    _, names = transformed(panel, frame)
    yield from mapping_problems(panel, frame, names)
    yield from name_problems(panel, target, frame, names)
    if target["format"] == "timeseries":
        pivot(frame)
    if panel["type"] in ("state-timeline", "status-history"):
        yield from timeline_problems(panel, frame)
    if panel["type"] == "bargauge":
        yield from gauge_problems(panel, frame)
    if panel["type"] == "stat" and (rows_in(frame) != 1 or any(f.kind != "number" for f in frame.values())):
        yield "a stat here is one row of numbers"


# ---- all queries under many choices ----

class Check:
    def __init__(self):
        self.failures, self.frames, self.most_rows, self.most_pages = [], 0, 0, 0

    def fail(self, where, problem):
        self.failures.append(f"{where}: {problem}")

    def dashboard(self, server, name, dashboard, chosen, begin, end, full=False):
        """Runs everything of a dashboard under one choice; with `full`, everything must have rows."""
        where = f"{name} {chosen} {int((end - begin) / DAY)}d"
        span = (int(begin * 1000), int(end * 1000))
        try:
            values, options = variables_of(dashboard, chosen, server.fetch, *span)
        except FrameError as error:
            return self.fail(where, f"variables: {error}")
        for variable, found in options.items():
            if full and not found:
                self.fail(where, f"variable {variable} has no options")
        for title, panel, target in static.queries(dashboard):
            if static.is_infinity(target):
                scoped = {"__interval": Value(interval(end - begin, panel))}
                self.target(server, f"{where}: {title}", panel, filled(target, values | scoped), span, full)
        return options

    def target(self, server, where, panel, target, span, full):
        try:
            frame, paths = query(target, server.fetch, *span)
            problems = list(frame_problems(panel, target, frame))
        except FrameError as error:
            problems, frame, paths = [error], {}, []
        if full and not rows_in(frame) and not problems:
            problems = ["no data"]
        if any(len(path) > URL_MAX for path in paths):
            problems.append("the URL is too long")
        for problem in problems:
            self.fail(where, problem)
        self.frames += 1
        self.most_rows = max(self.most_rows, rows_in(frame))
        self.most_pages = max(self.most_pages, len(paths))


def host_choices(options):
    yield {"group": ALL, "host": ALL, "reports": "false"}
    yield {"group": ALL, "host": ALL, "reports": "true"}
    for group, hosts in data.GROUPS.items():
        yield {"group": group, "host": ALL}
        for host in hosts:
            yield {"group": group, "host": host}
    yield {"group": ALL, "host": data.ODD}
    yield {"group": "web", "host": "web-old"}
    yield {"group": "web", "host": "no such host"}


def quarter_of(seconds):
    day = time.gmtime(seconds)
    return f"{day.tm_year}-Q{(day.tm_mon + 2) // 3}"


def review_choices(dashboard, now, server):
    rows = next(v for v in dashboard["templating"]["list"] if v["name"] == "group_by")["options"]
    periods = (quarter_of(now), quarter_of(now - 92 * DAY), time.strftime("%Y", time.gmtime(now)), "last-quarter",
               "this-month")
    as_of = json.loads(server.fetch(f"/reviews/{periods[0]}")[1])["as_of"]
    for period in periods:
        for row in rows:
            yield {"period": period, "group_by": row["value"], "group": ALL, "as_of": ""}
        yield {"period": period, "group_by": "host", "group": "stacks/prod", "as_of": as_of}
        yield {"period": period, "group_by": "host", "group": "no such group", "as_of": ""}


def check_full(check, boards, server, now):
    wide = (now - 110 * DAY, now)
    ranges = ((now - DAY, now), (now - 7 * DAY, now), wide, (10 ** 9, 10 ** 9 + DAY))
    fleet, host, review = (boards[f"{name}.json"] for name in ("fleet", "host", "review"))
    options = check.dashboard(server, "fleet.json", fleet, {}, *wide, full=True) or {}
    listed = {value for _, value in options.get("group", [])}
    if not listed >= set(data.GROUPS):
        check.fail("fleet.json", f"the groups to pick are {sorted(listed)}")
    for group in (*data.GROUPS, "no such group"):
        check.dashboard(server, "fleet.json", fleet, {"group": group}, now - DAY, now)
    for chosen in host_choices(options):
        everything = chosen.get("reports") == "false"
        for span in ranges:
            check.dashboard(server, "host.json", host, chosen, *span, full=everything and span == wide)
    check.dashboard(server, "review.json", review, {}, *wide)
    for chosen in review_choices(review, now, server):
        full = chosen["group"] != "no such group" and chosen["period"] != "2026-Q3"
        check.dashboard(server, "review.json", review, chosen, *wide, full=full and chosen["group"] == ALL)


def check_old(check, server, full):
    """Dashboards of the v1 and v2 status servers keep working."""
    old = json.loads((static.HERE / "old-dashboard.json").read_text(encoding="utf-8"))
    check.dashboard(server, "old-dashboard.json", old, {}, time.time() - DAY, time.time(), full=full)


def check_metrics(check, boards, server, required):
    status, body = server.fetch("/metrics")
    if status == 404 and not required:
        print("note: this server has no /metrics; the names were compared with metrics.txt only")
        return
    if status != 200:
        return check.fail("/metrics", f"answers {status}")
    text, known = body.decode(), static.known_metrics()
    for name, dashboard in boards.items():
        for where, _, target in static.queries(dashboard):
            for metric in () if static.is_infinity(target) else sorted(static.metrics_in(target["expr"])[0]):
                lines = re.findall(rf"^{metric}(?:{{(.*)}})? \S+$", text, re.M)
                labels = {label for line in lines for label in re.findall(r'(\w+)="', line)}
                if not lines or not labels >= known[metric]:
                    check.fail(f"{name}: {where}", f"/metrics has {metric} with {sorted(labels)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server", nargs="?", help="the server's binary")
    parser.add_argument("--require-metrics", action="store_true", help="a server without /metrics is a failure")
    parser.add_argument("--promql", metavar="OUT", help="write the expressions to this rules file")
    options = parser.parse_args()
    boards = static.dashboards()
    if options.promql:
        pathlib.Path(options.promql).write_text(static.rules(boards), encoding="utf-8")
    if not options.server:
        return 0 if options.promql else parser.error("name the server's binary, or --promql")
    check, asked = Check(), 0
    check.failures += static.problems(boards)
    with Server(options.server) as server:
        for name, dashboard in boards.items():
            check.dashboard(server, f"empty: {name}", dashboard, {}, time.time() - 7 * DAY, time.time())
        check_old(check, server, full=False)
        asked += server.asked
    with Server(options.server) as server:
        reports = data.fill(server.base)
        check_full(check, boards, server, time.time())
        check_old(check, server, full=True)
        check_metrics(check, boards, server, options.require_metrics)
        asked += server.asked
    if check.most_pages < 2:
        check.fail("test data", "no query needed a second page")
    for failure in check.failures:
        print(f"FAIL {failure}")
    print(f"{check.frames} frames from {asked} requests on {reports} reports; at most {check.most_rows} rows and "
          f"{check.most_pages} pages; {len(check.failures)} failures")
    return 1 if check.failures else 0


if __name__ == "__main__":
    sys.exit(main())
