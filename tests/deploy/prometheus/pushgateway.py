#!/usr/bin/env python3
"""Sends the same pushes to our server and to a real Pushgateway, and compares the answers.

usage: pushgateway.py SERVER_BINARY [PUSHGATEWAY_BINARY]

Each push has a job of its own, so that pushes do not meet each other. Status and body must be the
same, letter by letter; where ours answer otherwise for a reason, the reason stands here.
"""

import gzip
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

STATES = b'drift_stack_state{stack="vpc"} 0\ndrift_stack_state{stack="dns"} 1\n'

# (path behind /metrics/, body, headers); JOB becomes a job of its own.
PUSHES = [
    ("job/JOB", STATES, {}),
    ("job/JOB", STATES + b"drift_detection_last_run_timestamp 1777200000\n", {}),
    ("job/JOB/", STATES, {}),
    ("job/JOB/env/prod/region/eu", STATES, {}),
    ("job/JOB/env/", STATES, {}),
    ("job/JOB/job/other", STATES, {}),
    ("job/JOB/instance/x", STATES, {}),
    ("job@base64/ZHJpZnQvZGV0ZWN0aW9u/e@base64/=/env/prod/path@base64/L3g=", STATES, {}),
    ("job@base64/a*b", STATES, {}),
    ("job/JOB/e@base64/ab*d", STATES, {}),
    ("job/JOB/e@base64/abcde", STATES, {}),
    ("job/JOB/e@base64/a", STATES, {}),
    ("job/JOB/onlyname", STATES, {}),
    ("job/JOB/a/b/c", STATES, {}),
    ("job/JOB/a/b/", STATES, {}),
    ("job/JOB/bad-label/x", STATES, {}),
    ("job/JOB/__x/1", STATES, {}),
    ("job/JOB/1x/1", STATES, {}),
    ("job/JOB", b"", {}),
    ("job/JOB", b"\n \t\n", {}),
    ("job/JOB", b"# only a comment\n", {}),
    ("job/JOB", b"# only a comment", {}),
    ("job/JOB", b"#\n", {}),
    ("job/JOB", b"# HELP\n# TYPE a\n# HELP a\n", {}),
    ("job/JOB", b"# HELP a the\\\\ \\n help\n# TYPE a gauge\na 1\n", {}),
    ("job/JOB", b"# HELP a wrong \\x\n", {}),
    ("job/JOB", b"# HELP a-b c\n", {}),
    ("job/JOB", b"# TYPE a gouge\n", {}),
    ("job/JOB", b"# TYPE a GAUGE\na 1\n", {}),
    ("job/JOB", b"# TYPE a gauge \na 1\n", {}),
    ("job/JOB", b"a 1\n# TYPE a gauge\n", {}),
    ("job/JOB", b"# TYPE a gauge\n# TYPE a gauge\n", {}),
    ("job/JOB", b"# HELP a b\n# HELP a c\n", {}),
    ("job/JOB", b"a 1", {}),
    ("job/JOB", b"a", {}),
    ("job/JOB", b"a ", {}),
    ("job/JOB", b"a{", {}),
    ("job/JOB", b"a{b", {}),
    ("job/JOB", b"a{b=", {}),
    ("job/JOB", b'a{b="c', {}),
    ("job/JOB", b'a{b="c"', {}),
    ("job/JOB", b'a{b="c"}', {}),
    ("job/JOB", b"a\n", {}),
    ("job/JOB", b"a{}\n", {}),
    ("job/JOB", b"a{} 1\n", {}),
    ("job/JOB", b"a{ } 1\n", {}),
    ("job/JOB", b'a { b = "c" , } 1\n', {}),
    ("job/JOB", b'a{b="c",,} 1\n', {}),
    ("job/JOB", b'a{,b="c"} 1\n', {}),
    ("job/JOB", b'a{b="c"}1\n', {}),
    ("job/JOB", b"this is { not it\n", {}),
    ("job/JOB", b"x abc\n", {}),
    ("job/JOB", b"x 1\r\n", {}),
    ("job/JOB", b"x 0x1p3\n", {}),
    ("job/JOB", b"x 1_000\n", {}),
    ("job/JOB", b"x 1e999\n", {}),
    ("job/JOB", b"x NaN\ny +Inf\nz -inf\nu infinity\nv 1.\nw .5\nr 1E3\n", {}),
    ("job/JOB", b"x +NaN\n", {}),
    ("job/JOB", b"x 1 a\n", {}),
    ("job/JOB", b"x 1 1 1\n", {}),
    ("job/JOB", b"x 1 \n", {}),
    ("job/JOB", b"x 1 1395066363000\n", {}),
    ("job/JOB", b"x 1 \ty\n", {}),
    ("job/JOB", b'{a="b"} 1\n', {}),
    ("job/JOB", b"1x 1\n", {}),
    ("job/JOB", b"\xff 1\n", {}),
    ("job/JOB", b'a{b-c="d"} 1\n', {}),
    ("job/JOB", b"a{b=c} 1\n", {}),
    ("job/JOB", b'a{b="c"x} 1\n', {}),
    ("job/JOB", b'a{b="\\x"} 1\n', {}),
    ("job/JOB", b'a{b="c\n"} 1\n', {}),
    ("job/JOB", b'a{b="\xff"} 1\n', {}),
    ("job/JOB", 'a{b="дом \\\\ \\" \\n"} 1\n'.encode(), {}),
    ("job/JOB", b'a{b="1",b="2"} 1\n', {}),
    ("job/JOB", b'a{__name__="1"} 1\n', {}),
    ("job/JOB", b'a{1="1"} 1\n', {}),
    ("job/JOB", b"a:b 1\n", {}),
    ("job/JOB", b'a{b:c="1"} 1\n', {}),
    ("job/JOB", b"a_metric 1\na_metric 2\n", {}),
    ("job/JOB", b"# TYPE g gauge\ng 1\ng 2.5\n", {}),
    ("job/JOB", b"# TYPE c counter\nc 1\nc 1e21\n", {}),
    ("job/JOB", b"c 1\nc 1e20\nc 999999\nc 1234567\nc 1e-5\nc 0.0001\nc -1.5e300\nc NaN\nc -Inf\nc -0\n", {}),
    ("job/JOB/env/p", b'm{x="a\\"b"} 1\nm{x="a\\"b"} 2\n', {}),
    ("job/JOB", b'm{job="1"} 1\nm{job="2"} 2\n', {}),
    ("job/JOB", b'm{instance="1"} 1\nm{instance="2"} 2\n', {}),
    ("job/JOB", b'# TYPE h histogram\nh_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n', {}),
    ("job/JOB", b'# TYPE h histogram\nh_bucket{le="x"} 1\n', {}),
    ("job/JOB", b'# TYPE s summary\ns{quantile="0.5"} 1\ns_sum 1\ns_count 1\n', {}),
    ("job/JOB", b'# TYPE s summary\ns{quantile="x"} 1\n', {}),
    ("job/JOB", gzip.compress(STATES), {"Content-Encoding": "gzip"}),
    ("job/JOB", STATES, {"Content-Encoding": "gzip"}),
    ("job/JOB", gzip.compress(STATES)[:12], {"Content-Encoding": "gzip"}),
    ("job/JOB", b"a 1", {"Content-Encoding": "gzip"}),
    ("job/JOB", STATES, {"Content-Type": "application/openmetrics-text; version=1.0.0"}),
    ("jobs/JOB", STATES, {}),
]
# Where the method counts and the body does not.
OTHERS = [
    ("DELETE", "job/JOB", 202),
    ("DELETE", "job/JOB/env/prod", 202),
    ("DELETE", "job/JOB/odd", 400),
    ("GET", "job/JOB", 405),
    ("PATCH", "job/JOB", 405),
    ("POST", "", 405),
    ("PUT", "", 405),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(method: str, url: str, body: bytes | None, headers: dict) -> tuple[int, bytes, str]:
    # What curl declares: neither of the two may mind.
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | headers
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), answer.headers.get("Content-Type", "")
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers.get("Content-Type", "")


