#!/usr/bin/env python3
"""Tries the pipeline clients of deploy/clients against a real server and a real Ansible.

    tests/deploy/clients/run.py SERVER_BINARY VENV_BIN_DIR [TEST...]

VENV_BIN_DIR is the bin folder of a virtual environment with ansible-core; the script matrix makes some and runs this
for each. Also needed: curl, sh, bash. TEST names a part of the whole: test_script, test_plugin.Verdicts, … Nothing outside temporary folders
is touched; all servers listen on 127.0.0.1.
"""

import os
import pathlib
import sys
import unittest

import harness

MODULES = ("test_script", "test_drift", "test_pipeline", "test_evidence", "test_plugin", "test_synced", "test_terragrunt")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    harness.SERVER_BINARY = os.path.abspath(sys.argv[1])
    harness.VENV_BIN = os.path.abspath(sys.argv[2])
    for needed in (pathlib.Path(harness.SERVER_BINARY), pathlib.Path(harness.VENV_BIN) / "ansible-playbook"):
        if not needed.is_file():
            sys.exit(f"run.py: there is no {needed}")
    suite = unittest.defaultTestLoader.loadTestsFromNames(sys.argv[3:] or MODULES)
    result = unittest.TextTestRunner(verbosity=2, durations=None).run(suite) if sys.version_info >= (3, 12) else \
        unittest.TextTestRunner(verbosity=2).run(suite)
    sys.exit(not result.wasSuccessful())


if __name__ == "__main__":
    main()
