"""What Grafana 11.6 does in the browser before and after a query: variables, transformations."""
import copy
import re
from urllib.parse import quote

from infinity import Field, FrameError, query, rows_in, text_of

ALL = "$__all"
REFERENCE = re.compile(r"\$(\w+)|\[\[(\w+?)(?::(\w+))?\]\]|\$\{(\w+)(?:\.([^:^}]+))?(?::([^}]+))?\}")
# From which length of time (in seconds) on Grafana takes which step.
STEPS = ((0, "1s"), (1.5, "2s"), (3.5, "5s"), (7.5, "10s"), (12.5, "15s"), (17.5, "20s"), (25, "30s"),
         (45, "1m"), (90, "2m"), (210, "5m"), (450, "10m"), (750, "15m"), (1050, "20m"), (1500, "30m"),
         (2700, "1h"), (5400, "2h"), (9000, "3h"), (16200, "6h"), (32400, "12h"), (86400, "1d"),
         (604800, "7d"), (1814400, "30d"), (3628800, "1y"))
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Value:
    """A variable's value; `all_value` is what stands for All."""

    def __init__(self, value, text=None, all_value=None):
        self.value, self.text, self.all_value = value, text or value, all_value


def interpolate(text, variables):
    """Fills in variables. Macros it does not know are left for the plugin."""
    def fill(found):
        name = found[1] or found[2] or found[4]
        form = found[3] or found[6] or "glob"
        if name not in variables:
            return found[0]
        variable = variables[name]
        if form == "text":
            return variable.text
        value = variable.value
        if value == ALL:
            # An empty allValue would mean the list of all options. With percentencode Grafana
            # encodes the allValue itself, so that a reference in it is never filled in.
            value = variable.all_value
            return quote(value, safe="") if form == "percentencode" else interpolate(value, variables)
        if form in ("glob", "raw", "csv"):
            return value
        if form == "percentencode":
            return quote(value, safe="-_.~")
        raise FrameError(f"the variable format {form} is not known here")
    return REFERENCE.sub(fill, text)


def filled(target, variables):
    """A target as the browser sends it. Columns are not interpolated."""
    target = copy.deepcopy(target)
    target["url"] = interpolate(target["url"], variables)
    target["root_selector"] = interpolate(target["root_selector"], variables)
    for param in target["url_options"]["params"]:
        param["value"] = interpolate(param["value"], variables)
    return target


def interval(seconds, panel):
    """$__interval of a panel over a stretch of time."""
    least = panel.get("interval", "1s")
    step = max(seconds / panel.get("maxDataPoints", 1000), int(least[:-1]) * UNITS[least[-1]])
    return [name for bound, name in STEPS if step >= bound][-1]


def options_of(frame, regex=""):
    """The options of a variable: [(text, value)]."""
    names, count = list(frame), rows_in(frame)
    if {"__text", "__value"} <= set(names):
        text, value = "__text", "__value"
    elif len(names) == 2:
        text, value = names
    elif names:
        text = value = names[0]
    options = {}
    for at in range(count):
        cell = text_of(frame[value].values[at]) or text_of(frame[text].values[at]) or ""
        found = re.search(regex.strip("/"), cell)
        if found and found.groups():
            # What the first group holds is both.
            options.setdefault(found.group(1), found.group(1))
        elif found:
            options.setdefault(cell, text_of(frame[text].values[at]) or cell)
    return [(text, value) for value, text in options.items()]


def variables_of(dashboard, chosen, fetch, begin, end):
    """The variables' values under a choice, and every query variable's options."""
    values, options = {}, {}
    for variable in dashboard["templating"]["list"]:
        name, kind = variable["name"], variable["type"]
        if kind == "query":
            target = filled(variable["query"]["infinityQuery"], values)
            frame, _ = query(target, fetch, begin, end)
            options[name] = options_of(frame, variable["regex"])
        elif kind == "custom":
            options[name] = [(o["text"], o["value"]) for o in variable["options"]]
        if kind in ("constant", "textbox"):
            values[name] = Value(chosen.get(name, variable["query"]))
            continue
        value = chosen.get(name, variable["current"]["value"])
        listed = [shown for shown, _ in options[name]]
        if not variable["includeAll"] and kind == "query" and value == "":
            value = listed[0] if listed else ""
        text = dict((v, t) for t, v in options[name]).get(value, value)
        values[name] = Value(value, "All" if value == ALL else text, variable.get("allValue"))
    return values, options


def partition(frame, fields):
    """One frame for each combination of values in the fields, in order of appearance."""
    missing = [name for name in fields if name not in frame]
    if missing:
        raise FrameError(f"partitionByValues: there is no {', '.join(missing)}")
    places = {}
    for at in range(rows_in(frame)):
        places.setdefault(tuple(frame[name].values[at] for name in fields), []).append(at)
    kept = {name: field for name, field in frame.items() if name not in fields}
    return {key: {name: Field(f.kind, [f.values[at] for at in rows]) for name, f in kept.items()}
            for key, rows in places.items()}


def extracted(frame, options):
    """What a regular expression finds in a field: a field for each of its groups. (Grafana leaves out one
    that no cell has; what names it then is not used.)"""
    body, flags = re.fullmatch(r"/(.*)/(\w*)", options["regExp"]).groups()
    pattern = re.compile(body.replace("(?<", "(?P<").replace("\\/", "/"), re.I if flags == "i" else 0)
    found = [pattern.search(cell) if cell is not None else None for cell in frame[options["source"]].values]
    return {name: Field("string", [match[name] if match else None for match in found])
            for name in pattern.groupindex}


def transformed(panel, frame):
    """(frames by their labels, field names as shown) after the panel's transformations."""
    frames, names = {(): frame}, {name: name for name in frame}
    for step in panel.get("transformations", []):
        options = step["options"]
        if step["id"] == "extractFields" and frame:
            frame = frames[()] = {**frame, **extracted(frame, options)}
            names.update((name, name) for name in frame if name not in names)
        elif step["id"] == "organize" and frame:
            names.update((name, new) for name, new in options["renameByName"].items() if name in names)
            names = {name: new for name, new in names.items() if not options["excludeByName"].get(name)}
        elif step["id"] == "partitionByValues" and frame:
            frames = partition(frame, options["fields"])
        elif step["id"] not in ("extractFields", "organize", "partitionByValues"):
            raise FrameError(f"the transformation {step['id']} is not known here")
    return frames, names
