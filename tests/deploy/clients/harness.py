"""What the tests share: a server, a server that only answers errors, and a machine to check."""

import http.server
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse
import urllib.request

CLIENTS = pathlib.Path(__file__).resolve().parents[3] / "deploy" / "clients"
ANSIBLE = CLIENTS / "ansible"
SCRIPT = ANSIBLE / "update-gitops-status.sh"
PLAYBOOK = ANSIBLE / "drift-check.yml"

# Set by run.py.
SERVER_BINARY = None
VENV_BIN = None


class Server:
    """A gitops-status-server of our own, on a free port and an empty database."""

    def __init__(self, **settings):
        self.folder = tempfile.mkdtemp()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(os.path.join(self.folder, "log"), "w", encoding="utf-8")
        self.process = subprocess.Popen(
            [SERVER_BINARY], stdout=self.log, stderr=self.log,
            env={**os.environ, "API_HOST": "127.0.0.1", "API_PORT": str(self.port),
                 "DATABASE_URL": f"sqlite://{self.folder}/test.db", **settings})
        for _ in range(100):
            try:
                urllib.request.urlopen(self.url + "/ready", timeout=2).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the server did not start: " + pathlib.Path(self.log.name).read_text(encoding="utf-8"))

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
        shutil.rmtree(self.folder)

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def text(self, path):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return answer.read().decode()

    def row(self, group, host):
        return self.get("/status/" + urllib.parse.quote(group, safe="") + "/" + urllib.parse.quote(host, safe=""))

    def entries(self, **filters):
        """History, oldest first."""
        query = urllib.parse.urlencode({**filters, "sort": "id", "limit": 1000})
        return self.get("/history?" + query)["items"]


class Stub:
    """Answers each request with the next of the given (status, headers, body); the last one again and again."""

    def __init__(self, *answers):
        self.requests = []
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, text = answers[min(len(stub.requests), len(answers) - 1)]
                stub.requests.append((self.command, self.path, dict(self.headers), body))
                if status is None:  # the connection breaks
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in {"Content-Type": "application/problem+json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = do_PUT = answer

            def log_message(self, *_):
                pass

        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.httpd.server_address[1]}"
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def stop(self):
        self.httpd.shutdown()
        self.httpd.server_close()


PROBLEM_400 = (400, {}, json.dumps({
    "type": "urn:gitops-status-server:problem:invalid-fields", "title": "Some fields are not valid", "status": 400,
    "detail": "server: is \"too\" long", "instance": "urn:x",
    "errors": [{"field": "server", "message": "is \"too\" long"}, {"field": "repo", "message": "is odd"}]},
    separators=(",", ":")))
PROBLEM_503 = (503, {"Retry-After": "0"}, json.dumps({
    "type": "urn:gitops-status-server:problem:unavailable", "title": "The server takes no writes just now",
    "status": 503, "detail": "The database does not take writes; nothing was stored", "instance": "urn:x"}))


class Machine:
    """A repository and a machine of the same content, in a folder instead of /etc."""

    NAMES = ("rsyslog.conf", "rsyslog.d/30-lab.conf", "rsyslog.d/sub/40-deep.conf")

    def __init__(self, names=NAMES):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.files = self.folder / "repo" / "files"
        self.etc = self.folder / "etc"
        for name in names:
            for root in (self.files, self.etc):
                path = root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(f"content of {name}\n", encoding="utf-8")
                path.chmod(0o644)

    def remove(self):
        shutil.rmtree(self.folder)

    def edit(self, name, text="SECRET-edited-by-hand\n"):
        path = self.etc / name
        mode = path.stat().st_mode if path.exists() else 0o644
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)

    def snapshot(self):
        """All that a change would show in."""
        seen = {}
        for path in sorted(self.etc.rglob("*")):
            about = path.lstat()
            seen[str(path)] = (path.read_bytes() if path.is_file() else None, about.st_mode, about.st_mtime_ns)
        return seen


def clean_environment(**extra):
    """Ours, without what a CI or the user's own Ansible has set."""
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith(("ANSIBLE_", "CI_", "GITOPS_", "REPO_", "SERVER_", "CONFIG_ROOT", "DRIFT_"))
            and "proxy" not in name.lower()}
    path = VENV_BIN + os.pathsep + kept.get("PATH", "")
    base = {"PATH": path, "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1", "ANSIBLE_DEPRECATION_WARNINGS": "0",
            "ANSIBLE_LOCALHOST_WARNING": "0", "GITOPS_STATUS_RETRY_DELAY": "0"}
    return {name: value for name, value in {**kept, **base, **extra}.items() if value is not None}


def run(command, cwd, environment):
    return subprocess.run(command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", timeout=120, check=False)


def receipts(output):
    return [line.split() for line in output.splitlines() if line.startswith("gitops-status receipt ")]


LOCAL = ["-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]


class Case(unittest.TestCase):
    """Every test class shares one server; every test has its own machine."""

    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)

    def machine(self, *names):
        machine = Machine(names or Machine.NAMES)
        self.addCleanup(machine.remove)
        return machine

    def stub(self, *answers):
        stub = Stub(*answers)
        self.addCleanup(stub.stop)
        return stub

    def assertReceipts(self, output, server=None):
        """Each receipt line is true: the entry with that id has that hash."""
        found = receipts(output)
        entries = {entry["id"]: entry for entry in (server or self.server).entries()}
        self.assertTrue(found, output)
        for line in found:
            self.assertEqual(len(line), 5, line)
            entry = entries[line[3]]
            self.assertEqual([entry["origin"], entry["hash"]], [line[2], line[4]])
        return found
