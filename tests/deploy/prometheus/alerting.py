#!/usr/bin/env python3
"""A drifting host becomes a webhook call: our server, Prometheus with the shipped rules, Alertmanager.

usage: alerting.py SERVER_BINARY

Prometheus and Alertmanager are those on the PATH (Debian: prometheus, prometheus-alertmanager). The
shipped rules and scrape configuration are used; only waiting times are cut, and addresses put in.
Also: what the server shows at /metrics passes `promtool check metrics` and is scraped without a loss.
"""

import http.server
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DEPLOY = ROOT / "deploy" / "prometheus"
PATIENCE = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read()


def post(url: str, body: bytes, kind: str = "application/json") -> bytes:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read()


def until(what: str, found) -> object:
    """Asks again until there is an answer."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            answer = found()
            if answer:
                return answer
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit(f"waited {PATIENCE} s in vain: {what}")


class Webhook(http.server.BaseHTTPRequestHandler):
    """Keeps what Alertmanager sends."""

    calls: list[dict] = []

    def do_POST(self) -> None:  # noqa: N802, the base class names it
        length = int(self.headers["Content-Length"])
        Webhook.calls.append(json.loads(self.rfile.read(length)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_args) -> None:
        pass


def alerts(name: str, status: str) -> list[dict]:
    found = [alert for call in Webhook.calls for alert in call["alerts"]]
    return [a for a in found if a["labels"]["alertname"] == name and a["status"] == status]


def write_configuration(folder: Path, server: int, alertmanager: int, webhook: int) -> None:
    rules = (DEPLOY / "rules.yaml").read_text(encoding="utf-8")
    hasty = re.sub(r"^(\s+for:) .*$", r"\1 1s", rules, flags=re.MULTILINE)
    assert hasty != rules
    (folder / "rules.yaml").write_text(hasty, encoding="utf-8")
    shipped = (DEPLOY / "prometheus.yml").read_text(encoding="utf-8")
    here = shipped.replace("gitops-status-server:5000", f"127.0.0.1:{server}").replace("30s", "1s")
    assert here.count("1s") == 2 and f":{server}" in here
    here += (
        "\nalerting:\n  alertmanagers:\n    - static_configs:\n"
        f"        - targets: ['127.0.0.1:{alertmanager}']\n"
    )
    (folder / "prometheus.yml").write_text(here, encoding="utf-8")
    (folder / "alertmanager.yml").write_text(
        "route: {receiver: hook, group_wait: 0s, group_interval: 1s, group_by: [alertname]}\n"
        "receivers:\n  - name: hook\n    webhook_configs:\n"
        f"      - {{url: 'http://127.0.0.1:{webhook}/', send_resolved: true}}\n",
        encoding="utf-8",
    )


def start(folder: Path, server: str, ports: tuple[int, int, int]) -> list[subprocess.Popen]:
    ours, prometheus, alertmanager = ports
    environment = {"API_HOST": "127.0.0.1", "API_PORT": str(ours), "RUST_LOG": "error"}
    commands = [
        ([server], environment),
        (["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
          f"--web.listen-address=127.0.0.1:{prometheus}"], None),
        (["prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=am",
          f"--web.listen-address=127.0.0.1:{alertmanager}", "--cluster.listen-address="], None),
    ]
    log = open(folder / "log", "wb")
    return [
        subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log)
        for command, env in commands
    ]


def fill(base: str) -> None:
    report = {"server_group": "web", "host": "web-01", "status": "synced", "environment": "prod"}
    post(f"{base}/status/pipeline", json.dumps(report).encode())
    report = {"server_group": "db", "host": "db \"1\"\\", "status": "synced"}
    post(f"{base}/status/pipeline", json.dumps(report).encode())
    old = int(time.time()) - 80 * 3600
    for run in (old, int(time.time())):
        push = f'drift_stack_state{{stack="vpc"}} 1\ndrift_stack_state{{stack="dns"}} 0\n'
        push += f"drift_detection_last_run_timestamp {run}\n"
        post(f"{base}/metrics/job/drift-detection", push.encode(), "text/plain")


def check_metrics(base: str) -> None:
    """`promtool` has nothing to say on our own metrics; of the job's it knows their odd names."""
    text = get(f"{base}/metrics")
    linted = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    said = (linted.stdout + linted.stderr).decode().splitlines()
    odd = [line for line in said if not line.startswith("drift_")]
    if odd or linted.returncode not in (0, 3):
        raise SystemExit("promtool check metrics:\n" + "\n".join(said))
    own = b"".join(line for line in text.splitlines(True) if b"gitops_" in line)
    subprocess.run(["promtool", "check", "metrics"], input=own, check=True)


def play(base: str, prometheus: str) -> None:
    fill(base)
    check_metrics(base)
    query = f"{prometheus}/api/v1/query?query="

    def count(expression: str) -> int:
        found = json.loads(get(query + urllib.request.quote(expression)))["data"]["result"]
        return int(float(found[0]["value"][1])) if found else 0

    until("Prometheus scrapes the server", lambda: count('up{job="gitops-status-server"} == 1'))
    until("every host is there", lambda: count("count(gitops_host_status)") == 16)
    shown = len([line for line in get(f"{base}/metrics").splitlines() if not line.startswith(b"#")])
    # Routes that are asked for the first time add series.
    scraped = until("a scrape", lambda: count("scrape_samples_scraped"))
    assert shown - 20 <= scraped <= shown + 20, (shown, scraped)
    until("a stack that drifts for three days", lambda: alerts("DriftUnaddressed", "firing"))
    assert alerts("DriftUnaddressed", "firing")[0]["labels"]["stack"] == "vpc"
    assert not alerts("DriftHostOutOfSync", "firing")
    drift = {"server_group": "web", "host": "web-01", "status": "out_of_sync", "changed_files": ["/etc/x"]}
    post(f"{base}/status/cron", json.dumps(drift).encode())
    fired = until("the host's alert", lambda: alerts("DriftHostOutOfSync", "firing"))[0]
    assert fired["labels"]["host"] == "web-01" and fired["labels"]["environment"] == "prod", fired
    assert fired["annotations"]["summary"] == "web/web-01 does not match Git", fired
    drift |= {"status": "synced", "changed_files": []}
    post(f"{base}/status/cron", json.dumps(drift).encode())
    until("the alert is over", lambda: alerts("DriftHostOutOfSync", "resolved"))
    firing = {a["labels"]["alertname"] for call in Webhook.calls for a in call["alerts"]}
    assert firing == {"DriftUnaddressed", "DriftHostOutOfSync"}, firing


def main() -> None:
    server = os.path.abspath(sys.argv[1])
    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    ports = free_port(), free_port(), free_port()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_configuration(folder, ports[0], ports[2], hook.server_address[1])
        for check in (["promtool", "check", "config", "prometheus.yml"],
                      ["amtool", "check-config", "alertmanager.yml"]):
            subprocess.run(check, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        processes = start(folder, server, ports)
        base, prometheus, alertmanager = (f"http://127.0.0.1:{port}" for port in ports)
        try:
            for url in (base, prometheus, alertmanager):
                until(f"{url} is ready", lambda url=url: get(f"{url}/-/ready"))
            play(base, prometheus)
        except (SystemExit, AssertionError):
            print((folder / "log").read_text(encoding="utf-8", errors="replace")[-4000:])
            raise
        finally:
            for process in processes:
                process.terminate()
                process.wait(timeout=30)
    print(f"a drifting host became a webhook call; {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
