"""terragrunt-drift.sh with a terragrunt of ours, against a stub and, where it has /metrics, the real server."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

import harness
from harness import CLIENTS, Case, Server, clean_environment, run

SCRIPT = CLIENTS / "terragrunt" / "terragrunt-drift.sh"
OK = (200, {}, "")

class TerragruntCase(Case):
    def setUp(self):
        machine = self.machine()
        self.folder = machine.folder / "infra"
        tools = machine.folder / "bin"
        tools.mkdir()
        fake = pathlib.Path(__file__).with_name("fake_terragrunt.py").read_text(encoding="utf-8")
        (tools / "terragrunt").write_text(f"#!{sys.executable}\n{fake}", encoding="utf-8")
        (tools / "terragrunt").chmod(0o755)
        self.log = machine.folder / "terragrunt.log"
        self.log.touch()
        self.environment = {"PATH": f"{tools}:{clean_environment()['PATH']}", "LOG": str(self.log),
                            "PUSH_RETRY_DELAY": "0", "TMPDIR": str(machine.folder)}

    def stack(self, name, code=0, **does):
        """A stack whose plan ends with the code, or does what fake_terragrunt.py understands."""
        folder = self.folder / "stacks" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "terragrunt.hcl").touch()
        plans = {0: {"plan": "clean"}, 1: {"plan": "error"}, 2: {"plan": "resource"}}
        (folder / "does").write_text(json.dumps(does or plans.get(code, {"exit": code})), encoding="utf-8")
        return folder

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
        for line in self.log.read_text(encoding="utf-8").splitlines():
            self.assertRegex(line, "^terragrunt plan -detailed-exitcode -input=false -refresh=true -out=/.*/plan in .* with ''$")
        self.assertEqual(len(self.log.read_text(encoding="utf-8").splitlines()), 7)

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


class StateCase(TerragruntCase):
    def states(self, stub=None, **extra):
        stub = stub or self.stub(OK)
        done = self.job(stub.url, **extra)
        self.assertEqual(done.returncode, 0, done.stdout)
        states = {key[len('drift_stack_state{stack="'):-2]: int(value)
                  for key, value in self.samples(stub.requests[-1][3].decode()).items() if key.startswith("drift_stack_state")}
        return states, done.stdout


class Evidence(StateCase):
    """Clean and drift are said only of a stack that was compared to its end; all else is an error."""

    def check(self, stacks, **extra):
        """Every stack does what stands there, and has that state; all in one run."""
        for number, (_, does) in enumerate(stacks.values()):
            self.stack(f"s{number}", **does)
        states, output = self.states(**extra)
        for number, (title, (state, does)) in enumerate(stacks.items()):
            with self.subTest(title):
                self.assertEqual(states[f"s{number}"], state, output)
                self.assertIn(f"--- s{number}: " + {0: "clean", 1: "drifted", 2: "ERROR: "}[state], output)
        return output

    def test_plans_that_ran(self):
        self.check({
            "clean": (0, {"plan": "clean"}),
            "tofu": (0, {"plan": "tofu clean"}),
            "terraform before 0.15": (0, {"plan": "old clean"}),
            "changed outside, and right so": (0, {"plan": "outside, clean"}),
            "changed outside": (1, {"plan": "outside, resource"}),
            "resource": (1, {"plan": "resource"}),
            "outputs only": (1, {"plan": "outputs"}),
            "moved": (1, {"plan": "moved"}),
            "in Terragrunt's log, clean": (0, {"plan": "clean", "prefix": "09:32:46.963 STDOUT terraform: "}),
            "in Terragrunt's log, drifted": (1, {"plan": "resource", "prefix": "\x1b[2m09:32:46.963\x1b[0m STDOUT [a/b] tofu: "}),
            "an after_hook with 2, and a drift": (1, {"plan": "resource", "after_hook": 2}),
            # terragrunt#5621: 0 despite changes
            "the exit code is lost": (1, {"plan": "resource", "exit_code_is_lost": True}),
            "an -out of the stack's own": (0, {"plan": "clean", "extra_arguments": ["-out=own.tfplan"]}),
        })

    def test_an_exit_code_is_not_a_plan(self):
        words = "No changes. Your infrastructure matches the configuration.\n"
        output = self.check({
            "skip = true, terragrunt#3937": (2, {"skip": True}),
            "a hook with 2, terragrunt#5596": (2, {"plan": "clean", "before_hook": 2}),
            "a hook with 2 after a clean plan": (2, {"plan": "clean", "after_hook": 2}),
            "a hook with 1 after a clean plan": (2, {"plan": "clean", "after_hook": 1}),
            "an ignored error of a hook": (2, {"plan": "clean", "before_hook": 1, "ignore_errors": True}),
            "an ignored error of the plan": (2, {"plan": "error", "ignore_errors": True}),
            "half a plan, and ignored": (2, {"plan": "planning failed", "ignore_errors": True}),
            "another program": (2, {"exit": 0, "print": "Usage: terragrunt <COMMAND> [options]\n"}),
            "silence": (2, {"exit": 0}),
            "silence, with 2": (2, {"exit": 2}),
            "words of a hook": (2, {"plan": "clean", "before_hook": 1, "ignore_errors": True, "hook_prints": words}),
            "words of a hook, with 2": (2, {"exit": 2, "print": "Plan: 1 to add, 0 to change, 0 to destroy.\n"}),
            "kept words": (2, {"exit": 0, "print": words}),
            "words within a line": (2, {"exit": 0, "print": "  " + words + "said: " + words}),
            "a plan of something else besides": (2, {"plan": "resource", "hook_prints": words, "exit_code_is_lost": True}),
            "-help": (2, {"plan": "clean", "extra_arguments": ["-help"]}),
            "-json": (2, {"plan": "clean", "extra_arguments": ["-json"]}),
            "-target": (2, {"plan": "resource", "extra_arguments": ["-target=a.b"]}),
            "-refresh-only": (2, {"plan": "resource", "extra_arguments": ["-refresh-only"]}),
            "-destroy": (2, {"plan": "resource", "extra_arguments": ["-destroy"]}),
            "-refresh=false": (1, {"plan": "resource", "extra_arguments": ["-refresh=false"]}),
            "an error": (2, {"plan": "error"}),
        })
        for reason in ("s0: ERROR: terragrunt ended with 0, but the output has no result of a plan",
                       "s1: ERROR: terragrunt ended with 2, but the output has no result of a plan",
                       "s2: ERROR: terragrunt ended with 2, but its plan has no changes",
                       "s6: ERROR: terragrunt ended with 0, but the plan did not run to its end",
                       "s10: ERROR: terragrunt ended with 0, but no plan was written",
                       "s14: ERROR: terragrunt ended with 0, but the output has more than one plan",
                       "s16: ERROR: terragrunt ended with 0, but the plan is JSON",
                       "s17: ERROR: terragrunt ended with 0, but only a part of the stack was planned",
                       "s21: ERROR: terragrunt ended with 1\n"):
            self.assertIn(reason, output)

    def test_options_from_the_environment(self):
        self.stack("drifted", 2)
        for options, state in {"-help": 2, "-json -refresh-only": 2, "-destroy": 2, "-target=a.b": 2, "-refresh=false": 1,
                               "-out=old.tfplan": 1, "-no-color": 1}.items():
            with self.subTest(options):
                self.assertEqual(self.states(TF_CLI_ARGS_plan=options)[0], {"drifted": state})

    def test_a_plan_of_an_earlier_stack_is_no_evidence(self):
        self.stack("a", 0)
        self.stack("b", skip=True)
        self.stack("c", exit=0, print="No changes. Your infrastructure matches the configuration.\n")
        self.assertEqual(self.states()[0], {"a": 0, "b": 2, "c": 2})

    def test_a_backend_that_cannot_save_plans(self):
        self.stack("clean", plan="clean", backend="remote")
        self.stack("drifted", plan="resource", backend="remote")
        self.stack("skipped", skip=True)
        states, output = self.states()
        self.assertEqual(set(states.values()), {2})
        self.assertIn("set DRIFT_PLAN_FILE=false", output)
        states, output = self.states(DRIFT_PLAN_FILE="false")
        self.assertEqual(states, {"clean": 0, "drifted": 1, "skipped": 2}, output)
        self.assertNotIn("-out=", self.log.read_text(encoding="utf-8").splitlines()[-1])

    def test_the_reason_is_told_to_people(self):
        self.stack("dns", skip=True)
        self.stack("dns/nested", 0)
        slack = self.stub(OK)
        self.states(SLACK_WEBHOOK=slack.url)
        text = json.loads(slack.requests[0][3])["text"]
        self.assertIn("• dns: terragrunt ended with 0, but the output has no result of a plan", text)
        self.assertIn("Not checked: 1 (the log names them)", text)

    def test_no_plan_stays_on_the_disk(self):
        folder = self.stack("dns", 2)
        self.states()
        plan = re.search(r"-out=(\S+)", self.log.read_text(encoding="utf-8")).group(1)
        self.assertFalse(os.path.exists(plan))
        self.assertEqual(sorted(path.name for path in folder.iterdir()), ["does", "terragrunt.hcl"])

    def test_settings_that_turn_every_plan_into_the_same_one(self):
        self.stack("dns", 0)
        stub = self.stub(OK)
        for name, value in {"TG_FILTER": "x", "TERRAGRUNT_RUN_ALL": "true", "TG_WORKING_DIR": "/x", "TERRAGRUNT_WORKING_DIR": "/x", "TG_CONFIG": "/x/terragrunt.hcl",
                            "TERRAGRUNT_CONFIG": "x", "TG_SOURCE": "/x", "TERRAGRUNT_SOURCE": "/x", "TG_ALL": "true",
                            "DRIFT_PLAN_FILE": "no"}.items():
            with self.subTest(name):
                done = self.job(stub.url, **{name: value})
                self.assertEqual((done.returncode, stub.requests), (1, []), done.stdout)
                self.assertIn(name, done.stdout)
        self.assertEqual(self.states(TG_ALL="false")[0], {"dns": 0})

    def test_another_folder_of_the_same_name(self):
        self.stack("dns", 2)
        other = self.machine().folder
        (other / "stacks/dns").mkdir(parents=True)
        (other / "stacks/dns/does").write_text('{"plan": "clean"}', encoding="utf-8")
        self.assertEqual(self.states(CDPATH=str(other))[0], {"dns": 1})
        self.assertEqual(self.states(CDPATH=str(other), STACKS_DIR="stacks/")[0], {"dns": 1})


class Stacks(StateCase):
    """Which folders are stacks, under which names; and those that are none."""

    def test_what_the_pattern_does_not_see_is_named(self):
        self.stack("dns", 0)
        self.stack("dns/nested", 0)
        (self.folder / "stacks/dns/.terragrunt-cache/x").mkdir(parents=True)
        (self.folder / "stacks/dns/.terragrunt-cache/x/terragrunt.hcl").touch()
        for name in ("gen/terragrunt.stack.hcl", "gen/.terragrunt-stack/vpc/terragrunt.hcl", "json/terragrunt.hcl.json",
                     ".hidden/terragrunt.hcl", "line\nend/sub/terragrunt.hcl", "terragrunt.hcl"):
            path = self.folder / "stacks" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        dangling = self.folder / "stacks/dangling"
        dangling.mkdir()
        (dangling / "terragrunt.hcl").symlink_to("nothing")
        states, output = self.states()
        self.assertEqual(states, {"dns": 0})
        self.assertEqual(sorted(re.findall(r"^    NOT CHECKED: (.*)$", output, re.MULTILINE)), sorted(
            "./stacks/" + name for name in (
                "dns/nested/terragrunt.hcl", "gen/terragrunt.stack.hcl", "gen/.terragrunt-stack/vpc/terragrunt.hcl",
                "json/terragrunt.hcl.json", ".hidden/terragrunt.hcl", "line?end/sub/terragrunt.hcl", "terragrunt.hcl",
                "dangling/terragrunt.hcl")))
        self.assertIn("NOT CHECKED: 8 file(s)", output)

    def test_nothing_is_named_if_all_was_checked(self):
        self.stack("dns", 0)
        self.assertNotIn("NOT CHECKED", self.states()[1])

    def test_links_and_odd_names(self):
        real = self.folder / "modules/real"
        real.mkdir(parents=True)
        (real / "terragrunt.hcl").touch()
        (real / "does").write_text('{"plan": "clean"}', encoding="utf-8")
        self.stack("-detailed", 2)
        self.stack("line\nend", 0)
        self.stack("ünï", 0)
        self.stack("$(touch x) `y` *", 0)
        (self.folder / "stacks/link").symlink_to(real)
        states, output = self.states()
        self.assertEqual(states, {"-detailed": 1, "ünï": 0, "$(touch x) `y` *": 0, "link": 0}, output)
        self.assertIn("    NOT CHECKED: ./stacks/line?end/terragrunt.hcl\n", output)
        done = self.job(self.server.url)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(self.server.row("drift-detection", "-detailed")["status"], "out_of_sync")

    def test_a_folder_of_another_name(self):
        self.stack("dns", 0)
        (self.folder / "stacks").rename(self.folder / "-x y")
        self.assertEqual(self.states(STACKS_DIR="-x y")[0], {"dns": 0})
        self.assertEqual(self.states(STACKS_DIR=str(self.folder / "-x y"))[0], {"dns": 0})

    def test_a_job_killed_half_way_pushes_nothing(self):
        self.stack("a", 0)
        self.stack("b", 0)
        waits = self.folder / "stacks/b/wait"
        os.mkfifo(waits)
        tools = self.log.parent / "bin"
        (tools / "terragrunt").rename(tools / "real-terragrunt")
        (tools / "terragrunt").write_text('#!/bin/sh\n[ ! -p wait ] || cat wait\nexec real-terragrunt "$@"\n', encoding="utf-8")
        (tools / "terragrunt").chmod(0o755)
        stub = self.stub(OK)
        job = subprocess.Popen(["sh", str(SCRIPT)], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env=clean_environment(**self.environment, PUSHGATEWAY_URL=stub.url))
        with open(waits, "w", encoding="utf-8"):  # opens once the second stack reads it
            job.send_signal(signal.SIGTERM)
        self.assertEqual(job.wait(30), 143)
        self.assertEqual([request[0] for request in stub.requests], ["GET"])
        self.assertEqual(list(self.folder.parent.glob("terragrunt-drift.*")), [], "files are left behind")


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
