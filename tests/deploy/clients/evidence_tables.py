#!/usr/bin/env python3
"""Tables over the plain part of the callback plugin gitops_status. Needs the Python of an Ansible."""

import importlib.util
import json
import os
import pathlib
import stat
import sys
import tempfile
import unittest

PLUGIN = (pathlib.Path(__file__).resolve().parents[3]
          / "deploy" / "clients" / "ansible" / "callback_plugins" / "gitops_status.py")

specification = importlib.util.spec_from_file_location("gitops_status", PLUGIN)
plugin = importlib.util.module_from_spec(specification)
sys.modules["gitops_status"] = plugin
specification.loader.exec_module(plugin)


def seen(**more):
    """A host on which all went well."""
    return plugin.Seen(**{"plays": 1, "finished": 1, "compared": 1, **more})


class Verdict(unittest.TestCase):
    def test_each_doubt_by_itself(self):
        for given, run, expected in (
            ({}, {}, ("synced", None)),
            ({"plays": 3, "finished": 3}, {}, ("synced", None)),
            ({"files": {"/etc/a": None}}, {}, ("out_of_sync", None)),
            ({"failed_task": "T"}, {}, ("failed", "task failed: T")),
            ({"unreachable": True}, {}, ("unknown", "unreachable")),
            ({"finished": 0}, {}, ("unknown", "the play ended early")),
            ({"plays": 2}, {}, ("unknown", "the play ended early")),
            ({"plays": 0, "finished": 0}, {}, ("unknown", "the play ended early")),
            ({"compared": 0}, {}, ("unknown", "no task compared anything")),
            ({"compared": 0, "skipped_comparisons": 1}, {}, ("unknown", "only part ran")),
            ({"skipped_comparisons": 1}, {}, ("synced", None)),
            ({"ignored_task": "T"}, {}, ("unknown", "a failure was ignored: T")),
            ({"rescued_task": "T"}, {}, ("unknown", "a failure was ignored: T")),
            ({"rescued_task": "T"}, {"accept_ignored_errors": True}, ("synced", None)),
            ({"ignored_task": "T", "compared": 0}, {"accept_ignored_errors": True},
             ("unknown", "no task compared anything")),
            ({"hidden_task": "T"}, {}, ("unknown", "a failure may be hidden: T")),
            ({"hidden_task": "T"}, {"accept_ignored_errors": True}, ("synced", None)),
            ({"cut_short": True}, {}, ("unknown", "another host's failure took tasks away")),
            ({"cut_short": True}, {"accept_ignored_errors": True}, ("unknown", "another host's failure took tasks away")),
            ({"unfinished_task": "T"}, {}, ("unknown", "a task was not waited for: T")),
            ({"broken": "E"}, {}, ("unknown", "the plugin failed: E")),
            ({}, {"broken": "E"}, ("unknown", "the plugin failed: E")),
            ({}, {"playbooks_missing": True}, ("unknown", "a playbook of this run did not start")),
            ({}, {"partial": True}, ("unknown", "only part ran")),
        ):
            with self.subTest(given=given, run=run):
                self.assertEqual(plugin.verdict(seen(**given), plugin.Invocation(**run)), expected)

    def test_a_drift_that_was_seen_stays_one(self):
        for given, run in (({"finished": 0}, {}), ({"broken": "E"}, {}), ({"ignored_task": "T"}, {}),
                           ({}, {"partial": True}), ({}, {"playbooks_missing": True}), ({}, {"broken": "E"})):
            with self.subTest(given=given, run=run):
                status = plugin.verdict(seen(files={"/etc/a": None}, **given), plugin.Invocation(**run))
                self.assertEqual(status, ("out_of_sync", None))

    def test_no_two_doubts_make_a_certainty(self):
        doubts = [{"failed_task": "T"}, {"unreachable": True}, {"finished": 0}, {"compared": 0}, {"ignored_task": "T"},
                  {"rescued_task": "T"}, {"hidden_task": "T"}, {"cut_short": True}, {"unfinished_task": "T"}, {"broken": "E"}, {"skipped_comparisons": 1, "compared": 0}]
        runs = [{}, {"broken": "E"}, {"playbooks_missing": True}, {"partial": True}]
        for one in doubts:
            for other in doubts:
                for run in runs:
                    status, reason = plugin.verdict(seen(**{**one, **other}), plugin.Invocation(**run))
                    self.assertIn(status, ("unknown", "failed"), (one, other, run))
                    self.assertTrue(reason)


