"""terragrunt-drift.sh with a terragrunt of ours, against a stub and, where it has /metrics, the real server."""

import json
import os
import pathlib
import re
import subprocess
import time
import urllib.error
import urllib.request

import harness
from harness import CLIENTS, Case, Server, clean_environment, run

SCRIPT = CLIENTS / "terragrunt" / "terragrunt-drift.sh"
OK = (200, {}, "")

# Ends with the number in the stack's file "code"; reads its input, which must not be that of the script.
TERRAGRUNT = """#!/bin/sh
echo "terragrunt $*" >>"$LOG"
cat >/dev/null
exit "$(cat code)"
"""


class TerragruntCase(Case):
    def setUp(self):
        machine = self.machine()
        self.folder = machine.folder / "infra"
        tools = machine.folder / "bin"
        tools.mkdir()
        (tools / "terragrunt").write_text(TERRAGRUNT, encoding="utf-8")
        (tools / "terragrunt").chmod(0o755)
        self.log = machine.folder / "terragrunt.log"
        self.log.touch()
        self.environment = {"PATH": f"{tools}:{clean_environment()['PATH']}", "LOG": str(self.log),
                            "PUSH_RETRY_DELAY": "0", "TMPDIR": str(machine.folder)}

    def stack(self, name, code):
        folder = self.folder / "stacks" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "terragrunt.hcl").touch()
        (folder / "code").write_text(str(code), encoding="utf-8")

    def job(self, url, shell=("sh",), **extra):
        done = run([*shell, str(SCRIPT)], self.folder, clean_environment(**{
            **self.environment, "PUSHGATEWAY_URL": url, **extra}))
        self.assertEqual(list(self.folder.parent.glob("terragrunt-drift.*")), [], "files are left behind")
        return done

    @staticmethod
    def samples(text):
        return dict(line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))


