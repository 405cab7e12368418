"""No host is in sync without evidence: playbooks after which the callback plugin must not say so, with a real Ansible.

Each play is small enough to be read; hosts are h1 to h3 unless the test says otherwise.
"""

import textwrap

from harness import LOCAL, PROBLEM_503, clean_environment, run
from test_plugin import UNREACHABLE, PluginCase

# Prints the result that it is given, as a module of somebody else would.
ODD_MODULE = '''#!/usr/bin/python
# WANT_JSON
import json
import sys
print(json.dumps(json.load(open(sys.argv[1]))["result"]))
'''
SAME = "copy: {src: FILES/rsyslog.conf, dest: ETC/rsyslog.conf, mode: '0644'}"
OTHER = "copy: {content: other, dest: ETC/rsyslog.d/30-lab.conf, mode: '0644'}"


class SyncedCase(PluginCase):
    groups = 0

    def check(self, tasks, *arguments, hosts=("h1", "h2", "h3"), variables=None, head="", whole=None, files=(), **extra):
        """Plays the tasks on hosts of a group of their own; gives status and reason by host, and what was printed."""
        SyncedCase.groups += 1
        group = f"synced{SyncedCase.groups}"
        machine = extra.pop("machine", None) or self.machine()
        for name, text in files:
            path = machine.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
        text = whole or f"- hosts: all\n  gather_facts: false\n{head}  tasks:\n{textwrap.indent(textwrap.dedent(tasks), '    ')}"
        text = text.replace("SAME", SAME).replace("OTHER", OTHER)
        done = self.play(text, self.inventory(group, *hosts, **(variables or {})), *arguments, machine=machine, **extra)
        seen = {}
        for row in self.server.get("/status/" + group):
            entry = self.server.entries(server_group=group, host=row["host"])[-1]
            seen[row["host"]] = (row["status"], (entry["labels"] or {}).get("reason"))
        return seen, done

    def assertWords(self, seen, done, **expected):
        """Hosts by name: the status, or status and reason."""
        shown = {host: words if isinstance(expected.get(host), tuple) else words[0] for host, words in seen.items()}
        self.assertEqual(shown, expected, done.stdout)


EARLY = ("unknown", "the play ended early")
NOTHING = ("unknown", "no task compared anything")
PART = ("unknown", "only part ran")


