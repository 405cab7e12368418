#!/usr/bin/env python3
"""Makes reports.ndjson.gz: a plausible quarter of 50 hosts, in the order in which the reports arrive.

Each line is [route, body]. Deterministic: running it again writes the same file.
"""
import gzip
import io
import json
import random
from datetime import datetime, timedelta, timezone

BEGIN = datetime(2026, 6, 28, tzinfo=timezone.utc)
END = datetime(2026, 10, 3, tzinfo=timezone.utc)
FILES = ["nginx.conf", "conf.d/site.conf", "sysctl.d/99-net.conf", "rsyslog.conf", "sudoers.d/ops"]
GROUPS = ["web-prod", "web-stage", "db-prod", "log-prod", "edge"]


def text(time):
    shown = time.strftime("%Y-%m-%dT%H:%M:%S")
    return shown + (".%06d" % time.microsecond if time.microsecond else "") + "Z"


def host_reports(rng, group, host):
    """The reports of one host: (time, route, body)."""
    step = rng.choice([2, 3, 4, 6])
    max_age = None if rng.random() < 0.3 else int(step * 3600 * rng.choice([1.1, 1.5, 2.2]))
    first = BEGIN + timedelta(days=rng.choice([0, 0, 0, 1, 5, 40]), minutes=rng.randrange(1440))
    last = END if rng.random() < 0.85 else BEGIN + timedelta(days=rng.randrange(50, 90))
    key = {"server_group": group, "host": host}
    commit = "%07x" % rng.randrange(1 << 28)
    yield first, "/status/pipeline", dict(
        key, status="synced", commit_sha=commit, environment=group.split("-")[-1],
        repo_name=group, last_pipeline_run=text(first))
    drift, silent_until, now = None, None, first
    while now < last:
        now += timedelta(hours=step, seconds=rng.randrange(-40, 40), microseconds=rng.choice([0, 0, 250_000]))
        if silent_until:
            if now < silent_until:
                continue
            silent_until = None
        dice = rng.random()
        if dice < 0.004:
            silent_until = now + timedelta(hours=rng.randrange(8, 90))
            continue
        if dice < 0.03:
            commit = "%07x" % rng.randrange(1 << 28)
            status = "failed" if rng.random() < 0.1 else "synced"
            drift = None if status == "synced" else drift
            yield now, "/status/pipeline", dict(
                key, status=status, commit_sha=commit, environment=group.split("-")[-1],
                repo_name=group, last_pipeline_run=text(now))
            continue
        body = dict(key, last_cron_check=text(now))
        if max_age:
            body["max_age"] = max_age
        if drift and rng.random() < 0.12:
            drift = None
        elif not drift and rng.random() < 0.012:
            drift = sorted(rng.sample(FILES, rng.choice([1, 1, 2, 3])))
        elif drift and rng.random() < 0.05:
            drift = sorted(set(drift) | {rng.choice(FILES)})
        if rng.random() < 0.01:
            body["status"] = rng.choice(["failed", "unknown"])
        elif rng.random() < 0.15 and not drift:
            pass  # confirms
        else:
            body["status"] = "out_of_sync" if drift else "synced"
            if drift:
                body["changed_files"] = rng.sample(drift, len(drift))
        yield now, "/status/cron", body


def main():
    rng = random.Random(20260701)
    arrivals = []
    for number in range(50):
        group = GROUPS[number % len(GROUPS)]
        host = "%s-%02d" % (group.split("-")[0], number)
        for time, route, body in host_reports(rng, group, host):
            late = timedelta(0)
            if route == "/status/cron" and rng.random() < 0.01:
                late = timedelta(hours=rng.choice([1, 7, 30, 200]))
            if time < END:
                arrivals.append((time + late, len(arrivals), route, body))
    arrivals.sort(key=lambda arrival: arrival[:2])
    lines = "".join(json.dumps([route, body]) + "\n" for _, _, route, body in arrivals)
    raw = io.BytesIO()
    with gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, compresslevel=9) as file:
        file.write(lines.encode())
    with open("reports.ndjson.gz", "wb") as file:
        file.write(raw.getvalue())


if __name__ == "__main__":
    main()
