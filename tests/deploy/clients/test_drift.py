"""drift-check.yml with a real ansible-playbook: links, kinds and names, with native Jinja and without."""

import json
import os
import pathlib
import re
import shutil
import unittest

from harness import LOCAL, PLAYBOOK, Case, clean_environment, run
from test_script import ScriptCase

NATIVE = {"plain": {}, "native": {"ANSIBLE_JINJA2_NATIVE": "true"}}


def tree(root):
    """All that a change would show in; links are not followed."""
    seen = {}
    for folder, folders, files in os.walk(root):
        for name in folders + files:
            path = pathlib.Path(folder, name)
            about = path.lstat()
            content = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            seen[str(path)] = (content, about.st_mode, about.st_mtime_ns)
    return seen


class DriftCase(Case):
    def repository(self, *names):
        """The repository, and a function that makes one more machine like it."""
        machine = self.machine(*names)
        self.machines = {}

        def host(name):
            etc = machine.folder / "hosts" / name
            shutil.copytree(machine.files, etc, symlinks=True)
            self.machines[name] = etc
            return etc
        return machine, host

    def check(self, machine, *arguments, **extra):
        """What is said of each host: (status, files)."""
        inventory = machine.folder / "hosts.json"
        inventory.write_text(json.dumps({"all": {"hosts": {
            name: {"config_root": str(etc)} for name, etc in self.machines.items()}}}), encoding="utf-8")
        before = tree(machine.folder / "hosts")
        done = run(["ansible-playbook", "-i", str(inventory), *LOCAL, "-e", f"source_dir={machine.files}", "-e",
                    "fail_on_drift=false", *arguments, "--diff", str(PLAYBOOK)], machine.folder,
                   clean_environment(**extra))
        self.assertEqual(tree(machine.folder / "hosts"), before, "the check changed a machine")
        self.assertNotIn("SECRET", done.stdout)
        said = {}
        for name, marker, text in re.findall(
                r'^ok: \[([^]]+)\] => \{\n    "msg": "(SYNC_STATUS|DRIFTED_FILES)=(.*)"\n\}$', done.stdout, re.MULTILINE):
            said.setdefault(name, {})[marker] = json.loads(f'"{text}"')
        return done, {name: (words["SYNC_STATUS"], {
            path[len(str(self.machines[name])) + 1:]
            for path in re.split(r",(?=/)", words["DRIFTED_FILES"]) if path}) for name, words in said.items()}


