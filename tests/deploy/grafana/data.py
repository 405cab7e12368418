"""What the test server is told: 120 days of several groups, with everything a dashboard may meet."""
import json
import time
import urllib.request

HOUR, DAY = 3600, 86400
ODD = "a&b=c#d+e%20f ü/x?"
GROUPS = {"web": ["web-01", "web-02", ODD], "stacks/prod": ["vpc", "dns/eu"], "büro": ["grüße-1"],
          "rsyslog-prod": ["rsyslog-01", "rsyslog-02"]}


def iso(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def post(base, path, body):
    request = urllib.request.Request(base + path, json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def status_of(host, day):
    """What the daily pipeline says of a host, `day` days ago."""
    if host == "web-01" and (day < 2 or day % 20 < 3):
        return "out_of_sync", ["nginx.conf", "conf.d/ä, ö.conf"][:1 + day % 2]
    if host == "dns/eu" and day % 9 == 0:
        return "failed", []
    if host == "grüße-1" and day % 7 == 0:
        return "unknown", []
    if host == ODD and day % 11 == 5:
        return "out_of_sync", []
    return "synced", []


def pipeline(group, host, now):
    reports = []
    for day in range(120, -1, -1):
        if host == "rsyslog-02" and day < 6:
            break  # Silent since.
        if host == "vpc" and 40 < day < 50:
            continue  # Silent for a while.
        status, files = status_of(host, day)
        report = {"server_group": group, "host": host, "status": status, "changed_files": files,
                  "last_pipeline_run": iso(now - day * DAY - HOUR), "max_age": 30 * HOUR,
                  "commit_sha": f"{day:040x}", "branch": "master", "updated_by": "woodpecker"}
        if host != "grüße-1":
            report.update(environment="prod", server_type=group.split("-")[0], repo_name=group,
                          validation_status="passed", run_url=f"https://ci.example.org/runs/{day}")
        reports.append(report)
    return reports


def checks(now):
    """A check every half hour: more than one page of one host's history."""
    for at in range(45 * 48, 0, -1):
        drifted = at % 300 < 20 and at > 10
        yield {"server_group": "rsyslog-prod", "host": "rsyslog-01", "max_age": 2 * HOUR,
               "status": "out_of_sync" if drifted else "synced",
               "changed_files": ["/etc/rsyslog.conf"] if drifted else [],
               "last_cron_check": iso(now - at * HOUR / 2)}


def fill(base):
    """Tells the server everything; answers how many reports it took."""
    now, sent = time.time(), 0
    for group, hosts in GROUPS.items():
        for host in hosts:
            reports = pipeline(group, host, now)
            post(base, "/status/pipeline", reports)
            sent += len(reports)
    half_hours = list(checks(now))
    for begin in range(0, len(half_hours), 500):
        post(base, "/status/cron", half_hours[begin:begin + 500])
    late = {"server_group": "web", "host": "web-02", "status": "out_of_sync", "changed_files": ["late.conf"],
            "last_pipeline_run": iso(now - 33 * DAY), "max_age": DAY}
    old = {"server_group": "web", "host": "web-old", "status": "synced"}
    post(base, "/status/pipeline", [late, dict(old, last_pipeline_run=iso(now - 60 * DAY)), old])
    post(base, "/hosts/web/web-old/retire", {"reason": "replaced"})
    post(base, "/api/status", {"repo": "nginx", "server": "nginx-lab", "sync_status": "OUT_OF_SYNC", "drift_count": 1,
                               "files": [{"name": "nginx.conf"}], "last_check": iso(now - 60)})
    return sent + len(half_hours) + 4