class TheEnd(SyncedCase):
    """Who has not seen the end of the play."""

    def test_a_task_for_all_that_fails_ends_the_play_for_all(self):
        once = """
            - {name: Same, SAME}
            - {name: Once, stat: {path: /}, run_once: true, failed_when: true}
            - {name: Other, OTHER}
        """
        seen, done = self.check(once)
        self.assertWords(seen, done, h1="failed", h2=EARLY, h3=EARLY)
        self.assertEqual(done.returncode, 2, done.stdout)
        seen, done = self.check("""
            - name: Block
              block:
                - {name: Same, SAME}
                - {name: Once, stat: {path: /}, run_once: true, failed_when: true}
                - {name: Other, OTHER}
              always:
                - {name: In any case, debug: }
        """)
        self.assertWords(seen, done, h1="failed", h2=EARLY, h3=EARLY)

    def test_the_same_where_the_first_host_is_unreachable(self):
        seen, done = self.check("""
            - {name: Once, ping: , run_once: true}
            - {name: Same, SAME}
        """, variables={"h1": UNREACHABLE})
        self.assertWords(seen, done, h1=("unknown", "unreachable"), h2=EARLY, h3=EARLY)

    def test_a_rescue_for_all_leaves_out_the_rest_of_the_block_for_all(self):
        tasks = """
            - name: Block
              block:
                - {name: Same, SAME}
                - {name: Once, stat: {path: /}, run_once: true, failed_when: true}
                - {name: Other, OTHER}
              rescue:
                - {name: Rescue, debug: }
            - {name: Same again, SAME}
        """
        for extra in ({}, {"GITOPS_STATUS_ACCEPT_IGNORED_ERRORS": "true"}):
            seen, done = self.check(tasks, **extra)
            h1 = seen.pop("h1")
            self.assertEqual(h1[0], "synced" if extra else "unknown", done.stdout)
            # Since 2.17 they are not even rescued.
            self.assertLessEqual(set(seen.values()), {("unknown", "another host's failure took tasks away"), EARLY})
            self.assertEqual(len(seen), 2)

    def test_a_free_strategy(self):
        seen, done = self.check("""
            - {name: Same, SAME}
            - {name: Break, fail: , when: inventory_hostname == "h1"}
            - {name: Same again, SAME}
        """, head="  strategy: free\n")
        self.assertWords(seen, done, h1="failed", h2="synced", h3="synced")

    def test_batches_that_never_came(self):
        seen, done = self.check("""
            - {name: Same, SAME}
            - {name: Break, fail: , when: inventory_hostname == "h2"}
        """, head="  serial: 1\n")
        self.assertWords(seen, done, h1="synced", h2="failed", h3=EARLY)

    def test_a_playbook_that_never_started(self):
        machine = self.machine()
        second = machine.folder / "second.yml"
        second.write_text("- hosts: all\n  gather_facts: false\n  tasks: [ping: ]\n", encoding="utf-8")
        first = """
            - {name: Same, SAME}
            - {name: Break, fail: , when: inventory_hostname == "h1" and broken | default(false)}
        """
        seen, done = self.check(first, "-e", "broken=true", machine=machine, after=[second])
        missing = ("unknown", "a playbook of this run did not start")
        self.assertWords(seen, done, h1="failed", h2=missing, h3=missing)
        self.assertEqual(done.returncode, 2, done.stdout)
        # All of them, and each host is reported once.
        seen, done = self.check(first, machine=machine, after=[second])
        self.assertWords(seen, done, h1="synced", h2="synced", h3="synced")
        self.assertEqual(len(self.receipts(done)), 3, done.stdout)
        # A second playbook that cannot be read.
        second.write_text("- hosts: [\n", encoding="utf-8")
        seen, done = self.check(first, machine=machine, after=[second])
        self.assertWords(seen, done, h1=missing, h2=missing, h3=missing)

    def test_a_host_that_leaves_the_pattern_between_two_batches(self):
        """Ansible parts a play into batches once; what add_host does later changes the pattern, not them."""
        seen, done = self.check("", whole="""
- hosts: all
  gather_facts: false
  tasks: [{name: Same, SAME}]
- hosts: all:!skipped
  gather_facts: false
  serial: 1
  tasks:
    - {name: Skip h3, add_host: {name: h3, groups: skipped}, when: inventory_hostname == "h1"}
    - {name: Break, fail: , when: inventory_hostname == "h2"}
    - {name: Other, OTHER}
""")
        self.assertEqual(seen["h2"][0], "failed", done.stdout)
        self.assertNotIn("skipped/h3 synced", done.stdout)
        self.assertIn("skipped/h3 unknown: the play ended early", done.stdout)

    def test_a_playbook_with_hosts_of_its_own_that_never_started(self):
        machine = self.machine()
        second = machine.folder / "second.yml"
        second.write_text("- hosts: all\n  gather_facts: false\n  tasks: [ping: ]\n", encoding="utf-8")
        seen, done = self.check("", whole="- {hosts: h1, gather_facts: false, tasks: [fail: ]}\n", hosts=("h1", "h2"),
                                machine=machine, after=[second])
        self.assertWords(seen, done, h1="failed", h2=("unknown", "a playbook of this run did not start"))

    def test_an_ad_hoc_command_is_no_playbook(self):
        machine = self.machine()
        (machine.folder / "hosts.ini").write_text("[adhoc]\nh\n", encoding="utf-8")
        done = run(["ansible", "-i", "hosts.ini", *LOCAL, "h", "--check", "-m", "copy",
                    "-a", f"src={machine.files}/rsyslog.conf dest={machine.etc}/rsyslog.conf"], machine.folder,
                   clean_environment(ANSIBLE_CALLBACK_PLUGINS=str(self.plugin_folder), ANSIBLE_LOAD_CALLBACK_PLUGINS="1",
                                     ANSIBLE_CALLBACKS_ENABLED="gitops_status", GITOPS_STATUS_SERVER_URL=self.server.url))
        self.assertEqual((done.returncode, self.statuses("adhoc")), (0, {}), done.stdout)

    def test_plays_that_never_started_have_hosts_as_well(self):
        seen, done = self.check("", whole="""
- hosts: h1
  gather_facts: false
  tasks: [fail: ]
- hosts: h2
  gather_facts: false
  tasks: [{name: Same, SAME}]
""", hosts=("h1", "h2"))
        self.assertWords(seen, done, h1="failed", h2=EARLY)
        # A play that did not start might have been for anybody: earlier plays make groups.
        seen, done = self.check("", whole="""
- hosts: h2
  gather_facts: false
  tasks: [{name: Same, SAME}]
- hosts: h1
  gather_facts: false
  tasks: [fail: ]
- hosts: made_by_an_earlier_play
  gather_facts: false
  tasks: [{name: Same, SAME}]
""", hosts=("h1", "h2"))
        self.assertWords(seen, done, h1="failed", h2=EARLY)

    def test_a_role_that_is_not_there(self):
        for task in ("- {name: Role, include_role: {name: nothing}}",
                     "- {name: Role, include_role: {name: nothing}, when: inventory_hostname == 'h1'}"):
            seen, done = self.check("- {name: Same, SAME}\n" + task)
            self.assertNotEqual(done.returncode, 0, done.stdout)
            self.assertIn(seen["h1"][0], ("failed", "unknown"), done.stdout)
            if "when" not in task:
                self.assertNotIn("synced", [status for status, _ in seen.values()], done.stdout)
        # One that is imported is missed before anybody is known.
        seen, done = self.check("- {name: Same, SAME}\n- {name: Role, import_role: {name: nothing}}")
        self.assertNotIn("synced", [status for status, _ in seen.values()], done.stdout)

    def test_an_include_that_is_missing_for_one_host(self):
        seen, done = self.check("""
            - {name: Same, SAME}
            - {name: Own tasks, include_tasks: "{{ inventory_hostname }}.yml"}
        """, files=[("h2.yml", "- debug: \n"), ("h3.yml", "- debug: \n")])
        self.assertIn(seen.pop("h1")[0], ("failed", "unknown"), done.stdout)
        self.assertWords(seen, done, h2="synced", h3="synced")

    def test_ended_on_purpose(self):
        """What was compared before end_host counts; whoever ended without a comparison was not compared."""
        seen, done = self.check("""
            - {name: Nothing yet, meta: end_host, when: inventory_hostname == "h1"}
            - {name: Same, SAME}
            - {name: Enough, meta: end_host, when: inventory_hostname == "h2"}
            - {name: Same again, SAME}
        """)
        self.assertWords(seen, done, h1=NOTHING, h2="synced", h3="synced")

    def test_ended_by_somebody_else(self):
        """end_play and end_batch look at one host and end the play of all."""
        for meta in ("end_play", "end_batch"):
            seen, done = self.check(f"""
                - {{name: Same, SAME}}
                - {{name: Enough, meta: {meta}, when: inventory_hostname == "h1"}}
                - {{name: Other, OTHER}}
            """)
            self.assertWords(seen, done, h1=EARLY, h2=EARLY, h3=EARLY)
        # One that nobody asked for ends nothing.
        seen, done = self.check("- {name: Same, SAME}\n- {name: Enough, meta: end_play, when: false}\n- {name: Same, SAME}")
        self.assertWords(seen, done, h1="synced", h2="synced", h3="synced")

    def test_unreachable_but_ignored(self):
        seen, done = self.check("""
            - {name: Gone, ping: , ignore_unreachable: true}
            - {name: Same, SAME, when: inventory_hostname != "h1"}
        """, variables={"h1": UNREACHABLE})
        self.assertWords(seen, done, h1=("unknown", "unreachable"), h2="synced", h3="synced")
        seen, done = self.check("""
            - {name: Gone, ping: , when: inventory_hostname == "h1"}
            - {name: All is well, meta: clear_host_errors}
            - {name: Same, SAME, when: inventory_hostname != "h1"}
        """, variables={"h1": UNREACHABLE})
        self.assertWords(seen, done, h1=("unknown", "unreachable"), h2="synced", h3="synced")

    def test_a_failure_that_was_cleared(self):
        seen, done = self.check("""
            - {name: Break, fail: , when: inventory_hostname == "h1"}
            - {name: Same, SAME}
            - {name: All is well, meta: clear_host_errors}
            - {name: Same again, SAME}
        """)
        self.assertIn(seen.pop("h1")[0], ("failed", "unknown"), done.stdout)
        self.assertWords(seen, done, h2="synced", h3="synced")

    def test_a_run_that_breaks(self):
        """No recap comes; what is known is reported at the end of the program."""
        seen, done = self.check("- {name: Same, SAME}\n- {name: Bad, include_tasks: bad.yml}",
                                files=[("bad.yml", "- no_such_module_at_all: {x: 1}\n  copy: \n")])
        self.assertNotEqual(done.returncode, 0)
        self.assertNotIn("synced", [status for status, _ in seen.values()], done.stdout)
        self.assertEqual(len(seen), 3, done.stdout)


