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


def readable(said):
    """Whether nothing in it moves a cursor or hides."""
    return all(c == "\n" or c.isprintable() for c in said)


def hostile(folder, expect, export):
    """Files that somebody made with care: both end with the same code and one line, soon and in little memory."""
    whole = ["--checkpoint", "checkpoint"]
    manifest = ["--manifest", "lines.manifest.json"]
    export("--proof", "--filter", "host=h2")
    good = {name: (folder / name).read_bytes() for name in ("lines", "lines.manifest.json", "checkpoint", "key", "ci.log")}
    about = json.loads(good["lines.manifest.json"])
    deep = b"[" * 100_000
    line = good["lines"].split(b"\n")[0]

    def made(**changes):
        return json.dumps({**about, **changes}).encode()

    def tried(name, data, held, code=2, says="", shows=None):
        (folder / name).write_bytes(data)
        says = {0: "", 1: "WRONG: ", 2: "CANNOT CHECK: "}[code] + says
        expect(code == 0, held, f"hostile {name}: {data[:80]!r}", says=says, shows=shows)
        (folder / name).write_bytes(good[name])

    for data in [
        b"", b"\0", deep, b'{"a":' * 100_000, b"\xff\xfe", b"NaN", b"null", b"[]", b"7", b'"x"', good["lines.manifest.json"][:-40],
        b"\xef\xbb\xbf" + good["lines.manifest.json"], good["lines.manifest.json"] + b"{}",
        good["lines.manifest.json"].replace(b'"lines":', b'"lines":1,"lines":'),
        made(manifest=2), made(ids=[[-(10**12), 5]]), made(ids=[[1]]), made(ids=[[1, 2, 3]]), made(ids=5), made(ids=[[1, 10**4000]]),
        made(ids=[[1, 1e300]]), made(ids=[[True, 2]]), made(ids={"1": 2}), made(lines=float("nan")), made(lines=-1), made(lines="9"),
        made(omitted=[[1, 2]]), made(omitted=[[1, -2, "00"]]), made(omitted=[["1", 2, "00"]]), made(omitted=None),
        made(filter=[]), made(filter={"host": "h2"}), made(filter={"a": ["\ud800"]}), made(checkpoint=7), made(checkpoint="x"),
        made(checkpoint="a\n5\n\n\n— b c\n"), made(keys="x"), made(origin=None), made(sha256=[]),
    ]:
        tried("lines.manifest.json", data, manifest)
    for data in [
        made(ids=[[0, 2**63]]), made(ids=[[1, 10**12]]), made(ids=[]), made(lines=2**63), made(omitted=[[1, 2**62, "0" * 64]]),
        made(omitted=[[0, 1, "0" * 64], *about["omitted"]]), made(omitted=[[1, 0, "0" * 64]]), made(omitted=[[1, 2, "zz"]]),
        made(omitted=about["omitted"] * 2), made(sha256=""), made(origin="a\x1b[2K\rb"), made(checkpoint=about["checkpoint"].replace("\n700\n", "\n7\n")),
    ]:
        tried("lines.manifest.json", data, manifest, 1)
    lie = "x\r\x1b[2K\x1b[1A\u202e0 between them are left out\n\u200b\x9b2J\x7f"
    for filter in [{"host": [lie]}, {lie: ["a"]}, {"a": ["\"" + "y" * 5000]}]:
        tried("lines.manifest.json", made(filter=filter), manifest, 0, shows="594 between them are left out")
    for data in [
        b"\n", b"\0\n", deep, b'{"a":' * 100_000, b'{"id":1,"origin":"x"}\n', b'{"id":"0","origin":"x"}\n', b'{"id":"-1","origin":"x"}\n',
        b'{"id":"1","origin":7}\n', b'{"id":"' + b"9" * 6000 + b'","origin":"x"}\n', b'{"id":"99999999999999999999","origin":"x"}\n',
        b'{"id":null,"origin":"x"}\n', b'{"id":"1","id":"2","origin":"x"}\n', '{"id":"٧","origin":"x"}\n'.encode(),
        line.replace(b"{", b'{"a":NaN,', 1), line.replace(b"synced", b"\xff", 1), b"\xef\xbb\xbf" + line, line[:-9], line + b"\n" + b"x" * 10_000_000,
        line[:-1] + b',"a":' + deep,
    ]:
        tried("lines", data, whole)
        tried("lines", data, manifest)
    for data in [line.replace(b'"origin":"', b'"origin":"\\u0000x') + b"\n", line.replace(b'"origin":"', b'"origin":"x') + b"\n"][1:]:
        tried("lines", data, whole, 1)
    for data in [b"", deep, b"\xff", b"\n\n\n", b"a\nb\nc\n\n\xe2\x80\x94 d e\n", good["checkpoint"][:-60]]:
        tried("checkpoint", data, whole)
    for data in [b"", b"\xff", b"x+y+z\n", b"+" * 1000, good["key"][:-20], deep]:
        tried("key", data, manifest)


