"""The callback plugin gitops_status with a real ansible-playbook and a real server."""

import json
import re

import urllib.request

from harness import ANSIBLE, LOCAL, PLAYBOOK, PROBLEM_400, PROBLEM_503, Case, clean_environment, receipts, run

UNREACHABLE = "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1"


class PluginCase(Case):
    plugin_folder = ANSIBLE / "callback_plugins"

    def play(self, text, inventory, *arguments, check=True, machine=None, url=None, playbook=None, after=(), **extra):
        machine = machine or self.machine()
        if playbook is None:
            playbook = machine.folder / "play.yml"
            text = text.replace("ETC", str(machine.etc)).replace("FILES", str(machine.files))
            playbook.write_text(text, encoding="utf-8")
        hosts = machine.folder / "hosts.ini"
        hosts.write_text(inventory, encoding="utf-8", errors="surrogateescape")
        environment = clean_environment(**{
            "ANSIBLE_CALLBACK_PLUGINS": str(self.plugin_folder), "ANSIBLE_CALLBACKS_ENABLED": "gitops_status",
            "GITOPS_STATUS_SERVER_URL": url or self.server.url, "COLUMNS": "1000", **extra})
        return run(["ansible-playbook", "-i", str(hosts), *LOCAL[2:], *(["--check"] if check else []), *arguments,
                    *map(str, [playbook, *after])], machine.folder, environment)

    @staticmethod
    def receipts(done):
        return receipts(done.stdout)

    def post(self, path, body, headers):
        request = urllib.request.Request(self.server.url + path, body, {"Content-Type": "application/json", **headers})
        urllib.request.urlopen(request, timeout=10).close()

    def statuses(self, group):
        return {row["host"]: row["status"] for row in self.server.get("/status/" + group)}

    def reason(self, group, host):
        return self.server.entries(server_group=group, host=host)[-1]["labels"]["reason"]

    def inventory(self, group, *hosts, **variables):
        lines = [f"{host} {variables.get(host, 'ansible_connection=local')}" for host in hosts]
        return f"[{group}]\n" + "\n".join(lines) + "\n"


COPY = """
- hosts: all
  gather_facts: false
  tasks:
    - name: Main file
      copy: {src: FILES/rsyslog.conf, dest: ETC/rsyslog.conf, mode: "0644"}
"""