class TheEnd(unittest.TestCase):
    def test_who_came_to_the_end_of_a_play(self):
        well = {"states": 1, "complete": True, "at_the_end": True}
        for more, ended, cut in (
            ({}, True, False),
            ({"states": 0}, False, False), ({"states": 2}, False, False),
            ({"complete": False}, False, False), ({"failed": True}, False, False),
            ({"failed": True, "lost_tasks": True}, False, False),
            ({"lost_tasks": True}, True, True),
            ({"lost_tasks": True, "own_failure": True}, True, False),
            # end_host; and somebody's end_play or end_batch, before the host's own end or behind it
            ({"at_the_end": False}, True, False),
            ({"at_the_end": False, "ended_for_all": True}, False, False),
            ({"ended_for_all": True}, True, False),
        ):
            with self.subTest(more=more):
                progress = plugin.Progress(**{**well, **more})
                self.assertEqual((plugin.came_to_the_end(progress), plugin.was_cut_short(progress)), (ended, cut))
        self.assertFalse(plugin.came_to_the_end(plugin.Progress()))


class Evidence(unittest.TestCase):
    def test_what_a_result_is_worth(self):
        failure = {"failed_when_result": False, "msg": "cannot read"}
        for module, result, more, expected in (
            ("copy", {}, {}, "evidence"), ("stat", {}, {}, "nothing"), ("my.own.thing", {}, {}, "unknown"),
            ("copy", {}, {"changed_when": True}, "nothing"), ("copy", {}, {"elsewhere": True}, "nothing"),
            ("copy", {"failed_when_result": False}, {"failed_when": True}, "evidence"),
            ("copy", failure, {"failed_when": True}, "hidden"), ("my.own.thing", failure, {"failed_when": True}, "hidden"),
            ("uri", failure, {"failed_when": True}, "nothing"), ("copy", {"msg": "OK"}, {}, "evidence"),
            ("copy", {"censored": "x"}, {"failed_when": True}, "hidden"), ("copy", {"censored": "x"}, {}, "evidence"),
            ("my.own.thing", {"diff": {"before": "a", "after": "a"}}, {}, "evidence"),
            ("my.own.thing", {"diff": {"before": "a", "after": "a"}}, {"failed_when": True}, "nothing"),
            ("my.own.thing", {}, {"more": ["my.own.*"]}, "evidence"),
            ("systemd", {"censored": "x"}, {"arguments": {"state": "started"}}, "nothing"),
            ("systemd", {}, {"arguments": {"state": "started"}}, "evidence"),
            ("systemd", {"warnings": ["can lead to false positives"]}, {}, "hidden"), ("systemd", {}, {}, "nothing"),
        ):
            with self.subTest(module=module, result=result, more=more):
                self.assertEqual(plugin.judged(module, result=result, **{"arguments": {}, **more}), expected)

    def test_modules(self):
        for module, arguments, expected in (
            ("ansible.builtin.copy", {}, True), ("copy", {}, True), ("ansible.legacy.template", {}, True),
            ("ansible.builtin.file", {"state": "directory"}, True),
            ("ansible.builtin.ping", {}, False), ("stat", {}, False), ("ansible.builtin.command", {}, False),
            ("ansible.builtin.shell", {"creates": "/x"}, False), ("package_facts", {}, False), ("slurp", {}, False),
            ("find", {}, False), ("uri", {"state": "present"}, False), ("ansible.builtin.uri", {"state": "present"}, False),
            ("getent", {}, False), ("fetch", {}, False), ("tempfile", {"state": "file"}, False),
            ("ansible.builtin.something_new", {"state": "present"}, False),
            ("service", {"name": "x", "enabled": False}, True), ("service", {"name": "x", "state": None}, False),
            ("systemd", {"daemon_reload": True}, False), ("systemd_service", {"name": "x", "masked": False}, True),
            ("apt", {"update_cache": True, "autoremove": False, "upgrade": None}, False),
            ("apt", {"package": ["x"]}, True), ("apt", {"upgrade": "dist"}, True), ("apt", {"upgrade": "no"}, False),
            ("dnf", {"list": "installed"}, False), ("dnf", {"name": ["x"]}, True), ("dnf5", {"name": []}, False),
            ("debconf", {"name": "tzdata", "value": None}, False), ("debconf", {"value": "x"}, True),
            ("git", {"update": False}, False), ("git", {"update": True}, True), ("git", {"update": "no"}, False),
            ("apt", {"name": [""]}, False), ("apt", {"name": " "}, False), ("apt", {"name": ["", "x"]}, True),
            ("package", {"name": []}, False), ("package", {"name": "x"}, True), ("package", {}, False),
            ("pip", {"name": []}, False), ("pip", {"name": None}, False), ("pip", {"requirements": "r.txt"}, True),
            ("user", {"name": ""}, False), ("subversion", {"checkout": False}, False), ("subversion", {"repo": "r"}, True),
            ("community.general.zypper", {"name": [], "state": "present"}, False),
            ("community.general.pacman", {"update_cache": True, "state": "present"}, False),
            ("community.general.pacman", {"name": "x", "update_cache": True, "state": "present"}, True),
            ("community.general.ufw", {"state": "enabled"}, True),
            ("git", {"update": "{{ item.u }}"}, False), ("systemd", {"state": "{{ item | default(omit) }}"}, False),
            ("dnf", {"name": "x", "list": "{{ item }}"}, False), ("my.own.thing", {"state": "{% if x %}a{% endif %}"}, False),
            ("community.general.proxmox_kvm", {"state": "current"}, False),
            ("ansible.windows.win_updates", {"state": "searched"}, False),
            ("community.general.git_config", {"name": "x"}, False), ("kubernetes.core.k8s", {"kind": "Pod"}, False),
            ("community.general.ini_file", {"state": "present"}, True),
            ("community.general.xml", {"state": None}, False), ("community.general.ini_file", {}, True),
            ("cisco.ios.ios_vlans", {"state": "gathered"}, False), ("cisco.ios.ios_vlans", {"state": "merged"}, True),
            ("community.general.parted", {"state": "info"}, False), ("community.general.xattr", {"state": "read"}, False),
            ("ansible.posix.seboolean", {"state": False}, True),
            ("community.docker.docker_container_info", {"state": "present"}, False),
            ("community.general.zfs_facts", {"state": "x"}, False), ("kubernetes.core.k8s_exec", {"state": "x"}, False),
            ("community.postgresql.postgresql_query", {"state": "x"}, False), ("cisco.ios.ios_command", {}, False),
            ("ansible.windows.win_wait_for", {"state": "present"}, False), ("ansible.windows.win_copy", {}, True),
            ("my.own.thing", {}, False), ("my_local_thing", {"state": "present"}, True), ("my_local_facts", {"state": "a"}, False),
        ):
            with self.subTest(module=module, arguments=arguments):
                self.assertEqual(plugin.compares(module, arguments, None), expected)

    def test_a_diff_with_both_sides_shows_that_something_was_compared(self):
        for diff, expected in (({"before": "a", "after": "a"}, True), ([{"before": {}, "after": {"a": 1}}], True),
                               ({"before": "", "after": ""}, False), ({"after": "a"}, False), ("text", False),
                               (["text", None], False), ([], False), (None, False), ({"prepared": "a"}, False)):
            with self.subTest(diff=diff):
                self.assertEqual(plugin.compares("my.own.thing", {}, diff), expected)

    def test_the_users_own_list(self):
        for more, expected in ((["my.own.thing"], True), (["my.own.*"], True), (["thing"], False), (["my.other.*"], False)):
            with self.subTest(more=more):
                self.assertEqual(plugin.compares("my.own.thing", {}, None, more), expected)

    def test_failures_that_were_may_hide_a_failure(self):
        for result, censored, expected in (
            ({"failed_when_result": False, "msg": "Destination /x does not exist !", "rc": 257}, False, True),
            ({"failed_when_result": False, "failed_when_suppressed_exception": "x"}, False, True),
            ({"failed_when_result": False, "exception": "Traceback"}, False, True),
            ({"failed_when_result": False, "rc": 1}, False, True),
            ({"failed_when_result": False, "msg": ""}, False, False),
            ({"failed_when_result": False, "state": "file", "rc": 0}, False, False),
            ({"censored": "hidden", "changed": False}, True, True),
        ):
            with self.subTest(result=result):
                self.assertEqual(plugin.may_hide_a_failure(result, censored), expected)

    def test_a_module_that_says_it_could_not_look(self):
        self.assertTrue(plugin.could_not_look({"warnings": ["systemd is offline. This can lead to false positives"]}))
        for result in ({}, {"warnings": None}, {"warnings": ["deprecated"]}):
            self.assertFalse(plugin.could_not_look(result))

    def test_kinds(self):
        for diff, expected in (
            ({"before_header": "/a", "before": "x", "after": "y"}, "modified"), ({"before": "", "after": "y"}, "missing"),
            ({"before": {"state": "absent"}, "after": {"state": "file"}}, "missing"),
            ({"before": {"state": "file"}, "after": {"state": "absent"}}, "extra"),
            ({"before": {"mode": "1"}, "after": {"mode": "2"}}, "mode"),
            ("text", None), (["text", "more"], None), ([None], None), (None, None), (7, None), ([[]], None),
            ([None, {"before": "", "after": "y"}], "missing"),
        ):
            with self.subTest(diff=diff):
                self.assertEqual(plugin.kind_of("copy", {}, {"diff": diff}), expected)
        self.assertEqual(plugin.kind_of("file", {"state": "absent"}, {}), "extra")

    def test_paths(self):
        for module, arguments, result, expected in (
            ("copy", {}, {"dest": "/a/b"}, "/a/b"), ("copy", {}, {"path": "/a/"}, "/a"), ("copy", {}, {"path": "/"}, "/"),
            ("copy", {}, {}, None), ("copy", {}, {"path": 7}, None), ("copy", {}, {"invocation": None}, None),
            ("copy", {}, {"invocation": {"module_args": None}}, None),
            ("copy", {}, {"invocation": {"module_args": {"dest": "/d/", "src": "/r/f"}}}, "/d/f"),
            # Since 2.21 results have no invocation.
            ("copy", {"dest": "/d/", "src": "/r/f"}, {}, "/d/f"), ("template", {"dest": "/d"}, {}, "/d"),
            ("lineinfile", {"path": "/l"}, {"msg": "line added"}, "/l"), ("lineinfile", {"destfile": "/l"}, {}, "/l"),
            ("ansible.builtin.file", {"name": "/n"}, {}, "/n"), ("user", {"name": "root"}, {}, None),
            ("copy", {"dest": "/{{ item }}"}, {}, None), ("copy", {"dest": "/d"}, {"censored": "hidden"}, None),
            ("copy", {"dest": "/written"}, {"dest": "/real"}, "/real"),
        ):
            with self.subTest(module=module, arguments=arguments, result=result):
                self.assertEqual(plugin.path_of(module, arguments, result), expected)


