"""Checks what scripts/sbom prints: against the schema, and against what cargo links.

usage: python tests/deploy/sbom/check.py   (needs cyclonedx-python-lib)
"""

import json
import subprocess
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

REPOSITORY = Path(__file__).resolve().parents[3]
# In the binary, but not crates.
NO_CRATES = {"sqlite", "jemalloc", "swagger-ui"}


def output(*command: str) -> str:
    return subprocess.run(
        command, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def linked() -> set[tuple[str, str]]:
    """Crates of the binary as cargo tree says, without those that run only while compiling."""
    lines = output(
        "cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none",
        "--target", "x86_64-unknown-linux-gnu", "--format", "{p}",
    ).splitlines()
    crates = {tuple(line.split()[:2]) for line in lines if line}
    return {(name, version.removeprefix("v")) for name, version in crates}


def main() -> None:
    text = output("scripts/sbom")
    wrong = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    if wrong is not None:
        raise SystemExit(f"the bill of materials does not fit CycloneDX 1.5: {wrong}")
    if str(REPOSITORY) in text or "file://" in text:
        raise SystemExit("the bill of materials names a folder of this machine")
    if text != output("scripts/sbom"):
        raise SystemExit("the bill of materials is another one the second time")
    bill = json.loads(text)
    parts = {(part["name"], part["version"]) for part in bill["components"]}
    missing = linked() - parts - {("gitops-status-server", bill["metadata"]["component"]["version"])}
    if missing:
        raise SystemExit(f"the bill of materials lacks {sorted(missing)}")
    if not NO_CRATES <= {name for name, _ in parts}:
        raise SystemExit(f"the bill of materials lacks one of {sorted(NO_CRATES)}")
    references = {part["bom-ref"] for part in bill["components"]}
    for dependency in bill["dependencies"]:
        strangers = set(dependency.get("dependsOn", [])) - references
        if strangers:
            raise SystemExit(f"{dependency['ref']} depends on unlisted {sorted(strangers)}")
    unlicensed = [part["name"] for part in bill["components"] if not part.get("licenses")]
    if unlicensed:
        raise SystemExit(f"no licence is named for {unlicensed}")
    print(f"   {len(parts)} components")


if __name__ == "__main__":
    main()