def wait(process: subprocess.Popen, url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if ask("GET", url + "/-/ready", None, {})[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"{process.args[0]} did not get ready")


def compare(ours: str, theirs: str) -> list[str]:
    differences = []
    for number, (path, body, headers) in enumerate(PUSHES):
        # A type that a name had in another push would be remembered there; ours keeps none of these.
        path = "/metrics/" + path.replace("JOB", f"job{number}")
        for method in ("POST", "PUT"):
            found = ask(method, ours + path, body, headers)
            expected = ask(method, theirs + path, body, headers)
            if found[0] == 404 == expected[0]:
                continue
            if found != expected:
                differences.append(f"{method} {path} {body!r}\n  ours   {found}\n  theirs {expected}")
        # What was pushed well must not disturb the pushes behind it.
        ask("DELETE", theirs + path, None, {})
    for method, path, status in OTHERS:
        path = "/metrics/" + path.replace("JOB", "other") if path else "/metrics"
        answers = [ask(method, base + path, None, {})[0] for base in (ours, theirs)]
        if answers != [status, status]:
            differences.append(f"{method} {path}: {answers}, not {status}")
    return differences


def main() -> None:
    server = os.path.abspath(sys.argv[1])
    pushgateway = sys.argv[2] if len(sys.argv) > 2 else "prometheus-pushgateway"
    ports = free_port(), free_port()
    with tempfile.TemporaryDirectory() as folder:
        environment = {"API_HOST": "127.0.0.1", "API_PORT": str(ports[0]), "RUST_LOG": "error"}
        quiet = {"stderr": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "cwd": folder}
        listen = f"--web.listen-address=127.0.0.1:{ports[1]}"
        processes = [
            subprocess.Popen([server], env=environment, **quiet),
            # Debian's keeps what was pushed in a file of its own, unless told otherwise.
            subprocess.Popen([pushgateway, listen, "--persistence.file="], **quiet),
        ]
        try:
            ours, theirs = (f"http://127.0.0.1:{port}" for port in ports)
            for process, url in zip(processes, (ours, theirs)):
                wait(process, url)
            differences = compare(ours, theirs)
        finally:
            for process in processes:
                process.terminate()
                process.wait(timeout=30)
    for difference in differences:
        print(difference)
    if differences:
        raise SystemExit(f"{len(differences)} answers differ from a Pushgateway's")
    print(f"{2 * len(PUSHES) + len(OTHERS)} answers are those of a Pushgateway")


if __name__ == "__main__":
    main()
