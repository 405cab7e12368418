"""The callback plugin's own logic: what is evidence, and what follows from it. Plain values, no playbook.

The tables run in the Python of the virtual environment, since the plugin imports Ansible.
"""

import os
import pathlib
import sys
import unittest

import harness


class Tables(unittest.TestCase):
    def test_the_tables_hold(self):
        tables = pathlib.Path(__file__).with_name("evidence_tables.py")
        done = harness.run([os.path.join(harness.VENV_BIN, "python"), str(tables)], tables.parent,
                           harness.clean_environment())
        sys.stderr.write(done.stdout.splitlines()[-1] + "\n")
        self.assertEqual(done.returncode, 0, done.stdout)
