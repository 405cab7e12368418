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
        receipts = []
        for name, some in [("older", reports[:400]), ("checkpoint", reports[400:])]:
            answer = json.loads(request(port, "/status/pipeline", json.dumps(some).encode()))
            receipts += answer["reports"]
            (folder / name).write_text(request(port, "/checkpoint"), encoding="utf-8")
        (folder / "key").write_text(request(port, "/checkpoint/key"))
        log = [f"12:00 gitops-status receipt {r['origin']} {r['id']} {r['hash']}\n" for r in receipts]
        (folder / "ci.log").write_text("building\n" + "".join(log))
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
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=120, check=False)
            return done.returncode, done.stdout + done.stderr

        # An auditor's machine may have any encoding.
        plain = "import os, sys; os.environ.update(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0'); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"

        def expect(right, held, changed="", key="key", says=""):
            nonlocal checks
            checks += 1
            script = run(sys.executable, "-c", plain, SCRIPT, "lines", "--key", key, *held)
            ours = run(BINARY, "verify", "--export", "lines", "--key", key, *held)
            words = {0: "are what was recorded", 1: "WRONG: ", 2: "CANNOT CHECK: "}.get(script[0])
            if (script[0] == 0, ours[0] == 0) != (right, right) or not words or words not in script[1] or says not in script[1] or "Traceback" in script[1]:
                sys.exit(f"{changed or held}: expected {right} {says}; the script says {script}, verify says {ours}")

        def export(*more):
            (folder / "lines.manifest.json").unlink(missing_ok=True)
            code, said = run(BINARY, "export", "--format", "ndjson", "-o", "lines", *more)
            if code:
                sys.exit(f"export {more}: {said}")

        for sort in ["id", "time"]:
            export("--sort", sort)
            expect(True, ["--checkpoint", "checkpoint"])
        manifest, whole = ["--manifest", "lines.manifest.json"], ["--checkpoint", "checkpoint"]
        for chosen in [["--filter", "server_group=g1"], ["--filter", "host=h3", "--limit", "5"], ["--sort", "id", "--filter", "from_id=257", "--filter", "to_id=511"]]:
            export("--proof", *chosen)
            expect(True, manifest, says="0 between" if "from_id=257" in chosen else "by the filter")
            expect(True, [])
            expect(True, [*manifest, "--receipts", "ci.log"], says=" of 700 receipts fit")
        cannot = "CANNOT CHECK: "
        for key in ["kye", "x+y+z", (folder / "key").read_text()[:-20]]:
            expect(False, manifest, key=key, says=cannot)
        (folder / "no.log").write_text("nothing\n")
        expect(False, [*manifest, "--receipts", "no.log"], says=cannot)
        expect(False, ["--checkpoint", "nowhere"], says=cannot)
        export("--sort", "id")
        expect(True, [*whole, "--receipts", "ci.log"], says="700 of 700 receipts fit")
        expect(False, ["--checkpoint", "older"], says=cannot)
        export("--proof", "--from", "2030-01-01")
        expect(False, manifest, says=cannot)
        alone = run(BINARY, "verify", "--export", "lines")
        if alone[0] != 2 or "needs --key" not in alone[1]:
            sys.exit(f"a manifest without a key: {alone}")

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
            lines(lambda all: [all[1], all[0], *all[2:]]),
            lambda text: text.replace(b"\n", b"\r\n"),
            lambda text: text[:-40],
            lambda text: text + b"\n",
        ]:
            planted("lines", change, manifest, "--proof", "--filter", "host=h2")
        for change in [
            lambda text: text.replace(b"\\n700\\n", b"\\n701\\n"),
            lambda text: text.replace(b'[[1,2,"', b'[[1,4,"', 1),
            lambda text: text.replace(b'[1,2,"', b'[1,3,"', 1),
            lambda text: text.replace(b'"lines":', b'"lines":1'),
            lambda text: text.replace(b'"ids":[[', b'"ids":[[1,2],['),
            lambda text: text.replace(b'"origin":"', b'"origin":"x'),
            lambda text: text.replace(b'"sha256":"', b'"sha256":"0'),
            lambda text: text.replace(b'"checkpoint":', b'"checkpoints":'),
            lambda text: text[:-40],
        ]:
            planted("lines.manifest.json", change, manifest, "--proof", "--filter", "host=h2")
        for change in [
            lambda note: note.replace(b"\n700\n", b"\n699\n"),
            lambda note: note[:-10] + bytes([note[-10] ^ 1]) + note[-9:],
            lambda note: note.replace("— ".encode(), "— x".encode()),
        ]:
            planted("checkpoint", change, whole, "--sort", "id")
        planted("ci.log", lambda log: log.replace(b" 7 ", b" 8 "), [*whole, "--receipts", "ci.log"], "--sort", "id")
    print(f"{checks} exports: the script and `verify --export` say the same of each")


main()
