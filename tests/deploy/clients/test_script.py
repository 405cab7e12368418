"""update-gitops-status.sh and drift-check.yml with a real ansible-playbook and a real server."""

import itertools
import json
import os
import pathlib
import shutil
import tempfile
import unittest

from harness import LOCAL, PLAYBOOK, PROBLEM_400, PROBLEM_503, SCRIPT, Case, clean_environment, run

SHELLS = itertools.cycle((["sh"], ["sh", "-e"], ["bash", "--posix", "-eu"]))


class ScriptCase(Case):
    def check(self, machine, *arguments, name="lab", inventory="lab,", playbook=PLAYBOOK, under=(), **extra):
        environment = clean_environment(**{
            "GITOPS_STATUS_SERVER_URL": self.server.url, "REPO_NAME": "rsyslog", "SERVER_NAME": name,
            "CONFIG_ROOT": str(machine.etc), "DRIFT_PLAYBOOK": str(playbook), **extra})
        command = [*under, *next(SHELLS), str(SCRIPT), "-i", inventory, *LOCAL,
                   "-e", f"source_dir={machine.files}", *arguments]
        return run(command, machine.folder, environment)

    def assertReported(self, done, name, status, files=()):
        self.assertEqual(done.returncode, 0, done.stdout)
        row = self.server.row("rsyslog", name)
        self.assertEqual((row["status"], sorted(row["changed_files"])), (status, sorted(files)), done.stdout)
        self.assertReceipts(done.stdout)


class Checks(ScriptCase):
    def test_synced_then_one_edit_then_synced(self):
        machine = self.machine()
        before = machine.snapshot()
        done = self.check(machine, name="one")
        self.assertReported(done, "one", "synced")
        for step in "1234":
            self.assertIn(f"[{step}/4]", done.stdout)
        machine.edit("rsyslog.d/30-lab.conf")
        edited = machine.snapshot()
        done = self.check(machine, "--diff", name="one")
        self.assertReported(done, "one", "out_of_sync", ["rsyslog.d/30-lab.conf"])
        self.assertNotIn("SECRET", done.stdout, "the log shows the content of a file")
        self.assertEqual(machine.snapshot(), edited, "the check changed the machine")
        (machine.etc / "rsyslog.d/30-lab.conf").write_bytes((machine.files / "rsyslog.d/30-lab.conf").read_bytes())
        self.assertReported(self.check(machine, name="one"), "one", "synced")
        self.assertEqual(set(before), set(machine.snapshot()))
        self.assertEqual([entry["transition"] for entry in self.server.entries(host="one")],
                         ["changed", "opened", "closed"])

    def test_edited_mode_missing_and_extra(self):
        machine = self.machine()
        machine.edit("rsyslog.conf")
        (machine.etc / "rsyslog.d/30-lab.conf").chmod(0o600)
        (machine.etc / "rsyslog.d/sub/40-deep.conf").unlink()
        machine.edit("rsyslog.d/99-by-hand.conf")
        (machine.files / "rsyslog.d/.gitkeep").touch()
        self.assertReported(self.check(machine, name="many"), "many", "out_of_sync", [
            "rsyslog.conf", "rsyslog.d/30-lab.conf", "rsyslog.d/99-by-hand.conf", "rsyslog.d/sub/40-deep.conf"])

    def test_the_folder_is_gone(self):
        machine = self.machine("rsyslog.conf", "rsyslog.d/30-lab.conf")
        (machine.etc / "rsyslog.d/30-lab.conf").unlink()
        (machine.etc / "rsyslog.d").rmdir()
        self.assertReported(self.check(machine, name="gone"), "gone", "out_of_sync", ["rsyslog.d/30-lab.conf"])

    def test_another_service(self):
        machine = self.machine("nginx/nginx.conf", "nginx/conf.d/site.conf")
        machine.edit("nginx/conf.d/site.conf")
        (machine.files / "nginx/nginx.conf").chmod(0o600)  # how it was checked out says nothing
        done = self.check(machine, "-e", "main_file=nginx/nginx.conf config_dir=nginx/conf.d", name="web")
        self.assertReported(done, "web", "out_of_sync", ["nginx/conf.d/site.conf"])

    def test_every_output_format_with_difficult_names(self):
        names = ["rsyslog.d/a,b.conf", "rsyslog.d/two  blanks.conf", "rsyslog.d/ümläut €.conf",
                 "rsyslog.d/it's \"quoted\".conf", "rsyslog.d/back\\slash.conf", "rsyslog.d/- #: dash.conf",
                 "rsyslog.d/" + "long name with many blanks " * 6 + ".conf"]
        machine = self.machine("rsyslog.conf", *names)
        for name in names:
            machine.edit(name)
        # Whatever the user's settings are, the script reads what it knows.
        formats = {
            "default": {}, "oneline": {"ANSIBLE_STDOUT_CALLBACK": "oneline", "ANSIBLE_DISPLAY_OK_HOSTS": "false"},
            "verbose yaml colours": {"ANSIBLE_NOCOLOR": None, "ANSIBLE_FORCE_COLOR": "1",
                                     "ANSIBLE_CALLBACK_RESULT_FORMAT": "yaml", "ANSIBLE_VERBOSITY": "2"}}
        for number, (title, settings) in enumerate(formats.items()):
            with self.subTest(title):
                done = self.check(machine, name=f"format {number}", **settings)
                self.assertReported(done, f"format {number}", "out_of_sync", names)
                if "colours" in title:
                    self.assertIn("\x1b[", done.stdout)

    def test_names_of_servers_are_escaped(self):
        name = "lab \"quoted\" \\ ü"
        self.assertReported(self.check(self.machine(), name=name), name, "synced")


