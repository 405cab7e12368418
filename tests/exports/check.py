#!/usr/bin/env python3
"""Tries scripts/verify_export.py on exports of a running server: check.py BINARY.

Whole and filtered exports pass; each planted change is refused, by the script and by `verify --export`.
"""
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SCRIPT = HERE.parent.parent / "scripts" / "verify_export.py"
BINARY = pathlib.Path(sys.argv[1]).resolve()


def request(port, path, body=None):
    headers = {"Content-Type": "application/json"}
    wanted = urllib.request.Request(f"http://127.0.0.1:{port}{path}", body, headers)
    with urllib.request.urlopen(wanted, timeout=20) as answer:
        return answer.read().decode()


def fill(folder, environment):
    """700 reports, a checkpoint and the key."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = environment | {"API_HOST": "127.0.0.1", "API_PORT": str(port)}
    server = subprocess.Popen([BINARY], cwd=folder, env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(400):
            try:
                request(port, "/ready")
                break
            except OSError:
                time.sleep(0.05)
        reports = [
            {"server_group": f"g{n % 3}", "host": f"h{n % 7}", "status": "synced", "run_id": str(n), "branch": "ü\u2028\\\"" * (n % 5)}
            for n in range(700)
        ]
        request(port, "/status/pipeline", json.dumps(reports).encode())
        (folder / "checkpoint").write_text(request(port, "/checkpoint"))
        (folder / "key").write_text(request(port, "/checkpoint/key"))
    finally:
        server.terminate()
        server.wait(timeout=30)


def main():
    checks = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        environment = {"DATABASE_URL": "sqlite://history.db", "PATH": os.environ["PATH"]}
        fill(folder, environment)

        def run(*command):
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
            return done.returncode, done.stdout + done.stderr

        def expect(right, held, changed=""):
            nonlocal checks
            checks += 1
            script = run(sys.executable, SCRIPT, "lines", "--key", "key", *held)
            ours = run(BINARY, "verify", "--export", "lines", "--key", "key", *held)
            if (script[0] == 0, ours[0] == 0) != (right, right) or "Traceback" in script[1]:
                sys.exit(f"{changed or held}: expected {right}; the script says {script}, verify says {ours}")

        def export(*more):
            code, said = run(BINARY, "export", "--format", "ndjson", "-o", "lines", *more)
            if code:
                sys.exit(f"export {more}: {said}")

        for sort in ["id", "time"]:
            export("--sort", sort)
            expect(True, ["--checkpoint", "checkpoint"])
        manifest = ["--manifest", "lines.manifest.json"]
        for chosen in [["--filter", "server_group=g1"], ["--filter", "host=h3", "--limit", "5"], ["--sort", "id", "--filter", "from_id=257", "--filter", "to_id=511"], ["--from", "2030-01-01"]]:
            export("--proof", *chosen)
            expect(True, manifest)

        def planted(file, change, held, *chosen):
            export(*chosen)
            path = folder / file
            before = path.read_bytes()
            after = change(before)
            if before == after:
                sys.exit(f"{file}: nothing was changed")
            path.write_bytes(after)
            expect(False, held, f"{file} {chosen}")
            path.write_bytes(before)

        lines = lambda change: lambda text: b"".join(change(text.splitlines(keepends=True)))
        whole = ["--checkpoint", "checkpoint"]
        for change in [
            lambda text: text.replace(b"synced", b"failed", 1),
            lines(lambda all: all[:300] + all[301:]),
            lines(lambda all: all[:-1]),
            lines(lambda all: all + all[-1:]),
            lines(lambda all: [all[0].replace(b'"id":"1"', b'"id":"2"'), all[1].replace(b'"id":"2"', b'"id":"1"'), *all[2:]]),
        ]:
            planted("lines", change, whole, "--sort", "id")
        for change in [
            lambda text: text.replace(b"synced", b"failed", 1),
            lines(lambda all: all[1:]),
        ]:
            planted("lines", change, manifest, "--proof", "--filter", "host=h2")
        for change in [
            lambda text: text.replace(b"\\n700\\n", b"\\n701\\n"),
            lambda text: text.replace(b'[[1,2,"', b'[[1,4,"', 1),
            lambda text: text.replace(b'[1,2,"', b'[1,3,"', 1),
        ]:
            planted("lines.manifest.json", change, manifest, "--proof", "--filter", "host=h2")
        for change in [
            lambda note: note.replace(b"\n700\n", b"\n699\n"),
            lambda note: note[:-10] + bytes([note[-10] ^ 1]) + note[-9:],
            lambda note: note.replace("— ".encode(), "— x".encode()),
        ]:
            planted("checkpoint", change, whole, "--sort", "id")
    print(f"{checks} exports: the script and `verify --export` say the same of each")


main()