class Verdicts(PluginCase):
    def test_every_host_gets_its_own_word(self):
        text = COPY + """
    - name: Break
      assert: {that: inventory_hostname != "failing"}
    - name: Own file
      copy: {src: FILES/rsyslog.d/30-lab.conf, dest: "ETC/rsyslog.d/{{ own }}", mode: "0644"}
      when: own is defined
"""
        machine = self.machine()
        before = machine.snapshot()
        inventory = self.inventory(
            "words", "clean", "drifted", "failing", "away", away=UNREACHABLE,
            drifted="ansible_connection=local own=new.conf") + "idle ansible_connection=local\n"
        text = text.replace("- hosts: all", "- hosts: all:!idle") + """
- hosts: all
  gather_facts: false
  tasks:
    - debug: {msg: not a comparison}
    - command: ls
"""
        done = self.play(text, inventory, machine=machine, CI_COMMIT_SHA="abc", CI_PIPELINE_NUMBER="12",
                         CI_PIPELINE_URL="http://ci/12", GITOPS_STATUS_MAX_AGE="600")
        self.assertEqual(self.statuses("words"), {"clean": "synced", "drifted": "out_of_sync", "failing": "failed",
                                                  "away": "unknown", "idle": "unknown"}, done.stdout)
        self.assertEqual(self.server.row("words", "drifted")["changed_files"], [f"{machine.etc}/rsyslog.d/new.conf"])
        self.assertEqual(self.reason("words", "away"), "unreachable")
        self.assertEqual(self.reason("words", "failing"), "task failed: Break")
        self.assertEqual(self.reason("words", "idle"), "no task compared anything")
        self.assertEqual(len(self.assertReceipts(done.stdout)), 5)
        entry = self.server.entries(host="clean")[0]
        self.assertEqual((entry["source"], entry["commit_sha"], entry["run_id"], entry["run_url"], entry["max_age"]),
                         ("cron", "abc", "12", "http://ci/12", 600))
        self.assertEqual(machine.snapshot(), before)

    def test_kinds_and_names_but_no_contents(self):
        text = COPY + """
    - {name: Mode, copy: {src: FILES/rsyslog.d/30-lab.conf, dest: ETC/rsyslog.d/30-lab.conf, mode: "0640"}}
    - {name: Missing, copy: {src: FILES/rsyslog.conf, dest: ETC/new.conf}}
    - {name: Into a folder, copy: {src: FILES/rsyslog.conf, dest: ETC/rsyslog.d/}}
    - {name: Folder, file: {path: ETC/made, state: directory}}
    - {name: Extra, file: {path: ETC/old.conf, state: absent}}
    - {name: Line, lineinfile: {path: ETC/rsyslog.d/sub/40-deep.conf, line: "SECRET line"}}
    - {name: Many, template: {src: FILES/rsyslog.conf, dest: "ETC/{{ item }}"}, loop: ["a,b ü.conf", rsyslog.conf]}
    - {name: Hidden, copy: {content: "SECRET", dest: ETC/secret.conf}, no_log: true}
    - {name: Service of the host, command: ls, changed_when: true, check_mode: false}
    - {name: Package list, set_fact: {x: SECRET}, changed_when: true}
    - {name: Restart needed, ping: , changed_when: true, notify: Restart}
    - {name: Elsewhere, copy: {src: FILES/rsyslog.conf, dest: ETC/elsewhere}, delegate_to: other}
  handlers:
    - {name: Restart, ping: , changed_when: true}
"""
        machine = self.machine()
        machine.edit("rsyslog.conf")
        machine.edit("old.conf")
        inventory = self.inventory("kinds", "host", "other")
        expected = {"rsyslog.conf": "modified", "rsyslog.d/30-lab.conf": "mode", "new.conf": "missing",
                    "rsyslog.d/rsyslog.conf": "missing", "made": "missing", "old.conf": "extra",
                    "rsyslog.d/sub/40-deep.conf": "modified", "a,b ü.conf": "missing", "task: Hidden": None,
                    "task: Restart needed": None, "task: Elsewhere": None}
        for diff in (["--diff"], []):
            done = self.play(text, inventory, "--limit", "host,", *diff, machine=machine,
                             GITOPS_STATUS_CONFIG_ROOT=str(machine.etc))
            entry = self.server.entries(host="host")[-1]
            seen = {file["path"] if isinstance(file, dict) else file: file["kind"] if isinstance(file, dict) else None
                    for file in entry["changed_files"]}
            self.assertEqual(set(seen), set(expected), done.stdout)
            self.assertEqual(entry["status"], "out_of_sync")
            if diff:
                self.assertEqual(seen, expected)
            else:  # without --diff Ansible says less; what it says is right
                self.assertEqual([name for name in seen if seen[name] not in (None, expected[name])], [])
                self.assertEqual(seen["old.conf"], "extra")
        self.assertNotIn("SECRET", json.dumps(self.server.entries()), "content of a file has left the machine")

    def test_drift_check_with_the_plugin(self):
        machine = self.machine()
        machine.edit("rsyslog.d/99-extra.conf")
        arguments = ["-e", f"config_root={machine.etc} source_dir={machine.files}"]
        inventory = self.inventory("checks", "lab")
        self.play("", inventory, *arguments, "-e", "fail_on_drift=false", machine=machine, playbook=PLAYBOOK,
                  GITOPS_STATUS_CONFIG_ROOT=str(machine.etc))
        row = self.server.row("checks", "lab")
        self.assertEqual((row["status"], row["changed_files"]), ("out_of_sync", ["rsyslog.d/99-extra.conf"]))
        (machine.etc / "rsyslog.d/99-extra.conf").unlink()
        self.play("", inventory, *arguments, machine=machine, playbook=PLAYBOOK)
        self.assertEqual(self.statuses("checks"), {"lab": "synced"})