class Unknown(ScriptCase):
    """A check that did not run is never in sync."""

    def assertUnknown(self, done, name):
        self.assertReported(done, name, "unknown")
        self.assertRegex(self.server.row("rsyslog", name)["labels_text"], "^reason=.*(check|unreachable|SYNC_STATUS|ansible-playbook)")

    def test_a_file_that_cannot_be_read(self):
        machine = self.machine()
        (machine.etc / "rsyslog.conf").chmod(0)
        # Not even root may read it then.
        under = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        done = self.check(machine, name="no rights", under=under)
        self.assertUnknown(done, "no rights")
        self.assertIn("cannot be read", done.stdout)
        self.assertIn("--become", done.stdout)

    def test_unreachable(self):
        done = self.check(self.machine(), "-e", "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1",
                          name="unreachable")
        self.assertIn("UNREACHABLE!", done.stdout)
        self.assertUnknown(done, "unreachable")

    def test_broken_playbooks(self):
        machine = self.machine()
        tasks = "- hosts: all\n  gather_facts: false\n  tasks:\n"
        broken = {
            "syntax": "- hosts: all\n  tasks: [\n",
            "no hosts": "- hosts: nobody\n  tasks: [debug: {msg: SYNC_STATUS=SYNCED}]\n",
            "silent": tasks + "    - debug: {msg: fine}\n",
            "title": tasks + "    - {name: '\"SYNC_STATUS=SYNCED\"', debug: {msg: x}}\n",
            "late": tasks + "    - debug: {msg: SYNC_STATUS=SYNCED}\n    - fail:\n",
            "word": tasks + "    - debug: {msg: SYNC_STATUS=SYNCEDISH}\n",
        }
        for title, text in broken.items():
            with self.subTest(title):
                playbook = machine.folder / "broken.yml"
                playbook.write_text(text, encoding="utf-8")
                self.assertUnknown(self.check(machine, playbook=playbook, name=title), title)

    def test_the_repository_is_not_there(self):
        machine = self.machine()
        done = self.check(machine, "-e", f"source_dir={machine.folder}/nothing", name="no repository")
        self.assertUnknown(done, "no repository")

    def test_ansible_is_not_installed(self):
        machine = self.machine()
        tools = machine.folder / "bin"
        tools.mkdir()
        (tools / "ansible-playbook").write_text("#!/bin/sh\nexit 127\n", encoding="utf-8")
        (tools / "ansible-playbook").chmod(0o755)
        done = self.check(machine, name="no ansible", PATH=f"{tools}:{clean_environment()['PATH']}")
        self.assertUnknown(done, "no ansible")

    def test_several_hosts(self):
        machine = self.machine()
        other = self.machine()
        other.edit("rsyslog.conf")
        machine.edit("rsyslog.d/30-lab.conf")
        inventory = machine.folder / "hosts.ini"
        inventory.write_text(
            f"a config_root={machine.etc}\nb config_root={other.etc}\n"
            "c ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1\n", encoding="utf-8")
        done = self.check(machine, inventory=str(inventory), name="drifted and unreachable")
        row = self.server.row("rsyslog", "drifted and unreachable")
        self.assertEqual((done.returncode, row["status"]), (0, "out_of_sync"), done.stdout)
        self.assertEqual(sorted(row["changed_files"]), sorted([f"{other.etc}/rsyslog.conf", "rsyslog.d/30-lab.conf"]))
        for one in (machine, other):
            for name in ("rsyslog.conf", "rsyslog.d/30-lab.conf"):
                one.edit(name, f"content of {name}\n")
        done = self.check(machine, "--limit", "a,b", inventory=str(inventory), name="both")
        self.assertReported(done, "both", "synced")
        done = self.check(machine, "--limit", "a,c", inventory=str(inventory), name="one unreachable")
        self.assertUnknown(done, "one unreachable")


