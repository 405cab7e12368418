#!/usr/bin/env python3
"""Works out the review of 2026-Q3 from the raw reports alone, host by host, the plain way.

Reads reports.ndjson.gz, prints the review by host as JSON: what review.json holds. It shares nothing
with the server but the definitions: a host's life goes from its first report on; a word is good for
max_age; failed, unknown and silence are not measured; a drift goes from the first out_of_sync report
to the next synced one.
"""
import gzip
import json
import os
from datetime import datetime, timezone

STALE_AFTER = 26 * 3600
HERE = os.path.dirname(os.path.abspath(__file__))


def micros(text):
    form = "%Y-%m-%dT%H:%M:%S.%fZ" if "." in text else "%Y-%m-%dT%H:%M:%SZ"
    time = datetime.strptime(text, form).replace(tzinfo=timezone.utc)
    whole = time.replace(microsecond=0)
    return int(whole.timestamp()) * 1_000_000 + time.microsecond


FROM, TO = micros("2026-07-01T00:00:00Z"), micros("2026-10-01T00:00:00Z")


def read():
    hosts = {}
    with gzip.open(os.path.join(HERE, "reports.ndjson.gz"), "rt") as file:
        for arrival, line in enumerate(file):
            route, body = json.loads(line)
            time = micros(body.get("last_pipeline_run") or body["last_cron_check"])
            key = (body["server_group"], body["host"])
            hosts.setdefault(key, []).append((time, arrival, route == "/status/pipeline", body))
    return {key: sorted(reports, key=lambda r: r[:2]) for key, reports in sorted(hosts.items())}


def within(start, end):
    return max(0, min(end, TO) - max(start, FROM))


def review(reports):
    times = {"in_sync": 0, "drifted": 0, "not_measured": 0}
    by_file, episodes = {}, []
    status, files = "unknown", frozenset()
    for number, (time, _, pipeline, body) in enumerate(reports):
        said = body.get("status")
        status = said or status
        if "changed_files" in body:
            files = frozenset(body["changed_files"])
        elif pipeline or said == "synced":
            files = frozenset()
        if said == "out_of_sync" and not (episodes and episodes[-1][1] is None):
            episodes.append([time, None])
        if said == "synced" and episodes and episodes[-1][1] is None:
            episodes[-1][1] = time
        end = reports[number + 1][0] if number + 1 < len(reports) else TO
        good = min(end, time + body.get("max_age", STALE_AFTER) * 1_000_000)
        kind = {"synced": "in_sync", "out_of_sync": "drifted"}.get(status, "not_measured")
        times[kind] += within(time, good)
        times["not_measured"] += within(good, max(good, end))
        if kind == "drifted":
            for file in files:
                by_file[file] = by_file.get(file, 0) + within(time, good)
    by_file = {file: time for file, time in by_file.items() if time}
    repaired = [end - start for start, end in episodes if end is not None and FROM <= end < TO]
    measured = times["in_sync"] + times["drifted"]
    span = measured + times["not_measured"]
    share = lambda part, whole: part * 1_000_000 // whole / 10_000 if whole else None
    longest = max((within(start, TO if end is None else end) for start, end in episodes), default=0)
    return {
        "hosts": 1,
        "reports": sum(FROM <= report[0] < TO for report in reports),
        "episodes": sum(FROM <= start < TO for start, _ in episodes),
        "open_episodes": sum(start < TO and (end is None or end >= TO) for start, end in episodes),
        "in_sync_micros": times["in_sync"],
        "drifted_micros": times["drifted"],
        "not_measured_micros": times["not_measured"],
        "in_sync_percent": share(times["in_sync"], measured),
        "coverage_percent": share(measured, span),
        "mean_time_to_repair_micros": sum(repaired) // len(repaired) if repaired else None,
        "longest_drift_micros": longest,
        "most_drifted_file": min(by_file, key=lambda file: (-by_file[file], file)) if by_file else None,
    }


def main():
    rows = [dict(server_group=key[0], host=key[1], **review(reports)) for key, reports in read().items()]
    print("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]")


if __name__ == "__main__":
    main()
