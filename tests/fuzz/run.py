"""Fuzzes every operation of openapi/openapi.json on a running server, with schemathesis.

usage: python tests/fuzz/run.py BINARY [--seed N] [--seconds N] [--examples N]

Without arguments it is the same run every time, some two minutes long. With --seconds it goes on with ever new requests
until they are over; --seed begins elsewhere. The checks, and what is excluded from them and why, stand in
schemathesis.toml beside this file. Afterwards the server must be well, its log must hold no error, and its
database must agree with its history.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "openapi" / "openapi.json"
START_SECONDS = 30
STOP_SECONDS = 30
# What the examples of the document speak about.
REPORTS = (
    ("pipeline", "rsyslog-prod", "rsyslog-01", "synced"),
    ("cron", "rsyslog-prod", "rsyslog-01", "out_of_sync"),
    ("pipeline", "rsyslog", "rsyslog-lab", "synced"),
    ("cron", "rsyslog-prod", "rsyslog-01", "synced"),
)


def start(binary: str, folder: Path) -> tuple[subprocess.Popen, str]:
    """A server on a port that the system chooses; answers it and its address."""
    log = folder / "log"
    settings = {
        "API_HOST": "127.0.0.1",
        "API_PORT": "0",
        "DATABASE_URL": f"sqlite://{folder / 'history.db'}",
    }
    with log.open("w") as stream:
        server = subprocess.Popen([binary], env=settings, cwd=folder, stderr=stream)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        ready = re.search(r"ready .*address=(\S+)", log.read_text())
        if ready:
            return server, f"http://{ready[1]}"
        time.sleep(0.05)
    server.kill()
    raise SystemExit(f"the server did not start: {log.read_text()}")


def ask(url: str, body: object = None) -> None:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=STOP_SECONDS) as answer:
        answer.read()


def report(url: str) -> None:
    for source, group, host, status in REPORTS:
        report = {"server_group": group, "host": host, "status": status}
        ask(f"{url}/status/{source}", report)


def check_names() -> None:
    """The file names every check of the tool, so that none comes or goes unseen."""
    from schemathesis.checks import CHECKS, load_all_checks

    load_all_checks()
    named = set(tomllib.loads((HERE / "schemathesis.toml").read_text())["checks"])
    known = set(CHECKS.get_all_names()) | {"max_response_time"}
    if named != known:
        raise SystemExit(f"schemathesis.toml names {sorted(named - known)} too many, and lacks {sorted(known - named)}")


def fuzz(url: str, arguments: argparse.Namespace, folder: Path) -> int:
    tool = Path(sys.executable).with_name("schemathesis")
    command = [
        str(tool), "--config-file", str(HERE / "schemathesis.toml"), "run", str(DOCUMENT),
        "--url", url, "--seed", str(arguments.seed), "--max-examples", str(arguments.examples),
        "--workers", "1", "--no-color",
    ]
    if arguments.seconds:
        command += ["--max-time", str(arguments.seconds)]
    else:
        command += ["--generation-deterministic"]
    environment = os.environ | {"PYTHONPATH": str(HERE), "SCHEMATHESIS_HOOKS": "hooks"}
    return subprocess.run(command, cwd=folder, env=environment).returncode


def still_well(server: subprocess.Popen, url: str, binary: str, folder: Path) -> list[str]:
    wrong = []
    ask(f"{url}/ready")
    server.send_signal(signal.SIGTERM)
    if server.wait(timeout=STOP_SECONDS) != 0:
        wrong.append(f"the server ended with exit code {server.returncode}")
    errors = [line for line in (folder / "log").read_text().splitlines() if " ERROR " in line]
    if errors:
        wrong.append("the log has errors:\n" + "\n".join(errors[:10]))
    verify = [binary, "verify", "--refold", "--database-url", f"sqlite://{folder / 'history.db'}"]
    verified = subprocess.run(verify, cwd=folder, capture_output=True, text=True)
    if verified.returncode != 0:
        wrong.append(f"verify --refold: {verified.stdout}{verified.stderr}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--examples", type=int, default=60)
    arguments = parser.parse_args()
    binary = str(Path(arguments.binary).resolve())
    check_names()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server, url = start(binary, folder)
        try:
            report(url)
            code = fuzz(url, arguments, folder)
            wrong = still_well(server, url, binary, folder)
        finally:
            server.kill()
            server.wait()
    if code != 0 or wrong:
        raise SystemExit("\n".join([f"schemathesis: exit code {code}", *wrong]))


if __name__ == "__main__":
    main()
