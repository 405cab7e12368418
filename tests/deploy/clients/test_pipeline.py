"""report-pipeline.yml, the last tasks of a deployment, with a real ansible-playbook and a real server."""

import json
import re
import unittest

from harness import ANSIBLE, LOCAL, Case, clean_environment, run

# Texts that a template may take for something else (a number, a list, nothing, a template).
ODD_TEXTS = ("4711", "1.10", "6063e25", "1e5", "0012", "0x1f", "1_000", "true", "False", "yes", "None", "null", "[1]", "['a']",
             "{}", '{"a": 1}', "2026-01-01", "'quoted'", '"quoted"', "(1, 2)", "b'x'", "~", "1,2", "5: no", "- 5")
NATIVE = {"plain": {}, "native": {"ANSIBLE_JINJA2_NATIVE": "true"}}


class PipelineCase(Case):
    def play(self, *arguments, url=None, inventory="web-01,web-02,", machine=None, **extra):
        machine = machine or self.machine()
        playbook = machine.folder / "deploy.yml"
        playbook.write_text(
            "- hosts: all\n  gather_facts: false\n  tasks:\n"
            f"    - ansible.builtin.include_tasks: {ANSIBLE}/report-pipeline.yml\n", encoding="utf-8")
        environment = clean_environment(**{
            "GITOPS_STATUS_SERVER_URL": url or self.server.url, "CI_COMMIT_SHA": "abc123", "CI_COMMIT_BRANCH": "",
            "CI_REPO_NAME": "rsyslog", **extra})
        return run(["ansible-playbook", "-i", str(inventory), *LOCAL, *arguments, str(playbook)],
                   machine.folder, environment)


class Deployments(PipelineCase):
    def test_a_deployment(self):
        done = self.play("-e", "gitops_server_group=web-prod gitops_environment=prod")
        self.assertEqual(done.returncode, 0, done.stdout)
        row = self.server.row("web-prod", "web-02")
        self.assertEqual((row["status"], row["commit_sha"], row["branch"], row["environment"], row["pipeline_status"]),
                         ("synced", "abc123", None, "prod", "synced"))
        lines = re.findall(r"gitops-status receipt \S+ \d+ [0-9a-f]{64}", done.stdout)
        self.assertReceipts("\n".join(lines))
        self.assertEqual(len(lines), 2)

    def test_nothing_that_is_not_set_draws_a_warning(self):
        for native in NATIVE.values():
            done = self.play("-e", json.dumps({"gitops_server_group": "web-prod", "gitops_environment": None}), **native)
            self.assertEqual(done.returncode, 0, done.stdout)
            self.assertNotIn("taken as missing", done.stdout)

    def test_a_deployment_of_chosen_tasks_is_not_in_sync(self):
        for native in NATIVE.values():
            for arguments, extra, status in (((), {}, "synced"), (("--skip-tags", "x"), {}, "unknown"),
                                             ((), {"ANSIBLE_SKIP_TAGS": "x"}, "unknown"),
                                             (("--skip-tags", "x", "-e", "gitops_status=synced"), {}, "synced")):
                done = self.play("-e", "gitops_server_group=chosen", *arguments, inventory="h,", **native, **extra)
                self.assertEqual(done.returncode, 0, done.stdout)
                self.assertEqual(self.server.row("chosen", "h")["status"], status, done.stdout)

    def test_a_group_must_be_named(self):
        stub = self.stub((200, {}, "{}"))
        for native in NATIVE.values():
            done = self.play(url=stub.url, **native)
            self.assertEqual((done.returncode, stub.requests), (2, []), done.stdout)
            self.assertIn("gitops_server_group", done.stdout)

    def test_a_handler_that_fails_is_no_deployment(self):
        machine = self.machine()
        playbook = machine.folder / "deploy.yml"
        playbook.write_text(
            "- hosts: all\n  gather_facts: false\n  tasks:\n"
            "    - {command: 'true', notify: restart}\n"
            f"    - ansible.builtin.include_tasks: {ANSIBLE}/report-pipeline.yml\n"
            "  handlers:\n    - {name: restart, command: 'false'}\n", encoding="utf-8")
        done = run(["ansible-playbook", "-i", "web-09,", *LOCAL, "-e", "gitops_server_group=web-prod", str(playbook)],
                   machine.folder, clean_environment(GITOPS_STATUS_SERVER_URL=self.server.url))
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertEqual(self.server.entries(host="web-09"), [])

    def test_a_refusal(self):
        done = self.play("-e", "gitops_server_group=web-prod gitops_status=broken", GITOPS_STATUS_TOKEN="s3cret")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("must be one of synced", done.stdout)
        self.assertNotIn("s3cret", done.stdout)

    def test_an_empty_status_is_not_synced(self):
        for empty in ("", None):
            done = self.play("-e", json.dumps({"gitops_server_group": "empty", "gitops_status": empty}))
            self.assertEqual(done.returncode, 2, done.stdout)
        self.assertEqual(self.server.entries(server_group="empty"), [])

    def test_nobody_there(self):
        done = self.play("-e", "gitops_server_group=web-prod gitops_retry_delay=0", url="http://127.0.0.1:1")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertIn("was not delivered", done.stdout)