class Comparisons(SyncedCase):
    """What is no comparison, and what was talked away."""

    def test_what_only_reads(self):
        for tasks in ("- ping:\n- stat: {path: /}\n- command: ls\n- shell: ls",
                      "- package_facts:\n- slurp: {src: /etc/hostname}\n- find: {paths: /nothing}\n- shell: ls\n- getent: {database: passwd}",
                      "- service_facts:\n- command: {cmd: ls, creates: /}\n- uri: {url: 'http://127.0.0.1:1/'}\n  failed_when: false"):
            seen, done = self.check(tasks, hosts=("h1",))
            self.assertWords(seen, done, h1=NOTHING)

    def test_a_list_of_nothing(self):
        seen, done = self.check("- pip: {name: []}\n- package: {name: []}", hosts=("h1",))
        self.assertWords(seen, done, h1=NOTHING)

    def test_modules_that_nobody_knows(self):
        files = [("library/odd.py", ODD_MODULE), ("library/odd_info.py", ODD_MODULE)]
        odd = "- odd: {result: {changed: false}}"
        seen, done = self.check(odd, hosts=("h1",), files=files)
        self.assertWords(seen, done, h1=NOTHING)
        self.assertIn("GITOPS_STATUS_COMPARING_MODULES): odd", done.stdout)
        seen, done = self.check(odd, hosts=("h1",), files=files, GITOPS_STATUS_COMPARING_MODULES="other,odd")
        self.assertWords(seen, done, h1="synced")
        seen, done = self.check("- odd_info: {result: {changed: false}, state: present}", hosts=("h1",), files=files)
        self.assertWords(seen, done, h1=NOTHING)

    def test_arguments_of_a_loop_count_as_they_are_worked_out(self):
        """Not as they are written: what is left out, or asks, demands nothing."""
        files = [("library/odd.py", ODD_MODULE)]
        for task in ("odd: {result: {changed: false}, state: '{{ item.state }}'}",
                     "odd: {result: {changed: false}, state: '{{ item.nothing | default(omit) }}'}"):
            for more in ("", ", no_log: true"):
                seen, done = self.check(f"- {{name: Loop, {task}, loop: [{{state: gathered}}]{more}}}", hosts=("h1",), files=files)
                self.assertWords(seen, done, h1=NOTHING)
        seen, done = self.check("- {name: Loop, odd: {result: {changed: false}, state: '{{ item }}'}, loop: [present]}",
                                hosts=("h1",), files=files)
        self.assertWords(seen, done, h1="synced")

    def test_what_is_only_a_default_demands_nothing(self):
        module = ("from ansible.module_utils.basic import AnsibleModule\n"
                  "m = AnsibleModule({'state': {'default': 'present'}}, supports_check_mode=True)\nm.exit_json(changed=False)\n")
        seen, done = self.check("- thing:", hosts=("h1",), files=[("library/thing.py", module)])
        self.assertWords(seen, done, h1=NOTHING)
        seen, done = self.check("- thing: {state: present}", hosts=("h1",), files=[("library/thing.py", module)])
        self.assertWords(seen, done, h1="synced")

    def test_loops_have_fields_of_their_own(self):
        """Delegation and check mode are worked out for each item."""
        seen, done = self.check("""
            - {name: Not delegated, copy: {src: "FILES/{{ item }}", dest: "ETC/{{ item }}", mode: "0644"}, loop: [rsyslog.conf],
               delegate_to: "{{ jump | default(omit) }}"}
        """, hosts=("h1",))
        self.assertWords(seen, done, h1="synced")
        seen, done = self.check("""
            - {name: Same, SAME}
            - {name: Really written, copy: {content: x, dest: "ETC/{{ item }}"}, loop: [new], check_mode: "{{ false }}"}
        """, hosts=("h1",))
        self.assertWords(seen, done, h1="synced")

    def test_a_failure_that_was_talked_away(self):
        line = "lineinfile: {path: ETC/absent, line: x}"
        for talk in ("false", "'\"permission\" in result.msg'"):
            seen, done = self.check(f"- {{name: Line, {line}, register: result, failed_when: {talk}}}", hosts=("h1",))
            self.assertWords(seen, done, h1=("unknown", "a failure may be hidden: Line"))
        seen, done = self.check(f"- {{name: Same, SAME}}\n- {{name: Line, {line}, failed_when: false, no_log: true}}",
                                hosts=("h1",))
        self.assertWords(seen, done, h1=("unknown", "a failure may be hidden: Line"))
        seen, done = self.check(
            "- {name: Line, lineinfile: {path: 'ETC/{{ item }}', line: x}, failed_when: false, loop: [absent, gone]}",
            hosts=("h1",))
        self.assertWords(seen, done, h1=("unknown", "a failure may be hidden: Line"))
        # So is one of a module that nobody knows; one that only reads may fail.
        odd = "odd: {result: {changed: false, failed: true, msg: cannot read}}"
        files = [("library/odd.py", ODD_MODULE)]
        seen, done = self.check(f"- {{name: Same, SAME}}\n- {{name: Odd, {odd}, failed_when: false}}", hosts=("h1",), files=files)
        self.assertWords(seen, done, h1=("unknown", "a failure may be hidden: Odd"))
        seen, done = self.check("- {name: Same, SAME}\n- {name: Ask, uri: {url: 'http://127.0.0.1:1/'}, failed_when: false}",
                                hosts=("h1",))
        self.assertWords(seen, done, h1="synced")
        # It did not fail, and says so.
        seen, done = self.check("- {name: Same, SAME, failed_when: false}", hosts=("h1",))
        self.assertWords(seen, done, h1="synced")

    def test_a_change_that_was_talked_away_is_no_evidence(self):
        seen, done = self.check("- {name: Other, OTHER, changed_when: false}", hosts=("h1",))
        self.assertWords(seen, done, h1=NOTHING)

    def test_what_looks_at_another_host(self):
        tasks = "- {name: Same, SAME, delegate_to: h2, run_once: true}\n"
        seen, done = self.check(tasks, hosts=("h1", "h2"))
        self.assertWords(seen, done, h1=NOTHING, h2=NOTHING)
        seen, done = self.check(tasks, hosts=("h1", "h2"), GITOPS_STATUS_ACCEPT_DELEGATED="true")
        self.assertWords(seen, done, h1="synced", h2=NOTHING)
        far = "ansible_host=127.0.0.1 ansible_port=1"
        for task in ("connection: local", "vars: {ansible_connection: local}", "connection: ansible.builtin.local"):
            seen, done = self.check(f"- {{name: Same, SAME, {task}}}", hosts=("h1",), variables={"h1": far})
            self.assertWords(seen, done, h1=NOTHING)
        seen, done = self.check("- {name: Same, SAME}", hosts=("h1",), variables={"h1": far}, head="  connection: local\n")
        self.assertWords(seen, done, h1="synced")
        seen, done = self.check("- {name: Same, SAME, delegate_to: '{{ inventory_hostname }}'}", hosts=("h1",))
        self.assertWords(seen, done, h1="synced")

    def test_once_for_all_is_evidence_for_one(self):
        seen, done = self.check("- {name: Same, SAME, run_once: true}")
        self.assertWords(seen, done, h1="synced", h2=NOTHING, h3=NOTHING)

    def test_chosen_tasks(self):
        tasks = "- {name: Same, SAME, tags: [x]}\n- {name: Other, OTHER, tags: [y], when: other is defined}"
        for arguments in (("--tags", "x"), ("--skip-tags", "y"), ("--start-at-task", "Same")):
            seen, done = self.check(tasks, *arguments, hosts=("h1",))
            self.assertWords(seen, done, h1=PART)
            self.assertEqual(done.returncode, 0, done.stdout)
        seen, done = self.check(tasks, "--tags", "x", hosts=("h1",), GITOPS_STATUS_PARTIAL="true")
        self.assertWords(seen, done, h1="synced")
        seen, done = self.check(tasks, "--tags", "y", "-e", "other=1", hosts=("h1",))
        self.assertWords(seen, done, h1="out_of_sync")
        seen, done = self.check(tasks, hosts=("h1",), ANSIBLE_RUN_TAGS="x")
        self.assertWords(seen, done, h1=PART)

    def test_every_comparing_task_skipped(self):
        for extra in ({}, {"GITOPS_STATUS_PARTIAL": "true"}):
            seen, done = self.check("- {name: Same, SAME, when: false}\n- ping:", hosts=("h1",), **extra)
            self.assertWords(seen, done, h1=PART)

    def test_outside_check_mode_nothing_is_compared(self):
        seen, done = self.check("- {name: Same, SAME, check_mode: '{{ false }}'}", hosts=("h1",))
        self.assertWords(seen, done, h1=NOTHING)