class Delivery(ScriptCase):
    """Quick ones: ansible-playbook is a script that prints what a check prints."""

    DRIFT = ('ok: [lab] => {\n    "msg": "DRIFTED_FILES=/etc/a.conf"\n}\n'
             'ok: [lab] => {\n    "msg": "SYNC_STATUS=OUT_OF_SYNC"\n}\n')

    def send(self, url=None, output=DRIFT, code=2, path=None, **extra):
        machine = self.machine()
        tools = machine.folder / "bin"
        tools.mkdir()
        (tools / "output").write_text(output, encoding="utf-8")
        program = tools / "ansible-playbook"
        program.write_text(f'#!/bin/sh\ncat "$(dirname "$0")/output"\nexit {code}\n', encoding="utf-8")
        program.chmod(0o755)
        extra = {"PATH": f"{tools}:{path or tools}:{clean_environment()['PATH']}", "CONFIG_ROOT": None,
                 "REPO_NAME": "rsyslog", "GITOPS_STATUS_SERVER_URL": url or self.server.url,
                 "SERVER_NAME": "delivery", "TMPDIR": str(machine.folder), **extra}
        done = run([*next(SHELLS), str(SCRIPT)], machine.folder, clean_environment(**extra))
        self.assertEqual(list(machine.folder.glob("update-gitops-status.*")), [], "files are left behind")
        return done

    def judged(self, output, code=0):
        stub = self.stub((200, {}, "{}"))
        done = self.send(stub.url, output=output, code=code)
        self.assertEqual(done.returncode, 0, done.stdout)
        return json.loads(stub.requests[0][3])["sync_status"]

    def test_a_result_in_every_format(self):
        recap = "PLAY RECAP ****\nlab   : ok=5    changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0   \n"
        formats = {
            "default": 'ok: [lab] => {\n    "msg": "SYNC_STATUS=SYNCED"\n}\n' + recap,
            "one line": 'ok: [lab] => {"changed": false, "msg": "SYNC_STATUS=SYNCED"}\n' + recap,
            "a list": 'ok: [lab] => {\n    "msg": [\n        "DRIFTED_FILES=",\n        "SYNC_STATUS=SYNCED"\n    ]\n}\n' + recap,
            "colours": '\x1b[0;32mok: [lab] => {\x1b[0m\n\x1b[0;32m    "msg": "SYNC_STATUS=SYNCED"\x1b[0m\n\x1b[0;32m}\x1b[0m\r\n'
                       '\x1b[0;32mlab\x1b[0m : \x1b[0;32mok=5   \x1b[0m changed=0    unreachable=0    failed=0\n',
            "yaml": "ok: [lab] => \n    msg: SYNC_STATUS=SYNCED\n\n" + recap,
            "yaml list": "ok: [lab] =>\n    msg:\n    - DRIFTED_FILES=\n    - SYNC_STATUS=SYNCED\n\n" + recap,
            "minimal": 'lab | SUCCESS => {\n    "changed": false,\n    "msg": "SYNC_STATUS=SYNCED"\n}\n',
            "oneline": 'lab | SUCCESS => {    "changed": false,    "msg": "SYNC_STATUS=SYNCED"}\n',
        }
        for title, text in formats.items():
            with self.subTest(title):
                self.assertEqual(self.judged(text), "SYNCED", text)
                self.assertEqual(self.judged(text, code=4), "UNKNOWN", text)
                # One more host, that says nothing.
                for other in ("ok: [other]\n", "skipping: [other]\n", "other | SKIPPED\n", "other | SUCCESS => {}\n"):
                    self.assertEqual(self.judged(other + text), "UNKNOWN", other + text)
                for bad in ("other : ok=1    changed=0    unreachable=0    failed=0\n", "lab : ok=1 unreachable=1 failed=0\n",
                            "lab : ok=1    unreachable=0    failed=1\n", "lab : ok=1 unreachable=0 failed=0 rescued=0 ignored=1\n",
                            "fatal: [lab]: UNREACHABLE! => {}\n"):
                    self.assertEqual(self.judged(text + "PLAY RECAP ***\n" + bad), "UNKNOWN", text + bad)

    def test_a_marker_without_a_result_around_it(self):
        for text in ('"msg": "SYNC_STATUS=SYNCED"', "SYNC_STATUS=SYNCED", "    msg: SYNC_STATUS=SYNCED",
                     '<lab> (0, b\'{"msg": "SYNC_STATUS=SYNCED"}\')', 'ok: [lab] => {"invocation": {"msg": "SYNC_STATUS=SYNCED"}}',
                     'ok: [lab] => {"item": "SYNC_STATUS=SYNCED"}', 'skipping: [lab] => {"msg": "SYNC_STATUS=SYNCED"}',
                     'ok: [lab] => (item=x) => {"msg": "SYNC_STATUS=SYNCED"}', 'Welcome! "SYNC_STATUS=SYNCED"'):
            with self.subTest(text):
                self.assertEqual(self.judged(text + "\n"), "UNKNOWN")

    def test_what_is_not_its_output_is_no_evidence(self):
        """A banner of ssh comes with the errors."""
        machine = self.machine()
        (machine.folder / "cat").write_text(
            "#!/bin/sh\nprintf '%s\\n' 'ok: [lab] => {\"msg\": \"SYNC_STATUS=SYNCED\"}' >&2\nexec /bin/cat \"$@\"\n", encoding="utf-8")
        (machine.folder / "cat").chmod(0o755)
        stub = self.stub((200, {}, "{}"))
        done = self.send(stub.url, output="fine\n", code=0, path=machine.folder)
        self.assertIn("SYNC_STATUS=SYNCED", done.stdout)
        self.assertEqual(json.loads(stub.requests[0][3])["sync_status"], "UNKNOWN", done.stdout)

    def test_the_body_is_that_of_v1(self):
        stub = self.stub((200, {}, "{}"))
        self.assertEqual(self.send(stub.url + "/").returncode, 0)
        method, path, headers, body = stub.requests[0]
        sent = json.loads(body)
        self.assertRegex(sent.pop("last_check"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertEqual((method, path, headers["Content-Type"], sent), ("POST", "/api/status", "application/json", {
            "repo": "rsyslog", "server": "delivery", "sync_status": "OUT_OF_SYNC", "drift_count": 1,
            "files": [{"name": "a.conf"}]}))
        self.assertNotIn("Authorization", headers)

    def test_what_a_run_adds(self):
        done = self.send(CI_PIPELINE_NUMBER="7", CI_PIPELINE_URL='http://ci/"7"', GITOPS_STATUS_MAX_AGE="600",
                         SERVER_NAME="run", CI_REPO_NAME="from-ci", REPO_NAME=None)
        self.assertEqual(done.returncode, 0, done.stdout)
        entry = self.server.entries(host="run")[0]
        self.assertEqual((entry["server_group"], entry["run_id"], entry["run_url"], entry["max_age"]),
                         ("from-ci", "7", 'http://ci/"7"', 600))

    def test_the_token_is_sent_and_not_shown(self):
        stub = self.stub((200, {}, "{}"))
        spy = self.machine().folder
        (spy / "curl").write_text(f'#!/bin/sh\nprintf "%s " "$@" >>{spy}/arguments\nexec {shutil.which("curl")} "$@"\n')
        (spy / "curl").chmod(0o755)
        done = self.send(stub.url, path=spy, GITOPS_STATUS_TOKEN='s3cr"et\\')
        self.assertRegex((spy / "arguments").read_text(), r"^--config \S+/request $")
        self.assertEqual(stub.requests[0][2]["Authorization"], 'Bearer s3cr"et\\')
        self.assertNotIn("s3cr", done.stdout)

    def test_warnings_are_shown(self):
        body = '{"report":{"id":"1","origin":"o","hash":"h"},"warnings":["one \\"quoted\\", word","two"]}'
        done = self.send(self.stub((200, {}, body)).url)
        self.assertIn("gitops-status receipt o 1 h\n    warning: one \"quoted\", word\n    warning: two\n", done.stdout)

    def test_a_refusal_fails_at_once_with_the_servers_words(self):
        stub = self.stub(PROBLEM_400)
        done = self.send(stub.url)
        self.assertEqual((done.returncode, len(stub.requests)), (1, 1), done.stdout)
        self.assertIn('    server: is "too" long\n    - server: is "too" long\n    - repo: is odd\n', done.stdout)
        self.assertIn("the check ran (OUT_OF_SYNC), but its report was not delivered", done.stdout)

    def test_the_real_servers_refusal(self):
        done = self.send(SERVER_NAME="x" * 300)
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("    - server: ", done.stdout)

    def test_a_page_instead_of_a_problem(self):
        done = self.send(self.stub((404, {"Content-Type": "text/html"}, "<html>\nno such site</html>")).url)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such site", done.stdout)

    def test_busy_then_stored(self):
        stub = self.stub(PROBLEM_503, (None, {}, ""), (200, {}, '{"report":{"id":"1","origin":"o","hash":"h"}}'))
        done = self.send(stub.url)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertEqual(len(stub.requests), 3)
        self.assertEqual(len({(request[2]["Idempotency-Key"], request[3]) for request in stub.requests}), 1)
        self.assertRegex(stub.requests[0][2]["Idempotency-Key"], r"^[A-Za-z0-9:-]{10,255}$")

    def test_busy_for_ever_and_nobody_there(self):
        stub = self.stub(PROBLEM_503)
        done = self.send(stub.url, GITOPS_STATUS_ATTEMPTS="2")
        self.assertEqual((done.returncode, len(stub.requests)), (1, 2), done.stdout)
        self.assertIn("The database does not take writes", done.stdout)
        done = self.send("http://user:hidden@127.0.0.1:1")
        self.assertEqual(done.returncode, 1)
        self.assertIn("attempt 3 of 3: no answer", done.stdout)
        self.assertNotIn("hidden", done.stdout)

    def test_the_same_report_again_is_stored_once(self):
        machine = self.machine()
        (machine.folder / "date").write_text("#!/bin/sh\necho 2026-04-26T10:30:00Z\n", encoding="utf-8")
        (machine.folder / "date").chmod(0o755)
        found = [self.assertReceipts(self.send(SERVER_NAME="twice", path=machine.folder).stdout) for _ in range(2)]
        self.assertEqual(found[0], found[1])
        self.assertEqual(len(self.server.entries(host="twice")), 1)

    def test_exit_code_of_a_drift(self):
        self.assertEqual(self.send().returncode, 0)
        self.assertEqual(self.send(FAIL_ON_DRIFT="true").returncode, 2)
        done = self.send(FAIL_ON_DRIFT="true", output='ok: [a] => {"msg": "SYNC_STATUS=SYNCED"}\n', code=0)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_wrong_settings(self):
        for name, value in {"SERVER_NAME": None, "REPO_NAME": "", "GITOPS_STATUS_MAX_AGE": "1h",
                            "GITOPS_STATUS_ATTEMPTS": "0", "GITOPS_STATUS_TOKEN": "a\nb"}.items():
            with self.subTest(name):
                done = self.send(**{name: value})
                self.assertEqual(done.returncode, 1)
                self.assertIn(name, done.stdout)
                self.assertNotIn("[1/4]", done.stdout)

    def test_markers_as_they_come(self):
        escape = "\x1b[0;32m"
        cases = [
            ('"msg": "SYNC_STATUS=SYNCED"', 2, "UNKNOWN", []),
            ('"msg": "SYNC_STATUS=SYNCED"', 4, "UNKNOWN", []),
            ('"msg": "SYNC_STATUS=UNKNOWN"', 0, "UNKNOWN", []),
            ('"msg": "SYNC_STATUS=SYNCED"\n"msg": "SYNC_STATUS=OUT_OF_SYNC"', 0, "OUT_OF_SYNC", []),
            ('"msg": "SYNC_STATUS=SYNCED"\n"msg": "DRIFTED_FILES=/etc/a"', 0, "OUT_OF_SYNC", ["a"]),
            ('"msg": "DRIFTED_FILES=/etc/a, /etc/b,/opt/c"', 4, "OUT_OF_SYNC", ["a", "b", "/opt/c"]),
            ('"msg": "DRIFTED_FILES=/etc/a,/etc/b"\n"msg": "DRIFTED_FILES=/etc/b,/etc/c,d"', 2, "OUT_OF_SYNC",
             ["a", "b", "c,d"]),
            ('"msg": ["DRIFTED_FILES=/etc/a", "SYNC_STATUS=OUT_OF_SYNC"]', 2, "OUT_OF_SYNC", ["a"]),
            ('"msg": "DRIFTED_FILES=a,b/c"', 2, "OUT_OF_SYNC", ["a", "b/c"]),
            ('"msg": "DRIFTED_FILES=/etc/\\u00fc \\t\\"\\\\"', 2, "OUT_OF_SYNC", ['ü \t"\\']),
            (f'{escape}    "msg": "DRIFTED_FILES=/etc/a"\x1b[0m\r', 2, "OUT_OF_SYNC", ["a"]),
            ("    msg: 'DRIFTED_FILES=/etc/it''s: \"a\\b\"'", 2, "OUT_OF_SYNC", ['it\'s: "a\\b"']),
            ('    msg: "DRIFTED_FILES=/etc/\\xFC\\U0001F600\\_\\e\\\n        \\ b,/etc/c\n        d"', 2, "OUT_OF_SYNC",
             ["ü😀\xa0\x1b b", "c d"]),
            ("    msg:\n    - DRIFTED_FILES=/etc/a\n    - SYNC_STATUS=OUT_OF_SYNC", 2, "OUT_OF_SYNC", ["a"]),
            (f"{escape}    msg: DRIFTED_FILES=/etc/a b\x1b[0m\n{escape}        c\x1b[0m", 2, "OUT_OF_SYNC", ["a b c"]),
        ]
        for number, (output, code, status, files) in enumerate(cases):
            with self.subTest(output):
                stub = self.stub((200, {}, "{}"))
                done = self.send(stub.url, output=output + "\n", code=code)
                self.assertEqual(done.returncode, 0, done.stdout)
                body = json.loads(stub.requests[0][3])
                self.assertEqual((body["sync_status"], body["drift_count"], [file["name"] for file in body["files"]]),
                                 (status, len(files), files), f"case {number}: {done.stdout}")


class Evidence(ScriptCase):
    """SYNCED is said only with a message SYNC_STATUS=SYNCED of every host of a run that came to its end."""

    INVENTORY = "a,b,"

    def judged(self, text, *arguments, inventory=INVENTORY, **extra):
        """What is sent for a playbook of the user's own."""
        machine = self.machine()
        playbook = machine.folder / "own.yml"
        playbook.write_text(text, encoding="utf-8")
        stub = self.stub((200, {}, "{}"))
        done = self.check(machine, *arguments, playbook=playbook, inventory=inventory, GITOPS_STATUS_SERVER_URL=stub.url,
                          **extra)
        self.assertEqual(done.returncode, 0, done.stdout)
        body = json.loads(stub.requests[0][3])
        return body["sync_status"], body.get("labels", {}).get("reason", ""), done.stdout

    PLAY = "- hosts: all\n  gather_facts: false\n  tasks:\n"
    SAYS = "    - debug: {msg: SYNC_STATUS=SYNCED}\n"

    def test_a_playbook_of_the_users_own(self):
        helper = "- hosts: localhost\n  gather_facts: false\n  tasks:\n    - debug: {msg: hello}\n"
        for title, text in {
                "each host": self.PLAY + self.SAYS,
                "both markers in one message": self.PLAY + "    - debug: {msg: [DRIFTED_FILES=, SYNC_STATUS=SYNCED]}\n",
                "a helper on localhost": helper + self.PLAY + self.SAYS,
                "delegated": self.PLAY + "    - {debug: {msg: SYNC_STATUS=SYNCED}, delegate_to: localhost}\n"}.items():
            for arguments in ((), ("-v",), ("-vvv", "--check", "--diff")):
                with self.subTest(title, arguments=arguments):
                    status, reason, output = self.judged(text, *arguments)
                    self.assertEqual((status, reason), ("SYNCED", ""), output)

    def test_a_host_without_a_word_of_its_own(self):
        file = "    - stat: {path: /x}\n      failed_when: true\n      ignore_errors: true\n"
        for title, (text, reason) in {
                "run_once": (self.PLAY + "    - {debug: {msg: SYNC_STATUS=SYNCED}, run_once: true}\n", "SYNC_STATUS=SYNCED of b"),
                "only one says it": (self.PLAY + "    - debug: {msg: SYNC_STATUS=SYNCED}\n      when: inventory_hostname == 'a'\n",
                                     "SYNC_STATUS=SYNCED of b"),
                "end_host": (self.PLAY + "    - meta: end_host\n      when: inventory_hostname == 'b'\n" + self.SAYS,
                             "SYNC_STATUS=SYNCED of b"),
                "end_play": (self.PLAY + "    - debug: {msg: SYNC_STATUS=SYNCED}\n      when: inventory_hostname == 'a'\n"
                             "    - meta: end_play\n" + self.SAYS, "SYNC_STATUS=SYNCED of b"),
                "another play": ("- hosts: b\n  gather_facts: false\n  tasks:\n    - debug: {msg: hello}\n"
                                 + self.PLAY.replace("all", "a") + self.SAYS, "SYNC_STATUS=SYNCED of b"),
                "ignore_unreachable": (
                    self.PLAY + "    - ping:\n      ignore_unreachable: true\n      vars: {ansible_connection: ssh, ansible_port: 1,"
                    " ansible_host: 127.0.0.1}\n      when: inventory_hostname == 'b'\n" + self.SAYS, "unreachable"),
                "ignore_errors": (self.PLAY + file + self.SAYS, "ignored or rescued"),
                "rescue": (self.PLAY + "    - block:\n        - fail:\n      rescue:\n        - debug: {msg: well}\n" + self.SAYS,
                           "ignored or rescued"),
                "any_errors_fatal": (self.PLAY.replace("  tasks", "  any_errors_fatal: true\n  tasks") + self.SAYS
                                     + "    - fail:\n      when: inventory_hostname == 'b'\n", "did not finish")}.items():
            with self.subTest(title):
                arguments = [] if title != "ignore_unreachable" else ["-e", "ansible_ssh_retries=0"]
                inventory = self.INVENTORY
                status, said, output = self.judged(text, *arguments, inventory=inventory)
                self.assertEqual(status, "UNKNOWN", output)
                self.assertIn(reason, said, output)

    def test_words_that_are_no_message(self):
        """What a command printed, what a file is called, what a server sends: nobody compared anything."""
        marker = "SYNC_STATUS=SYNCED"
        texts = {
            "a command": f"    - {{command: echo {marker}, register: out}}\n    - debug: {{var: out.stdout}}\n",
            "lines of a command": f"    - {{command: echo {marker}, register: out}}\n    - debug: {{var: out.stdout_lines}}\n",
            "a message of a command": f"    - {{command: echo, register: out}}\n    - debug: {{msg: {{msg: {marker}}}}}\n",
            "a label": f"    - {{debug: {{msg: seen}}, loop: ['{marker}'], loop_control: {{label: 'msg: {marker}'}}}}\n",
            "a title": f"    - {{name: 'x {marker}', debug: {{msg: seen}}}}\n",
            "a message of a loop": f"    - {{debug: {{msg: {marker}}}, loop: [1]}}\n",
            "more than the marker": f"    - debug: {{msg: '{marker} (not really)'}}\n",
            "an escaped quote": f"    - debug: {{msg: 'x\"{marker}\"'}}\n",
            "a failure that does not count": f"    - {{fail: {{msg: {marker}}}, ignore_errors: true}}\n",
        }
        for title, text in texts.items():
            for arguments in ((), ("-vv",)):
                with self.subTest(title, arguments=arguments):
                    status, _, output = self.judged(self.PLAY + text, *arguments, inventory="a,")
                    self.assertIn(marker, output)
                    self.assertEqual(status, "UNKNOWN", output)

    def test_only_a_part_ran(self):
        text = self.PLAY + "    - {debug: {msg: SYNC_STATUS=SYNCED}, tags: [always]}\n    - {debug: {msg: x}, tags: [last]}\n"
        parts = ((["--tags", "x"], {}), (["--tag=x"], {}), (["-t", "x"], {}), (["-tx"], {}), (["-vt", "x"], {}),
                 (["--skip-tags", "x"], {}), (["--sk=x"], {}), (["--start-at-task", "debug"], {}), (["--start-at=debug"], {}),
                 ([], {"ANSIBLE_RUN_TAGS": "x"}), ([], {"ANSIBLE_SKIP_TAGS": "last"}))
        for arguments, extra in parts:
            with self.subTest(arguments, extra=extra):
                status, reason, output = self.judged(text, *arguments, **extra)
                self.assertEqual(status, "UNKNOWN", output)
                self.assertIn("only part of the check ran", reason)
        with tempfile.TemporaryDirectory() as folder:
            settings = pathlib.Path(folder) / "ansible.cfg"
            settings.write_text("[tags]\nrun = always\n", encoding="utf-8")
            status, reason, output = self.judged(text, ANSIBLE_CONFIG=str(settings))
            self.assertEqual(status, "UNKNOWN", output)
            self.assertIn("only part of the check ran", reason)
        status, _, output = self.judged(text, "--tags", "x", GITOPS_STATUS_PARTIAL="true")
        self.assertEqual(status, "SYNCED", output)

    def test_our_own_check_in_parts(self):
        """Its words are those of a whole check, or there are none."""
        machine = self.machine()
        for arguments, extra in (
                (["--start-at-task", "Print the result"], {}),
                (["--start-at-task", "Print the result"], {"ANSIBLE_ERROR_ON_UNDEFINED_VARS": "false"}),
                (["--start-at-task", "Collect the drifted files"], {"ANSIBLE_ERROR_ON_UNDEFINED_VARS": "false"}),
                (["--tags", "never"], {}), (["--limit", "nobody"], {}), (["--list-tasks"], {}), (["--syntax-check"], {}),
                (["--step"], {}), (["--version"], {})):
            with self.subTest(arguments, extra=extra):
                stub = self.stub((200, {}, "{}"))
                done = self.check(machine, *arguments, GITOPS_STATUS_SERVER_URL=stub.url, GITOPS_STATUS_PARTIAL="true", **extra)
                self.assertEqual(done.returncode, 0, done.stdout)
                # Without its variables it may think of a drift, never of the contrary.
                self.assertIn(json.loads(stub.requests[0][3])["sync_status"], ("UNKNOWN", "OUT_OF_SYNC"), done.stdout)


if __name__ == "__main__":
    unittest.main()