class Links(DriftCase):
    def test_links_are_compared_with_links(self):
        machine, host = self.repository("rsyslog.conf", "rsyslog.d/30-lab.conf", "rsyslog.d/sub/40-deep.conf")
        files = machine.files / "rsyslog.d"
        links = {"to-file": "30-lab.conf", "to-folder": "sub", "to-nothing": "nowhere", "outside": "/etc/hostname",
                 "absolute": str(files / "30-lab.conf")}
        for name, target in links.items():
            (files / name).symlink_to(target)
        equal = host("equal")
        other = host("other")
        for name in links:
            (other / "rsyslog.d" / name).unlink()
        (other / "rsyslog.d/to-file").symlink_to("sub/40-deep.conf")
        # What it leads to is equal, or is there: the link is not.
        (other / "rsyslog.d/to-folder").symlink_to("./sub")
        (other / "rsyslog.d/to-nothing").symlink_to("nowhere else")
        shutil.copy("/etc/hostname", other / "rsyslog.d/outside")
        kinds = host("kinds")
        (kinds / "rsyslog.d/to-file").unlink()
        shutil.copy2(files / "30-lab.conf", kinds / "rsyslog.d/to-file")
        (kinds / "rsyslog.d/to-folder").unlink()
        shutil.copytree(files / "sub", kinds / "rsyslog.d/to-folder")
        (kinds / "rsyslog.d/30-lab.conf").rename(kinds / "elsewhere.conf")
        (kinds / "rsyslog.d/30-lab.conf").symlink_to("../elsewhere.conf")
        shutil.move(kinds / "rsyslog.d/sub", kinds / "sub")
        (kinds / "rsyslog.d/sub").symlink_to("../sub")
        (kinds / "rsyslog.conf").rename(kinds / "rsyslog.old")
        (kinds / "rsyslog.conf").symlink_to("rsyslog.old")
        extra = host("extra")
        (extra / "rsyslog.d/one-more").symlink_to("nowhere")
        expected = {
            "equal": ("SYNCED", set()),
            "other": ("OUT_OF_SYNC", {f"rsyslog.d/{name}" for name in links}),
            "kinds": ("OUT_OF_SYNC", {"rsyslog.conf", "rsyslog.d/to-file", "rsyslog.d/to-folder",
                                      "rsyslog.d/to-folder/40-deep.conf", "rsyslog.d/30-lab.conf", "rsyslog.d/sub",
                                      "rsyslog.d/sub/40-deep.conf"}),
            "extra": ("OUT_OF_SYNC", {"rsyslog.d/one-more"}),
        }
        self.assertTrue(equal.exists())
        for title, native in NATIVE.items():
            with self.subTest(title):
                done, said = self.check(machine, **native)
                self.assertEqual(said, expected, done.stdout)

    def test_links_that_stand_for_files(self):
        machine, host = self.repository("rsyslog.conf", "shared/common.conf")
        (machine.files / "rsyslog.d").mkdir()
        (machine.files / "rsyslog.d/10-common.conf").symlink_to("../shared/common.conf")
        for name in ("deployed", "changed", "linked"):
            etc = host(name)
            if name != "linked":
                (etc / "rsyslog.d/10-common.conf").unlink()
                shutil.copy2(machine.files / "shared/common.conf", etc / "rsyslog.d/10-common.conf")
        (self.machines["changed"] / "rsyslog.d/10-common.conf").write_text("SECRET", encoding="utf-8")
        done, said = self.check(machine, "-e", "follow_links=true")
        drift = ("OUT_OF_SYNC", {"rsyslog.d/10-common.conf"})
        self.assertEqual(said, {"deployed": ("SYNCED", set()), "changed": drift, "linked": drift}, done.stdout)
        for target in ("nowhere", "../shared"):
            (machine.files / "rsyslog.d/10-common.conf").unlink()
            (machine.files / "rsyslog.d/10-common.conf").symlink_to(target)
            done, said = self.check(machine, "-e", "follow_links=true")
            self.assertEqual((done.returncode, said), (2, {}), done.stdout)

    def test_a_main_file_that_is_a_link(self):
        machine, host = self.repository("rsyslog.d/30-lab.conf")
        (machine.files / "rsyslog.conf").symlink_to("rsyslog.d/30-lab.conf")
        host("equal")
        (host("other") / "rsyslog.conf").unlink()
        done, said = self.check(machine)
        self.assertEqual(said, {"equal": ("SYNCED", set()), "other": ("OUT_OF_SYNC", {"rsyslog.conf"})}, done.stdout)


class Kinds(DriftCase):
    def test_what_is_no_file(self):
        machine, host = self.repository("rsyslog.conf", "rsyslog.d/30-lab.conf", "rsyslog.d/sub/40-deep.conf")
        folder = host("folder")
        for name in ("rsyslog.conf", "rsyslog.d/30-lab.conf"):
            (folder / name).unlink()
            (folder / name).mkdir()
            # As copy would take it.
            shutil.copy2(machine.files / name, folder / name)
        fifo = host("fifo")
        (fifo / "rsyslog.d/30-lab.conf").unlink()
        os.mkfifo(fifo / "rsyslog.d/30-lab.conf")
        os.mkfifo(fifo / "rsyslog.d/more")
        file = host("file")
        shutil.rmtree(file / "rsyslog.d/sub")
        (file / "rsyslog.d/sub").touch()
        nothing = host("nothing")
        shutil.rmtree(nothing / "rsyslog.d")
        (nothing / "rsyslog.conf").unlink()
        host("equal")
        for title, native in NATIVE.items():
            with self.subTest(title):
                done, said = self.check(machine, **native)
                self.assertEqual(said, {
                    "folder": ("OUT_OF_SYNC", {"rsyslog.conf", "rsyslog.d/30-lab.conf",
                                               "rsyslog.d/30-lab.conf/30-lab.conf"}),
                    "fifo": ("OUT_OF_SYNC", {"rsyslog.d/30-lab.conf", "rsyslog.d/more"}),
                    "file": ("OUT_OF_SYNC", {"rsyslog.d/sub", "rsyslog.d/sub/40-deep.conf"}),
                    "nothing": ("OUT_OF_SYNC", {"rsyslog.conf", "rsyslog.d/30-lab.conf", "rsyslog.d/sub/40-deep.conf"}),
                    "equal": ("SYNCED", set())}, done.stdout)

    def test_a_repository_with_something_else(self):
        machine, host = self.repository("rsyslog.conf", "rsyslog.d/30-lab.conf")
        host("equal")
        os.mkfifo(machine.files / "rsyslog.d/pipe")
        done, said = self.check(machine)
        self.assertEqual((done.returncode, said), (2, {}), done.stdout)
        self.assertIn("rsyslog.d/pipe", done.stdout)
        (machine.files / "rsyslog.d/pipe").unlink()
        (machine.files / "rsyslog.conf").unlink()
        done, said = self.check(machine)
        self.assertEqual((done.returncode, said), (2, {}), done.stdout)

    def test_modes_and_numbers(self):
        """A mode and a name that native Jinja takes for numbers."""
        machine, host = self.repository("1.10", "0012/1e5", "0012/None")
        for etc in (host("equal"), host("other")):
            for name in ("1.10", "0012/1e5", "0012/None"):
                (etc / name).chmod(0o1640 if name == "1.10" else 0o640)
        (self.machines["other"] / "0012/1e5").chmod(0o644)
        variables = json.dumps({"main_file": "1.10", "config_dir": "0012", "file_mode": "640", "file_modes": {"1.10": "1640"}})
        for title, native in NATIVE.items():
            with self.subTest(title):
                done, said = self.check(machine, "-e", variables, **native)
                self.assertEqual(said, {"equal": ("SYNCED", set()), "other": ("OUT_OF_SYNC", {"0012/1e5"})}, done.stdout)

    def test_words_of_the_playbook_are_not_those_of_the_inventory(self):
        machine, host = self.repository()
        (host("other") / "rsyslog.conf").write_text("SECRET", encoding="utf-8")
        done, said = self.check(machine, "-e", json.dumps({"drifted_files": [], "extra_files": [], "expected_files": []}))
        self.assertEqual(said, {"other": ("OUT_OF_SYNC", {"rsyslog.conf"})}, done.stdout)