class Reports(unittest.TestCase):
    def report(self, host, status, *files):
        report = {"server_group": "g", "host": host, "status": status}
        return {**report, "changed_files": list(files)} if files or status == "synced" else report

    def test_two_hosts_of_one_name_are_one(self):
        merged = plugin.merged([self.report("a", "synced"), self.report("b", "synced"), self.report("a", "out_of_sync", "f")])
        self.assertEqual(merged, [self.report("a", "out_of_sync", "f"), self.report("b", "synced")])
        for first, second, expected in (("synced", "unknown", "unknown"), ("unknown", "failed", "failed"),
                                        ("failed", "out_of_sync", "out_of_sync"), ("synced", "synced", "synced")):
            for one, other in ((first, second), (second, first)):
                merged = plugin.merged([self.report("a", one), self.report("a", other)])
                self.assertEqual([report["status"] for report in merged], [expected])
        both = plugin.merged([self.report("a", "out_of_sync", "f"), self.report("a", "out_of_sync", "g")])
        self.assertEqual(both[0]["changed_files"], ["f", "g"])

    def test_arrays_are_bounded(self):
        many = [self.report(str(number), "synced") for number in range(2500)]
        self.assertEqual([len(chunk) for chunk in plugin.chunks(many)], [1000, 1000, 500])
        huge = self.report("h", "out_of_sync", *(f"/{number:05}" + "x" * 4000 for number in range(10000)))
        sent = list(plugin.chunks([self.report("a", "synced"), huge]))
        self.assertTrue(all(len(json.dumps(chunk)) <= plugin.MAX_BODY_BYTES + 8 for chunk in sent))
        self.assertEqual([report["host"] for chunk in sent for report in chunk], ["a", "h"])
        self.assertTrue(sent[-1][-1]["changed_files"])
        self.assertEqual(list(plugin.chunks([])), [])

    def test_long_paths_are_cut_between_characters(self):
        self.assertEqual(plugin.cut_to_bytes("a\udcff", 10), "a\ufffd")
        cut = plugin.cut_to_bytes("ü" * 3000, 4095)
        self.assertEqual((len(cut.encode()), set(cut)), (4094, {"ü"}))

    def test_what_steers_a_terminal_is_spelled_out(self):
        self.assertEqual(plugin.shown("a\x1b[2K\r\ngitops-status receipt\u202e ü"),
                         "a\\x1b[2K\\r\\ngitops-status receipt\\u202e ü")