class Pushes(TerragruntCase):
    def test_states_ages_and_counts(self):
        for name, code in {"clean": 0, "old": 2, "new": 2, "broken": 1, "killed": 137, 'odd "name" \\ ü': 2,
                           "was drifted": 1}.items():
            self.stack(name, code)
        (self.folder / "stacks/no-stack").mkdir()
        now = int(time.time())
        # The stub reads back what the server would say, and words that are near but not equal.
        known = (f'drift_stack_first_seen{{stack="old"}} {now - 5 * 3600 - 60}\n'
                 f'drift_stack_first_seen{{stack="new",job="x"}} {now - 9999}\n'
                 'drift_stack_first_seen{stack="new"} 1.7772e+09\n'
                 f'drift_stack_first_seen{{stack="was drifted"}} {now - 7200}\n')
        stub = self.stub((200, {}, known), OK)
        done = self.job(stub.url + "/", ("sh", "-e"))
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual([request[:2] for request in stub.requests],
                         [("GET", "/metrics"), ("POST", "/metrics/job/drift-detection")])
        body = stub.requests[1][3].decode()
        self.assertTrue(body.endswith("\n"))
        samples = self.samples(body)
        self.assertEqual(len(samples), len(body.splitlines()), "a series stands there twice")
        last_run = int(samples.pop("drift_detection_last_run_timestamp"))
        self.assertLess(abs(last_run - now), 30)
        for name in ("new", 'odd \\"name\\" \\\\ ü'):
            self.assertLess(abs(int(samples.pop(f'drift_stack_first_seen{{stack="{name}"}}')) - now), 30)
        self.assertEqual(samples, {
            'drift_stack_state{stack="clean"}': "0", 'drift_stack_age_hours{stack="clean"}': "0",
            'drift_stack_state{stack="old"}': "1", 'drift_stack_age_hours{stack="old"}': "5",
            'drift_stack_first_seen{stack="old"}': str(now - 5 * 3600 - 60),
            'drift_stack_state{stack="new"}': "1", 'drift_stack_age_hours{stack="new"}': "0",
            'drift_stack_state{stack="broken"}': "2", 'drift_stack_state{stack="killed"}': "2",
            'drift_stack_state{stack="odd \\"name\\" \\\\ ü"}': "1",
            'drift_stack_age_hours{stack="odd \\"name\\" \\\\ ü"}': "0",
            'drift_stack_state{stack="was drifted"}': "2",
            'drift_stack_first_seen{stack="was drifted"}': str(now - 7200),
            "drift_stack_count": "3", "drift_error_count": "3", "drift_clean_count": "1"})
        self.assertEqual(self.log.read_text(encoding="utf-8"),
                         "terragrunt plan -detailed-exitcode -input=false\n" * 7)

    def test_nothing_to_check(self):
        self.folder.mkdir(parents=True)
        stub = self.stub(OK)
        done = self.job(stub.url)
        self.assertEqual((done.returncode, [request[0] for request in stub.requests]), (1, ["GET"]), done.stdout)
        self.assertIn("nothing was checked", done.stdout)

    def test_terragrunt_is_not_installed(self):
        self.stack("dns", 0)
        stub = self.stub(OK)
        os.unlink(self.log.parent / "bin" / "terragrunt")
        done = self.job(stub.url)
        self.assertEqual((done.returncode, stub.requests), (1, []), done.stdout)
        self.assertIn("terragrunt is not installed", done.stdout)

    def test_a_failed_push_fails_the_step(self):
        self.stack("dns", 0)
        refusal = (400, {}, "text format parsing error in line 1")
        stub = self.stub(OK, refusal)
        done = self.job(stub.url)
        self.assertEqual((done.returncode, len(stub.requests)), (1, 2), done.stdout)
        self.assertIn("text format parsing error in line 1", done.stdout)
        stub = self.stub(OK, (503, {}, "busy"), (None, {}, ""), OK)
        done = self.job(stub.url)
        self.assertEqual((done.returncode, len(stub.requests)), (0, 4), done.stdout)
        self.assertEqual(len({request[3] for request in stub.requests[1:]}), 1)
        done = self.job("http://user:hidden@127.0.0.1:1")
        self.assertEqual(done.returncode, 1)
        self.assertNotIn("hidden", done.stdout)

    def test_token_and_slack(self):
        self.stack('dns "main"', 2)
        self.stack("vpc", 0)
        self.stack("db", 1)
        stub, slack = self.stub(OK), self.stub(OK)
        done = self.job(stub.url, GITOPS_STATUS_TOKEN="s3cret", SLACK_WEBHOOK=slack.url + "/services/hidden",
                        CI_PIPELINE_URL="http://ci/1")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual([request[2]["Authorization"] for request in stub.requests], ["Bearer s3cret"] * 2)
        method, path, headers, body = slack.requests[0]
        self.assertEqual((method, path), ("POST", "/services/hidden"))
        self.assertNotIn("Authorization", headers)
        self.assertEqual(json.loads(body)["text"], "Terragrunt drift: 1 drifted, 1 clean, 1 with errors\nDrifted:\n"
                         '• dns "main", for 0 h\nErrors:\n• db\nhttp://ci/1')
        for secret in ("s3cret", "hidden"):
            self.assertNotIn(secret, done.stdout)
        slack = self.stub((500, {}, ""))
        done = self.job(self.stub(OK, (400, {}, "no")).url, SLACK_WEBHOOK=slack.url)
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAILED", json.loads(slack.requests[0][3])["text"])
        self.assertEqual(self.job(stub.url, SLACK_WEBHOOK=slack.url).returncode, 0)