class Incomplete(PluginCase):
    """Never in sync if not everything ran."""

    def test_any_errors_fatal(self):
        text = COPY.replace("gather_facts: false", "gather_facts: false\n  any_errors_fatal: true") + """
    - {name: Break, fail: , when: inventory_hostname == "b"}
    - {name: Later, copy: {src: FILES/rsyslog.conf, dest: ETC/rsyslog.conf}}
"""
        done = self.play(text, self.inventory("fatal", "a", "b"))
        self.assertEqual(self.statuses("fatal"), {"a": "unknown", "b": "failed"}, done.stdout)

    def test_too_many_failures(self):
        for share, status in ((60, "synced"), (40, "unknown")):
            text = COPY.replace("gather_facts: false", f"gather_facts: false\n  max_fail_percentage: {share}") + """
    - {name: Break, fail: , when: inventory_hostname == "b"}
    - {name: Later, copy: {src: FILES/rsyslog.conf, dest: ETC/rsyslog.conf}}
"""
            done = self.play(text, self.inventory(f"share{share}", "a", "b"))
            self.assertEqual(self.statuses(f"share{share}"), {"a": status, "b": "failed"}, done.stdout)

    def test_batches_that_never_came(self):
        text = COPY + COPY.replace("gather_facts: false", "gather_facts: false\n  serial: 1") + """
    - {name: Break, fail: , when: inventory_hostname == "b"}
"""
        done = self.play(text, self.inventory("serial", "a", "b", "c"))
        self.assertEqual(self.statuses("serial"), {"a": "synced", "b": "failed", "c": "unknown"}, done.stdout)

    def test_plays_that_never_came(self):
        text = COPY + "\n- hosts: b\n  gather_facts: false\n  tasks: [fail: ]\n" + COPY
        done = self.play(text, self.inventory("plays", "a", "b"))
        self.assertEqual(self.statuses("plays"), {"a": "unknown", "b": "failed"}, done.stdout)

    def test_drift_seen_before_the_end_is_a_drift(self):
        text = COPY.replace("gather_facts: false", "gather_facts: false\n  any_errors_fatal: true") + """
    - {name: Break, fail: , when: inventory_hostname == "b"}
"""
        machine = self.machine()
        machine.edit("rsyslog.conf")
        self.play(text, self.inventory("early", "a", "b"), machine=machine)
        self.assertEqual(self.statuses("early"), {"a": "out_of_sync", "b": "failed"})

    def test_ignored_and_rescued_failures(self):
        text = COPY + """
    - {name: Ignored, copy: {src: FILES/nothing, dest: ETC/x}, ignore_errors: true, when: inventory_hostname == "a"}
    - block:
        - {name: Rescued, copy: {src: FILES/nothing, dest: ETC/x}, when: inventory_hostname == "b"}
      rescue: [debug: ]
    - {name: Gone, ping: , ignore_unreachable: true}
"""
        inventory = self.inventory("ignored", "a", "b", "c", c=UNREACHABLE)
        text = text.replace("- hosts: all", "- hosts: all:!c", 1)
        done = self.play(text, inventory)
        self.assertEqual(self.statuses("ignored"), {"a": "unknown", "b": "unknown"}, done.stdout)
        self.assertEqual(self.reason("ignored", "b"), "a failure was ignored: Rescued")
        self.play(text, inventory, GITOPS_STATUS_ACCEPT_IGNORED_ERRORS="true")
        self.assertEqual(self.statuses("ignored"), {"a": "synced", "b": "synced"})
        self.play(text.replace("all:!c", "c").replace("copy:", "ping:", 1).replace("{src", "{} #", 1), inventory)
        self.assertEqual(self.statuses("ignored")["c"], "unknown")

    def test_chosen_tasks_only(self):
        inventory = self.inventory("partial", "a")
        self.play(COPY, inventory, "--skip-tags", "x")
        self.assertEqual(self.statuses("partial"), {"a": "unknown"})
        # The setting's former name.
        self.play(COPY, inventory, "--skip-tags", "x", GITOPS_STATUS_PARTIAL_RUNS="true")
        self.assertEqual(self.statuses("partial"), {"a": "synced"})

    def test_outside_check_mode(self):
        inventory = self.inventory("applied", "a", "b")
        text = COPY + "      check_mode: true\n      when: inventory_hostname == 'a'\n"
        done = self.play(text, inventory, check=False)
        self.assertEqual((done.returncode, self.statuses("applied")), (0, {}))
        self.play(text, inventory, check=False, GITOPS_STATUS_ONLY_CHECK_RUNS="false")
        self.assertEqual(self.statuses("applied"), {"a": "synced"})