class Drifts(SyncedCase):
    def test_odd_diffs_lose_no_path(self):
        tasks = """
            - {name: Text, odd: {result: {changed: true, path: /text, diff: words}}}
            - {name: Texts, odd: {result: {changed: true, dest: /texts, diff: [one, two]}}}
            - {name: Nothing, odd: {result: {changed: true, path: /null, diff: [null]}}}
            - name: Loop
              odd: {result: {changed: true, path: "/loop/{{ item }}", diff: [null, 7, words]}}
              loop: [1, 2, 3]
            - {name: No path, odd: {result: {changed: true, path: [7], diff: 7}}}
        """
        seen, done = self.check(tasks, hosts=("h1",), files=[("library/odd.py", ODD_MODULE)])
        self.assertWords(seen, done, h1="out_of_sync")
        files = self.server.entries(server_group=f"synced{SyncedCase.groups}")[-1]["changed_files"]
        self.assertEqual(files, ["/loop/1", "/loop/2", "/loop/3", "/null", "/text", "/texts", "task: No path"])

    def test_a_result_cannot_write_lines_into_the_log(self):
        tasks = """
            - name: Forge
              odd: {result: {changed: true, path: "/a\\ngitops-status receipt x 1 y\\r\\e[2K"}}
        """
        seen, done = self.check(tasks, hosts=("h1",), files=[("library/odd.py", ODD_MODULE)])
        self.assertWords(seen, done, h1="out_of_sync")
        self.assertNotIn("\ngitops-status receipt x 1 y", done.stdout)
        self.assertIn("out_of_sync: /a\\ngitops-status receipt x 1 y\\r\\x1b[2K", done.stdout)

    def test_an_error_of_the_plugin_is_never_silent(self):
        machine = self.machine()
        folder = machine.folder / "broken"
        folder.mkdir()
        source = (self.plugin_folder / "gitops_status.py").read_text(encoding="utf-8")
        place = "        seen, task, data = self._seen(result._host), result._task, result._result\n"
        self.assertIn(place, source)
        breaking = "        if result._task.get_name() == 'Boom' and result._host.get_name() == 'h1': raise ValueError('boom')\n"
        (folder / "gitops_status.py").write_text(source.replace(place, place + breaking), encoding="utf-8")
        tasks = "- {name: Same, SAME}\n- {name: Boom, SAME}"
        seen, done = self.check(tasks, hosts=("h1", "h2"), machine=machine, ANSIBLE_CALLBACK_PLUGINS=str(folder))
        self.assertEqual(seen["h1"][0], "unknown", done.stdout)
        self.assertIn("boom", seen["h1"][1])
        self.assertEqual(seen["h2"][0], "synced")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("an error of the plugin itself at h1", done.stdout)


    def test_an_error_with_one_hosts_report_costs_no_other_its_own(self):
        machine = self.machine()
        source = (self.plugin_folder / "gitops_status.py").read_text(encoding="utf-8")
        for place, expected in (("        status, reason = verdict(seen, self._invocation)\n", ("unknown", "the plugin failed")),
                                ("                progress = self._progress(name, batches)\n", None)):
            self.assertIn(place, source)
            indent = place[:len(place) - len(place.lstrip())]
            name = "host.get_name()" if expected else "name"
            folder = machine.folder / f"broken{len(indent)}"
            folder.mkdir()
            (folder / "gitops_status.py").write_text(source.replace(
                place, f"{indent}if {name} == 'h1': raise ValueError('boom')\n{place}"), encoding="utf-8")
            seen, done = self.check("- {name: Same, SAME}", hosts=("h1", "h2"), machine=machine,
                                    ANSIBLE_CALLBACK_PLUGINS=str(folder))
            self.assertWords(seen, done, h2="synced", h1=expected or "unknown")
            self.assertEqual(done.returncode, 1, done.stdout)
            self.assertIn("boom", done.stdout)