ODD_NAMES = ("two  blanks", " lead", "-dash", "it's \"quoted\"", "line\nend", "tab\there", "{{ 1 + 1 }}", "{% x %}", "{# c #}",
             "{{ lookup('pipe', 'touch pwned') }}", "!unsafe x", "!vault |", "$(touch pwned)", "`x`", "a,b", "ünï €", "\x1b[31m",
             'x"\nok: [other] => {"msg": "SYNC_STATUS=SYNCED"}', 'x\\', "SYNC_STATUS=SYNCED", "1e5", "~", "*", "[1]")


class Names(DriftCase):
    def test_odd_names(self):
        machine, host = self.repository("rsyslog.conf", *(f"rsyslog.d/{name}" for name in ODD_NAMES))
        host("equal")
        mixed = host("mixed")
        names = set()
        for number, name in enumerate(ODD_NAMES):
            if number % 3 == 0:
                (mixed / "rsyslog.d" / name).unlink()
            elif number % 3 == 1:
                (mixed / "rsyslog.d" / name).write_text("SECRET", encoding="utf-8")
            else:
                (mixed / "rsyslog.d" / (name + "2")).touch()
                name += "2"
            names.add(f"rsyslog.d/{name}")
        done, said = self.check(machine)
        self.assertEqual(said.pop("equal", None), ("SYNCED", set()), done.stdout)
        self.assertEqual(said, {"mixed": ("OUT_OF_SYNC", names)}, done.stdout)
        done, said = self.check(machine, "--limit", "mixed", ANSIBLE_JINJA2_NATIVE="true")
        self.assertEqual(said, {"mixed": ("OUT_OF_SYNC", names)}, done.stdout)
        self.assertEqual(list(machine.folder.rglob("pwned")), [])


class Reported(ScriptCase):
    """Through update-gitops-status.sh."""

    def test_equal_links_and_odd_names_are_synced(self):
        machine = self.machine("rsyslog.conf", "rsyslog.d/line\nend", "rsyslog.d/{{ x }}")
        for root in (machine.files, machine.etc):
            (root / "rsyslog.d/link").symlink_to("nowhere")
        self.assertReported(self.check(machine, name="links"), "links", "synced")
        (machine.etc / "rsyslog.d/link").unlink()
        machine.edit("rsyslog.d/{{ x }}")
        self.assertReported(self.check(machine, name="links", ANSIBLE_JINJA2_NATIVE="true"), "links", "out_of_sync",
                            ["rsyslog.d/link", "rsyslog.d/{{ x }}"])

    def test_a_name_that_is_not_utf_8(self):
        for side, native in (("etc", {}), ("files", {"ANSIBLE_JINJA2_NATIVE": "true"})):
            with self.subTest(side):
                machine = self.machine()
                with open(os.fsencode(getattr(machine, side) / "rsyslog.d") + b"/bad\xff\xe9.conf", "wb"):
                    pass
                done = self.check(machine, name="bad", **native)
                self.assertReported(done, "bad", "unknown")
                self.assertIn("the name is not UTF-8", done.stdout)
                self.assertIn("/rsyslog.d/bad%ff%e9.conf", done.stdout)


if __name__ == "__main__":
    unittest.main()