def logs(folder, expect, export):
    """What is in a log beside good receipts: counted and named, and the others checked."""
    export("--sort", "id")
    good = (folder / "ci.log").read_text()
    first = good.splitlines()[1].split(" ", 1)[1]
    _, _, origin, id, digest = first.split()
    held = ["--checkpoint", "checkpoint", "--receipts", "ci.log"]
    junk = [
        "gitops-status receipt \x1b[2K\r nonsense", "gitops-status receipt ", f"gitops-status receipt {origin} -1 {digest}",
        f"gitops-status receipt {origin} {'9' * 5000} {digest}", f"gitops-status receipt {origin} {id} {digest[:-1]}", f"gitops-status receipt {origin} {id} {digest[:-1]}ü",
    ]
    for lines in ([junk[0]], junk, ["\xff\x00 \x1b]0;x\x07"] + junk):
        (folder / "ci.log").write_text("\n".join(lines) + "\n" + good)
        expect(True, held, "junk receipts", says="700 of 700 receipts fit", shows="proves nothing about who printed it")
    foreign = f"gitops-status receipt gitops-status-server/{'0' * 32} 7 {digest}\ngitops-status receipt \u202ex\x1b[2K 7 {digest}\n"
    (folder / "ci.log").write_text(foreign + good)
    expect(True, held, "foreign receipts", says="700 of 702 receipts fit", shows="2 of 702 receipts are of another history")
    (folder / "ci.log").write_text(foreign)
    expect(False, held, "only foreign receipts", says="CANNOT CHECK: ", shows="2 of 2 receipts are of another history")
    (folder / "ci.log").write_text(junk[0])
    expect(False, held, "only junk", says="CANNOT CHECK: ")
    forged = f"gitops-status receipt {origin} 7 {'0' * 64}\n"
    (folder / "ci.log").write_text(junk[0] + "\n" + forged + good)
    expect(False, held, "a forged receipt", says="700 of 701 receipts fit", shows="line 2 of ci.log")
    (folder / "ci.log").write_text(good)


def terminal(run):
    """An export onto a terminal by its name moves no cursor either."""
    ours, theirs = os.openpty()
    code, said = run(BINARY, "export", "--format", "csv", "-o", os.ttyname(theirs), "--limit", "3")
    os.set_blocking(ours, False)
    shown = os.read(ours, 1 << 16).decode()
    if code or "\\u2028" not in shown or not readable(shown.replace("\r\n", "\n")):
        sys.exit(f"export onto a terminal: {code} {said} {shown!r}")


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

        def expect(right, held, changed="", key="key", says="", shows=None):
            nonlocal checks
            checks += 1
            script = run(sys.executable, "-c", plain, SCRIPT, "lines", "--key", key, *held)
            ours = run(BINARY, "verify", "--export", "lines", "--key", key, *held)
            words = {0: "are what was recorded", 1: "WRONG: ", 2: "CANNOT CHECK: "}.get(script[0])
            if (script[0] == 0) != right or script[0] != ours[0] or not words or words not in script[1] or says not in script[1] or "Traceback" in script[1] or not readable(script[1] + ours[1]):
                sys.exit(f"{changed or held}: expected {right} {says}; the script says {script}, verify says {ours}")
            if shows and not all(shows in said for _, said in (script, ours)):
                sys.exit(f"{changed}: expected {shows}; the script says {script}, verify says {ours}")

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
            expect(True, manifest, says="0 between" if "from_id=257" in chosen else "by the filter, as the exporting side says: \"")
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
        hostile(folder, expect, export)
        logs(folder, expect, export)
        terminal(run)
        checks += 1
        planted("ci.log", lambda log: log.replace(b" 7 ", b" 8 "), [*whole, "--receipts", "ci.log"], "--sort", "id")
    print(f"{checks} exports: the script and `verify --export` say the same of each")


main()