class RealServer(TerragruntCase):
    """PUSH_TEST=always fails on a server without /metrics, PUSH_TEST=never leaves this out."""

    def setUp(self):
        super().setUp()
        wanted = os.environ.get("PUSH_TEST", "")
        if wanted == "never":
            self.skipTest("PUSH_TEST=never")
        try:
            urllib.request.urlopen(self.server.url + "/metrics", timeout=5).close()
        except urllib.error.HTTPError as error:
            if wanted == "always":
                raise
            self.skipTest(f"this server has no /metrics (HTTP {error.code})")

    def test_the_nights_of_three_stacks(self):
        for name, code in {"vpc": 0, "dns": 2, "db": 1}.items():
            self.stack(name, code)
        done = self.job(self.server.url)
        self.assertEqual(done.returncode, 0, done.stdout)
        statuses = {row["host"]: row["status"] for row in self.server.get("/status/drift-detection")}
        self.assertEqual(statuses, {"vpc": "synced", "dns": "out_of_sync", "db": "failed"})
        first = re.search(r'^drift_stack_first_seen\{stack="dns"\} (\d+)$', self.server.text("/metrics"), re.MULTILINE)
        self.assertIsNotNone(first, self.server.text("/metrics"))
        time.sleep(1.1)
        self.assertEqual(self.job(self.server.url).returncode, 0)
        self.assertIn(first.group(0) + "\n", self.server.text("/metrics"), "the drift began anew")
        self.stack("dns", 0)
        (self.folder / "stacks/db/terragrunt.hcl").unlink()
        time.sleep(1.1)
        self.assertEqual(self.job(self.server.url).returncode, 0)
        statuses = {row["host"]: row["status"] for row in self.server.get("/status/drift-detection")}
        self.assertEqual(statuses, {"vpc": "synced", "dns": "synced", "db": "unknown"})
        self.assertNotIn("drift_stack_first_seen{", self.server.text("/metrics"))

    def test_the_job_as_it_was_measures_a_real_age(self):
        """Nothing is changed in it but the host name."""
        self.stack("vpc", 2)
        self.stack("dns", 0)
        # As if it had run a hundred hours ago.
        then = int(time.time()) - 100 * 3600
        body = f'drift_stack_state{{stack="vpc"}} 1\ndrift_detection_last_run_timestamp {then}\n'
        request = urllib.request.Request(self.server.url + "/metrics/job/drift-detection", data=body.encode())
        urllib.request.urlopen(request, timeout=5).close()
        old = pathlib.Path(__file__).with_name("old-terragrunt-job.sh")
        done = run(["bash", str(old)], self.folder,
                   clean_environment(**self.environment, PUSHGATEWAY_URL=self.server.url))
        self.assertEqual(done.stdout, "vpc has drifted for 100 h\n1 drifted, 1 clean, 0 errors\n")
        shown = self.samples(self.server.text("/metrics"))
        self.assertEqual(shown['drift_stack_age_hours{stack="vpc"}'], "100")
        self.assertEqual(shown['drift_stack_state{stack="dns"}'], "0")

    def closed(self, entries):
        """A server that asks for tokens."""
        file = self.folder.parent / "tokens.toml"
        file.write_text(entries, encoding="utf-8")
        server = Server(TOKENS_FILE=str(file))
        self.addCleanup(server.stop)
        return server

    def test_the_job_as_it_was_goes_on_where_it_needs_no_token(self):
        """As docs and example say: one entry in TOKENS_FILE, nothing changed in the job."""
        server = self.closed('[anonymous]\nscopes = ["report", "metrics"]\ngroups = ["drift-detection"]\n')
        self.stack("vpc", 2)
        self.stack("dns", 0)
        old = pathlib.Path(__file__).with_name("old-terragrunt-job.sh")
        environment = clean_environment(**self.environment, PUSHGATEWAY_URL=server.url)
        for _ in range(2):
            done = run(["bash", str(old)], self.folder, environment)
            self.assertEqual(done.stdout, "vpc has drifted for 0 h\n1 drifted, 1 clean, 0 errors\n")
        self.assertEqual(self.samples(server.text("/metrics"))['drift_stack_state{stack="vpc"}'], "1")
        with self.assertRaises(urllib.error.HTTPError) as refused:
            server.text("/status")
        self.assertEqual((refused.exception.code, refused.exception.headers["WWW-Authenticate"]), (401, "Bearer"))

    def test_a_token_is_taken_and_its_lack_is_told(self):
        made = subprocess.run(
            [harness.SERVER_BINARY, "token", "new", "night", "--scope", "report,metrics", "--group", "drift-*"],
            capture_output=True, text=True, check=True).stdout
        token, entry = made.split("\n", 1)
        server = self.closed(entry)
        self.stack("vpc", 0)
        done = self.job(server.url, GITOPS_STATUS_TOKEN=token)
        self.assertEqual(done.returncode, 0, done.stdout)
        done = self.job(server.url, GITOPS_STATUS_TOKEN=token, DRIFT_JOB="other")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("403", done.stdout)
        self.assertIn("may not report for the group", done.stdout)
        done = self.job(server.url)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("401", done.stdout)