class Texts(PipelineCase):
    """What is a text stays one: native Jinja or not, on every core."""

    RECEIVED = (200, {"Content-Type": "application/json"},
                '{"report": {"origin": "o", "id": "1", "hash": "h"}, "warnings": []}')
    FROM_CI = {"CI_COMMIT_SHA": "commit_sha", "CI_COMMIT_BRANCH": "branch", "CI_PIPELINE_NUMBER": "run_id",
               "CI_PIPELINE_URL": "run_url", "CI_REPO_NAME": "repo_name"}

    def test_what_the_ci_says(self):
        names = list(self.FROM_CI)
        for title, native in NATIVE.items():
            for start in range(0, len(ODD_TEXTS), len(names)):
                said = dict(zip(names, ODD_TEXTS[start:start + len(names)]))
                with self.subTest(title, said=said):
                    stub = self.stub(self.RECEIVED)
                    done = self.play("-e", "gitops_server_group=web", url=stub.url, inventory="web-01,",
                                     GITOPS_STATUS_TOKEN=said["CI_COMMIT_SHA"], **said, **native)
                    self.assertEqual(done.returncode, 0, done.stdout)
                    sent = json.loads(stub.requests[0][3])
                    self.assertEqual({self.FROM_CI[name]: text for name, text in said.items()},
                                     {key: sent[key] for key in map(self.FROM_CI.get, said)})
                    self.assertEqual(stub.requests[0][2]["Authorization"], "Bearer " + said["CI_COMMIT_SHA"])

    def test_what_the_variables_say(self):
        fields = ("server_group", "host", "environment", "server_type", "project_name", "repo_name", "validation_status",
                  "validation_message", "status", "updated_by")
        hosts = {f"h{number}": {f"gitops_{field}": text for field in fields}
                 | {"gitops_changed_files": [text, {"path": text, "kind": "missing"}]}
                 for number, text in enumerate(ODD_TEXTS)}
        machine = self.machine()
        inventory = machine.folder / "hosts.json"
        inventory.write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
        for title, native in NATIVE.items():
            with self.subTest(title):
                stub = self.stub(self.RECEIVED)
                done = self.play(url=stub.url, inventory=inventory, machine=machine, ANSIBLE_FORKS="4", **native)
                self.assertEqual(done.returncode, 0, done.stdout)
                sent = {body["host"]: body for body in (json.loads(request[3]) for request in stub.requests)}
                self.assertEqual(set(sent), set(ODD_TEXTS))
                for text, body in sent.items():
                    self.assertEqual({field: body[field] for field in fields}, dict.fromkeys(fields, text))
                    self.assertEqual(body["changed_files"], [text, {"path": text, "kind": "missing"}])

    def test_the_host_of_the_inventory_and_words_of_a_command(self):
        """No variable but the group; a message that looks like a template stays as it was written."""
        machine = self.machine()
        playbook = machine.folder / "deploy.yml"
        playbook.write_text(
            "- hosts: all\n  gather_facts: false\n  tasks:\n"
            "    - {command: cat message, args: {chdir: '{{ playbook_dir }}'}, register: check}\n"
            f"    - ansible.builtin.include_tasks: {ANSIBLE}/report-pipeline.yml\n"
            "      vars: {gitops_server_group: web, gitops_validation_message: '{{ check.stdout | string }}'}\n",
            encoding="utf-8")
        for title, native in NATIVE.items():
            for message in ("{{ 1 + 1 }} {% x %}", "6063e25", "[1]\n[2]"):
                with self.subTest(title, message=message):
                    (machine.folder / "message").write_text(message, encoding="utf-8")
                    stub = self.stub(self.RECEIVED)
                    done = run(["ansible-playbook", "-i", "1.10,", *LOCAL, str(playbook)], machine.folder,
                               clean_environment(GITOPS_STATUS_SERVER_URL=stub.url, **native))
                    self.assertEqual(done.returncode, 0, done.stdout)
                    sent = json.loads(stub.requests[0][3])
                    self.assertEqual((sent["host"], sent["validation_message"]), ("1.10", message))

    def test_a_real_server_takes_them(self):
        done = self.play("-e", "gitops_server_group=texts", ANSIBLE_JINJA2_NATIVE="true", CI_PIPELINE_NUMBER="4711",
                         CI_COMMIT_SHA="6063e25", CI_COMMIT_BRANCH="1.10", inventory="web-01,")
        self.assertEqual(done.returncode, 0, done.stdout)
        entry = self.server.entries(server_group="texts")[0]
        self.assertEqual((entry["run_id"], entry["commit_sha"], entry["branch"]), ("4711", "6063e25", "1.10"))


if __name__ == "__main__":
    unittest.main()