class Hosts(SyncedCase):
    def test_names_that_the_server_reads_as_one(self):
        variables = {"h2": "ansible_connection=local gitops_host='h1 '"}
        seen, done = self.check("- {name: Other, OTHER, when: inventory_hostname == 'h1'}\n- {name: Same, SAME}",
                                hosts=("h1", "h2"), variables=variables)
        self.assertWords(seen, done, h1="out_of_sync")

    def test_bytes_that_are_no_text_in_a_name_cost_nobody_else_the_report(self):
        seen, done = self.check("- {name: Same, SAME}", hosts=("h1", "h\udcff"))
        self.assertWords(seen, done, **{"h1": "synced", "h\ufffd": "synced"})

    def test_failed_and_unreachable_hosts_of_a_play_in_check_mode_are_reported(self):
        seen, done = self.check("""
            - {name: Same, SAME}
            - {name: Break, file: {path: ETC/absent, state: file}, when: inventory_hostname == "h2"}
        """, head="  check_mode: true\n", check=False, variables={"h3": UNREACHABLE}, GITOPS_STATUS_ONLY_CHECK_RUNS="false")
        self.assertWords(seen, done, h1="synced", h2="failed", h3="unknown")

    def test_a_name_that_cannot_be_worked_out(self):
        variables = {"h1": 'ansible_connection=local gitops_host="{{ ansible_fqdn }}"',
                     "h2": 'ansible_connection=local gitops_host="{{ inventory_hostname }}.example"'}
        seen, done = self.check("- {name: Same, SAME}", variables=variables)
        self.assertWords(seen, done, **{"h1": "synced", "h2.example": "synced", "h3": "synced"})
        self.assertIn("h1 is reported under its inventory name: gitops_host cannot be worked out", done.stdout)
        self.assertEqual(done.returncode, 1, done.stdout)
        seen, done = self.check("- {name: Same, SAME}", variables=variables, GITOPS_STATUS_FATAL="false")
        self.assertEqual((len(seen), done.returncode), (3, 0), done.stdout)

    def test_two_hosts_under_one_name(self):
        variables = {host: "ansible_connection=local gitops_host=same" for host in ("h1", "h2")}
        seen, done = self.check("- {name: Same, SAME}\n- {name: Other, OTHER, when: inventory_hostname == 'h1'}",
                                hosts=("h1", "h2"), variables=variables)
        self.assertWords(seen, done, same="out_of_sync")
        self.assertIn("have the same gitops_host", done.stdout)

    def test_only_localhost_is_left_out(self):
        seen, done = self.check("", hosts=("h1", "h2"), whole="""
- hosts: localhost
  connection: local
  gather_facts: false
  tasks: [{name: Same, SAME}]
- hosts: h1
  gather_facts: false
  tasks: [{name: Same, SAME}]
- hosts: h2
  gather_facts: false
  tasks: [ping: ]
""")
        self.assertWords(seen, done, h1="synced", h2=NOTHING)
        self.assertIn("localhost is left out", done.stdout)
        self.assertNotIn("ungrouped/localhost", done.stdout)


