#!/usr/bin/env python3
"""Checks the Helm chart. Needs a Python with what requirements.txt names, and no cluster.

    python tests/deploy/helm/check.py                    everything but the server itself
    python tests/deploy/helm/check.py --server BINARY    also starts the server as the chart would
    python tests/deploy/helm/check.py --bless            writes the golden files anew
    python tests/deploy/helm/check.py --without-copies   where scripts/sync-chart has nothing to copy yet
"""

import argparse
import os
import pathlib
import sys
import unittest


def main():
    parser = argparse.ArgumentParser(description="Checks the Helm chart.")
    parser.add_argument("--bless", action="store_true", help="write the golden files anew")
    parser.add_argument("--server", metavar="BINARY", help="the server to start as the chart would")
    parser.add_argument(
        "--without-copies", action="store_true", help="do not ask for the chart's rules and dashboards"
    )
    parser.add_argument("-v", "--verbose", action="store_true")
    arguments = parser.parse_args()
    if arguments.bless:
        os.environ["CHART_BLESS"] = "1"
    if arguments.server:
        server = pathlib.Path(arguments.server).resolve()
        if not os.access(server, os.X_OK):
            parser.error(f"{arguments.server} cannot be run")
        os.environ["CHART_SERVER"] = str(server)
    if arguments.without_copies:
        os.environ["CHART_WITHOUT_COPIES"] = "1"
    here = pathlib.Path(__file__).resolve().parent
    sys.dont_write_bytecode = True
    suite = unittest.defaultTestLoader.discover(str(here), top_level_dir=str(here))
    result = unittest.TextTestRunner(verbosity=2 if arguments.verbose else 1).run(suite)
    for test, reason in result.skipped:
        print(f"NOT CHECKED: {test.id()}: {reason}")
    sys.exit(0 if result.wasSuccessful() and result.testsRun else 1)


if __name__ == "__main__":
    main()
