"""The server, started with the environment, the files and the port that the chart gives it."""

import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

from chart import merged, render, value_set

SERVER = os.environ.get("CHART_SERVER")
ROOT = pathlib.Path(__file__).resolve().parents[3]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@unittest.skipUnless(SERVER, "no --server")
class Server(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        (self.folder / "data").mkdir()

    def start(self, values):
        self.port = free_port()
        self.rendered = render(merged(values, {"service": {"targetPort": self.port}}))
        env = {k: v for k, v in self.rendered.env.items() if isinstance(v, str)}
        # The pod's folders, moved into ours.
        env = {k: v.replace("/data", f"{self.folder}/data", 1) for k, v in env.items()}
        if "STATUS_FILE" in env:
            (config,) = self.rendered.all("ConfigMap")
            file = self.folder / "status.json"
            file.write_text(config["data"]["status.json"], "utf-8")
            env["STATUS_FILE"] = str(file)
        if "TOKENS_FILE" in env:
            # What `kubectl create secret --from-file` would have put there.
            file = self.folder / pathlib.PurePath(env["TOKENS_FILE"]).name
            file.write_bytes((ROOT / "deploy/tokens" / file.name).read_bytes())
            env["TOKENS_FILE"] = str(file)
        log = open(self.folder / "log", "w", encoding="utf-8")
        self.addCleanup(log.close)
        server = subprocess.Popen([SERVER], env={"API_HOST": "127.0.0.1", **env}, stderr=log)
        self.addCleanup(self.stop, server)
        self.await_start(server)
        return server

    def await_start(self, server):
        path = self.rendered.container["startupProbe"]["httpGet"]["path"]
        for _ in range(100):
            if server.poll() is not None:
                break
            try:
                return self.get(path)
            except OSError:
                time.sleep(0.1)
        self.fail((self.folder / "log").read_text("utf-8"))

    def stop(self, server):
        if server.poll() is None:
            server.send_signal(signal.SIGTERM)
            server.wait(self.rendered.pod["terminationGracePeriodSeconds"])
        return server.returncode

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return json.load(answer)

    def test_probes_are_answered_and_a_stop_is_orderly(self):
        server = self.start({})
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.get(self.rendered.container[probe]["httpGet"]["path"])
        self.assertEqual(self.get("/status"), [])
        self.assertEqual(self.stop(server), 0)
        self.assertTrue((self.folder / "data/gitops-status.db").exists())

    def test_a_status_is_taken_over_once(self):
        first = value_set("ephemeral")
        server = self.start(first)
        status = self.get("/status.json")
        self.assertEqual((status["sync_status"], status["drift_count"]), ("OUT_OF_SYNC", 2))
        self.assertEqual([f["name"] for f in status["files"]], ["rsyslog.conf", "rsyslog.d/30-lab.conf"])
        self.assertEqual(status["last_check"], "2026-04-26T10:30:00Z")
        self.stop(server)
        for later in ({"sync_status": "SYNCED", "files": []}, {"server": "other"}, {"files": ["x"] * 3}):
            server = self.start(merged(first, {"statusJson": later}))
            self.assertEqual(self.get("/status.json"), status)
            self.assertEqual(len(self.get("/status")), 1)
            self.stop(server)

    def test_the_old_charts_values_start_a_server(self):
        self.start(value_set("old-chart"))
        (row,) = self.get("/status")
        self.assertEqual((row["server_group"], row["host"], row["status"]), ("rsyslog", "rsyslog-lab", "unknown"))

    def test_a_v2_file_is_taken_over(self):
        self.start({"statusJson": value_set("everything")["statusJson"]})
        (row,) = self.get("/status")
        self.assertEqual((row["server_group"], row["host"], row["status"]), ("splunk-prod", "splunk-01", "synced"))

    def test_tokens_close_all_but_the_probes(self):
        self.start({"tokens": {"existingSecret": "gitops-status-tokens"}})
        self.get("/ready")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            self.get("/status")
        self.assertEqual(refused.exception.code, 401)

    def test_every_setting_is_understood(self):
        everything = value_set("everything")
        self.start({key: everything[key] for key in ("config", "extraEnv")})
        self.get("/ready")


if __name__ == "__main__":
    unittest.main()