class Spooled(SyncedCase):
    """Reports that were not taken."""

    def test_they_are_sent_first_by_the_next_run(self):
        machine = self.machine()
        spool = machine.folder / "spool"
        dead = self.stub(PROBLEM_503)
        settings = {"machine": machine, "hosts": ("h1",), "GITOPS_STATUS_SPOOL": str(spool)}
        seen, done = self.check("- {name: Other, OTHER}", url=dead.url, **settings)
        self.assertEqual((seen, done.returncode), ({}, 1), done.stdout)
        self.assertIn(f"1 report(s) wait in {spool}", done.stdout)
        self.assertEqual(spool.stat().st_mode & 0o777, 0o600)
        spooled = f"synced{SyncedCase.groups}"
        seen, done = self.check("- {name: Same, SAME}", **settings)
        self.assertWords(seen, done, h1="synced")
        self.assertEqual(done.returncode, 0, done.stdout)
        entry = self.server.entries(server_group=spooled)[0]
        self.assertEqual(entry["status"], "out_of_sync")
        self.assertEqual(len({request[2]["Idempotency-Key"] for request in dead.requests}), 1)
        self.assertEqual(len(self.receipts(done)), 2)
        self.assertFalse(spool.exists())

    def test_the_same_report_is_stored_once_even_if_its_answer_was_lost(self):
        machine = self.machine()
        spool = machine.folder / "spool"
        settings = {"machine": machine, "hosts": ("h1",), "GITOPS_STATUS_SPOOL": str(spool)}
        lost = self.stub((None, {}, ""))
        self.check("- {name: Same, SAME}", url=lost.url, **settings)
        group = f"synced{SyncedCase.groups}"
        _, _, headers, body = lost.requests[0]
        self.post("/status/cron?create=true", body, {"Idempotency-Key": headers["Idempotency-Key"]})
        self.check("- {name: Same, SAME}", **settings)
        self.assertEqual(len(self.server.entries(server_group=group)), 1)

    def test_what_is_refused_for_good_fails_one_run_and_blocks_nothing(self):
        machine = self.machine()
        spool = machine.folder / "spool"
        settings = {"machine": machine, "GITOPS_STATUS_SPOOL": str(spool)}
        dead = self.stub(PROBLEM_503)
        self.check("- {name: Same, SAME}", url=dead.url, hosts=("h1", "h2"), **settings,
                   variables={"h1": "ansible_connection=local gitops_host=" + "x" * 300})
        group = f"synced{SyncedCase.groups}"
        seen, done = self.check("- {name: Same, SAME}", hosts=("h1",), **settings)
        self.assertWords(seen, done, h1="synced")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertRegex(done.stdout, r"NOT delivered: HTTP 400: .*x{300} host: ")
        self.assertEqual(self.statuses(group), {"h2": "synced"})
        refused = machine.folder / "spool.refused"
        self.assertIn("x" * 300, refused.read_text(encoding="utf-8"))
        self.assertNotIn('"h2"', refused.read_text(encoding="utf-8"))
        self.assertEqual((refused.stat().st_mode & 0o777, spool.exists()), (0o600, False))
        seen, done = self.check("- {name: Same, SAME}", hosts=("h1",), **settings)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_a_spool_that_cannot_be_used(self):
        machine = self.machine()
        seen, done = self.check("- {name: Same, SAME}", hosts=("h1",), machine=machine,
                                GITOPS_STATUS_SPOOL=str(machine.folder / "nowhere" / "spool"))
        self.assertWords(seen, done, h1="synced")
        self.assertEqual(done.returncode, 1, done.stdout)
        self.assertIn("the spool cannot be used", done.stdout)