class Delivery(PluginCase):
    def test_the_options_are_documented(self):
        done = run(["ansible-doc", "-t", "callback", "gitops_status"], ANSIBLE,
                   clean_environment(ANSIBLE_CALLBACK_PLUGINS=str(ANSIBLE / "callback_plugins")))
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn("GITOPS_STATUS_FATAL", done.stdout)

    def test_groups_and_names(self):
        inventory = (
            "[web]\nplain ansible_connection=local\n"
            'said ansible_connection=local gitops_server_group="{{ stage }}-web" gitops_host="real name" stage=prod\n'
            "[prod:children]\nweb\n")
        self.play(COPY, inventory + "[all:vars]\nansible_connection=local\n")
        self.assertEqual(self.statuses("web"), {"plain": "synced"})
        self.assertEqual(self.statuses("prod-web"), {"real name": "synced"})
        self.play(COPY, inventory, GITOPS_STATUS_SERVER_GROUP="from setting")
        self.assertEqual(self.statuses("from%20setting"), {"plain": "synced"})

    def test_many_hosts(self):
        hosts = [f"h{number:04}" for number in range(1100)]
        text = "- hosts: one\n  gather_facts: false\n  tasks: [ping: ]\n- {hosts: all, gather_facts: false}\n"
        receipt = {"origin": "o", "id": "1", "hash": "h"}
        stub = self.stub((200, {}, json.dumps({"reports": [receipt] * 1000, "warnings": ["odd"]})),
                         (200, {}, json.dumps({"reports": [receipt] * 100, "warnings": []})))
        inventory = "[one]\nh0000 ansible_connection=local\n" + self.inventory("many", *hosts)
        done = self.play(text, inventory, url=stub.url, GITOPS_STATUS_TOKEN="s3cret")
        bodies = [json.loads(request[3]) for request in stub.requests]
        self.assertEqual([len(body) for body in bodies], [1000, 100], done.stdout)
        self.assertEqual({report["status"] for report in bodies[1]}, {"unknown"})
        self.assertEqual(len({request[2]["Idempotency-Key"] for request in stub.requests}), 2)
        self.assertEqual(stub.requests[0][:2], ("POST", "/status/cron?create=true"))
        self.assertEqual(stub.requests[0][2]["Authorization"], "Bearer s3cret")
        self.assertIn("the server's warning: odd", done.stdout)
        self.assertNotIn("s3cret", done.stdout)

    def test_one_host_is_refused(self):
        inventory = self.inventory("refusal", "good", "bad", bad="ansible_connection=local gitops_host=" + "x" * 300)
        done = self.play(COPY, inventory)
        self.assertEqual(self.statuses("refusal"), {"good": "synced"}, done.stdout)
        self.assertRegex(done.stdout, r"NOT delivered: HTTP 400: .*x{300} host: ")
        self.assertEqual(done.returncode, 1)

    def test_failures_are_told_and_may_be_fatal(self):
        inventory = self.inventory("failures", "a")
        for answer, words, requests in ((PROBLEM_400, "HTTP 400: server: is", 1),
                                        (PROBLEM_503, "The database does not take writes", 3),
                                        ((302, {"Location": "/"}, ""), "HTTP 302", 1),
                                        ((200, {}, '{"ok":true}'), "no receipt for each report", 3)):
            stub = self.stub(answer)
            done = self.play(COPY, inventory, url=stub.url, GITOPS_STATUS_FATAL="false")
            self.assertEqual((done.returncode, len(stub.requests)), (0, requests), done.stdout)
            self.assertIn("[WARNING]: gitops-status: NOT delivered: ", done.stdout)
            self.assertIn(words, done.stdout)
            self.assertEqual(len({request[2]["Idempotency-Key"] for request in stub.requests}), 1)
        stub = self.stub(PROBLEM_400)
        done = self.play(COPY, inventory, url=stub.url)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("PLAY RECAP", done.stdout)
        self.assertIn("that is fatal here", done.stdout)

    def test_nobody_there_then_there(self):
        stub = self.stub((None, {}, ""), (200, {}, '{"reports":[{"origin":"o","id":"1","hash":"h"}],"warnings":[]}'))
        done = self.play(COPY, self.inventory("later", "a"), url=stub.url)
        self.assertEqual(len(stub.requests), 2, done.stdout)
        self.assertTrue(re.search(r"^gitops-status receipt o 1 h$", done.stdout, re.MULTILINE), done.stdout)
