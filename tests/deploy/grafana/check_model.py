#!/usr/bin/env python3
"""Reads every dashboard with Grafana's own model of it, and compares what comes out.

What the model does not know is lost on the way: a misspelt key, a wrong type, an option of another
panel. Needs the package grafana-foundation-sdk==1769699379!11.6.0 (that epoch, else pip takes the
line for Grafana 10.1). What an Infinity target may hold is checked by infinity.py.
"""
import copy
import json
import sys

import static
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard


def lost(before, after, path=""):
    """The places where the second lacks something of the first."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            if key not in after:
                yield f"{path}.{key}"
            # The model knows annotations of Grafana's own data source only; infinity.py knows this target.
            elif not (key == "target" and path.startswith(".annotations")):
                yield from lost(value, after[key], f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for at, (one, other) in enumerate(zip(before, after)):
            yield from lost(one, other, f"{path}[{at}]")
    elif before != after:
        yield path


def problems(dashboard):
    try:
        read = Dashboard.from_json(copy.deepcopy(dashboard))
        found = list(lost(dashboard, json.loads(JSONEncoder().encode(read))))
        # Transformations and the properties of overrides pass through the model unread.
        return found + [f": {problem}" for problem in static.unread_problems(dashboard)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return [f"cannot be read: {error!r}"]


def renamed(place, key, wrong):
    place[wrong] = place.pop(key)


# Each of these must be found, or this check checks nothing.
MUTATIONS = {
    "a key of a panel": lambda d: renamed(d["panels"][0], "description", "descripton"),
    "a panel's place": lambda d: renamed(d["panels"][0]["gridPos"], "w", "width"),
    "an option": lambda d: renamed(d["panels"][0]["options"], "legend", "legends"),
    "an option's part": lambda d: renamed(d["panels"][0]["options"]["legend"], "showLegend", "show"),
    "a default": lambda d: renamed(d["panels"][0]["fieldConfig"]["defaults"], "mappings", "mapping"),
    "a custom default": lambda d: renamed(d["panels"][0]["fieldConfig"]["defaults"]["custom"], "fillOpacity", "fill"),
    "a threshold": lambda d: renamed(d["panels"][0]["fieldConfig"]["defaults"]["thresholds"], "steps", "step"),
    "a mapping": lambda d: renamed(d["panels"][0]["fieldConfig"]["defaults"]["mappings"][0]["options"]["0"], "text", "txt"),
    "an override": lambda d: renamed(d["panels"][2]["fieldConfig"]["overrides"][0]["matcher"], "options", "option"),
    "a transformation": lambda d: renamed(d["panels"][0]["transformations"][0], "options", "option"),
    "a transformation's option": lambda d: renamed(d["panels"][0]["transformations"][0]["options"], "fields", "field"),
    "a property": lambda d: d["panels"][2]["fieldConfig"]["overrides"][0]["properties"][0].update(id="custom.widht"),
    "a variable": lambda d: renamed(d["templating"]["list"][1], "allValue", "allvalue"),
    "an annotation": lambda d: renamed(d["annotations"]["list"][1], "iconColor", "iconcolor"),
    "a link": lambda d: renamed(d["links"][0], "includeVars", "includeVar"),
    "the dashboard": lambda d: renamed(d, "schemaVersion", "schema"),
}


def main():
    register_default_plugins()
    boards, failures = static.dashboards(), []
    for name, dashboard in boards.items():
        failures += [f"{name}{path}: is not what Grafana reads" for path in problems(dashboard)]
    for what, mutate in MUTATIONS.items():
        wrong = copy.deepcopy(boards["host.json"])
        mutate(wrong)
        if not problems(wrong):
            failures.append(f"a misspelt key in {what} was not found")
    for failure in failures:
        print(f"FAIL {failure}")
    print(f"{len(boards)} dashboards read, {len(MUTATIONS)} misspellings tried, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