class SpoolFile(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "spool")

    def batch(self, *hosts):
        return plugin.Batch([{"host": host} for host in hosts])

    def test_what_was_added_is_there_until_it_is_settled(self):
        first, second = self.batch("a"), self.batch("b", "c")
        plugin.Spool(self.path).add([first, second])
        self.assertEqual(plugin.Spool(self.path).batches(), [first, second])
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assertIn("3 report(s)", plugin.Spool(self.path).kept())
        plugin.Spool(self.path).settle(first, self.batch("rest"))
        self.assertEqual([batch.reports for batch in plugin.Spool(self.path).batches()],
                         [[{"host": "b"}, {"host": "c"}], [{"host": "rest"}]])
        for batch in plugin.Spool(self.path).batches():
            plugin.Spool(self.path).settle(batch)
        self.assertFalse(os.path.exists(self.path))
        self.assertIsNone(plugin.Spool(self.path).kept())

    def test_a_batch_that_another_run_settled_leaves_no_rest(self):
        batch = self.batch("a", "b")
        plugin.Spool(self.path).add([batch])
        plugin.Spool(self.path).settle(batch)
        plugin.Spool(self.path).settle(batch, self.batch("b"))
        self.assertEqual(plugin.Spool(self.path).batches(), [])

    def test_damaged_lines_are_set_aside(self):
        good = self.batch("a")
        plugin.Spool(self.path).add([good])
        with open(self.path, "ab") as file:
            file.write(b'{"key": "x", "repo\xff\n[1]\n{"key":"y","reports":[7]}\n')
        self.assertEqual(plugin.Spool(self.path).batches(), [good])
        with open(self.path + ".refused", encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), 3)
        self.assertEqual(plugin.Spool(self.path).batches(), [good])
        with open(self.path + ".refused", encoding="utf-8") as file:
            self.assertEqual(len(file.readlines()), 3, "set aside once")

    def test_refused_reports_are_kept_for_people(self):
        plugin.Spool(self.path).set_aside([{"host": "a"}], "HTTP 400")
        with open(self.path + ".refused", encoding="utf-8") as file:
            self.assertEqual(json.load(file), {"problem": "HTTP 400", "reports": [{"host": "a"}]})
        self.assertEqual(stat.S_IMODE(os.stat(self.path + ".refused").st_mode), 0o600)

    def test_only_plain_files_of_our_own(self):
        os.mkfifo(self.path)
        with self.assertRaisesRegex(OSError, "no plain file"):
            plugin.Spool(self.path)
        os.unlink(self.path)
        plugin.Spool(self.path).add([self.batch("a")])
        os.symlink(self.path, self.path + ".link")
        with self.assertRaisesRegex(OSError, "no plain file"):
            plugin.Spool(self.path + ".link")
        os.chmod(self.path, 0o666)
        with self.assertRaisesRegex(OSError, "not ours alone to write"):
            plugin.Spool(self.path)


if __name__ == "__main__":
    unittest.main()
