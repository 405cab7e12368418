"""What can be said of a dashboard without a server."""
import json
import pathlib
import re

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
GRAFANA = ROOT / "deploy/grafana"
INFINITY = "yesoreyeram-infinity-datasource"
PANELS = {"stat", "table", "bargauge", "timeseries", "state-timeline", "status-history", "row"}
FUNCTIONS = {"sum", "max", "min", "avg", "count", "rate", "increase", "time", "by", "without", "on", "ignoring",
             "and", "or", "unless", "histogram_quantile", "clamp_min", "bool", "vector", "topk", "absent"}


def dashboards():
    paths = sorted((GRAFANA / "dashboards").glob("*.json"))
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}


def queries(dashboard):
    """(where, panel, target) of each query of panels and annotations."""
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield f"{panel['title']} {target['refId']}", panel, target
    for annotation in dashboard["annotations"]["list"]:
        if "target" in annotation:
            yield f"annotation {annotation['name']}", {"type": "annotation"}, annotation["target"]


def is_infinity(target):
    return target["datasource"]["type"] == INFINITY


def known_metrics():
    lines = (HERE / "metrics.txt").read_text(encoding="utf-8").splitlines()
    words = [line.split() for line in lines if line and not line.startswith("#")]
    return {name: set(labels) for name, *labels in words}


# ---- what Grafana's model leaves open ----

TRANSFORMATIONS = {"extractFields": {"source", "format", "regExp", "replace", "keepTime"},
                   "organize": {"excludeByName", "includeByName", "indexByName", "renameByName"},
                   "partitionByValues": {"fields", "naming", "keepFields"}}
PROPERTIES = {"unit", "decimals", "min", "max", "thresholds", "mappings", "noValue", "links",
              "custom.width", "custom.cellOptions"}
UNITS = {"none", "s", "percent", "reqps", "dateTimeAsIso", "dateTimeFromNow"}


def unread_problems(dashboard):
    """Misspellings in transformations, in the properties of overrides, and in units."""
    for panel in dashboard["panels"]:
        title, config = panel["title"], panel.get("fieldConfig", {"defaults": {}, "overrides": []})
        for step in panel.get("transformations", []):
            if set(step) != {"id", "options"} or TRANSFORMATIONS.get(step["id"]) != set(step["options"]):
                yield f"{title}: the transformation {step} is not known"
        units = [config["defaults"].get("unit", "none")]
        for override in config["overrides"]:
            if override["matcher"]["id"] != "byName":
                yield f"{title}: overrides go by name here"
            for prop in override["properties"]:
                if prop["id"] not in PROPERTIES:
                    yield f"{title}: an override has no property {prop['id']}"
                if prop["id"] == "unit":
                    units.append(prop["value"])
        for unit in set(units) - UNITS:
            yield f"{title}: the unit {unit} is not known"


# ---- Prometheus ----

def metrics_in(expression):
    """(metric names, labels named in by (...) and in braces)."""
    labels = {word for group in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression)
              for word in re.findall(r"\w+", group)}
    bare = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", " ", re.sub(r'"[^"]*"', '""', expression))
    labels |= {word for group in re.findall(r"{([^}]*)}", bare) for word in re.findall(r"(\w+)\s*[=!]", group)}
    bare = re.sub(r"\[[^]]*\]|{[^}]*}", " ", bare)
    return {word for word in re.findall(r"[a-zA-Z_:][\w:]*", bare)} - FUNCTIONS, labels


def metric_problems(where, target, known):
    names, labels = metrics_in(target["expr"])
    if not names:
        yield f"{where}: names no metric"
    for name in sorted(names - set(known)):
        yield f"{where}: there is no metric {name}"
    there = set().union(*(known.get(name, set()) for name in names))
    shown = set(re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]))
    for label in sorted((labels - there) | (shown - labels)):
        yield f"{where}: {label} is no label there"


def rules(boards):
    """The expressions as a rules file, for promtool to parse."""
    lines = ["groups:", "  - name: dashboards", "    rules:"]
    for name, dashboard in boards.items():
        for at, (_, _, target) in enumerate(queries(dashboard)):
            if not is_infinity(target):
                expression = re.sub(r"\$__(rate_interval|interval)", "5m", target["expr"])
                lines += [f"      - record: dashboard:{name.split('.')[0]}_{at}:query",
                          f"        expr: {json.dumps(expression)}"]
    return "\n".join(lines) + "\n"


# ---- the dashboard itself ----

def layout_problems(dashboard):
    cells = {}
    for panel in dashboard["panels"]:
        grid, title = panel["gridPos"], panel["title"]
        if panel["type"] not in PANELS:
            yield f"{title}: panels of type {panel['type']} are not used here"
        if panel["type"] != "row" and len(panel.get("description", "")) < 20:
            yield f"{title}: has no description"
        if grid["x"] + grid["w"] > 24 or grid["w"] < 1 or grid["h"] < 1:
            yield f"{title}: does not fit into 24 columns"
        for cell in ((x, y) for x in range(grid["x"], grid["x"] + grid["w"])
                     for y in range(grid["y"], grid["y"] + grid["h"])):
            if cells.setdefault(cell, title) != title:
                yield f"{title}: lies over {cells[cell]}"
                break
    ids = [panel["id"] for panel in dashboard["panels"]]
    if len(ids) != len(set(ids)):
        yield "two panels have the same id"


def variable_problems(dashboard):
    listed = dashboard["templating"]["list"]
    names = {variable["name"] for variable in listed}
    empty = {v["name"] for v in listed if v["type"] == "constant" and v["query"] == ""}
    with_all = {variable["name"] for variable in listed if variable.get("includeAll")}
    for variable in listed:
        name = variable["name"]
        # Grafana takes an empty allValue for none, and would send the list of all options.
        if name in with_all and variable.get("allValue") not in {"${" + constant + "}" for constant in empty}:
            yield f"variable {name}: allValue must refer to an empty constant"
        if variable.get("multi"):
            yield f"variable {name}: several values cannot be sent as a repeated filter by Grafana 11.6"
    text = json.dumps([target for _, _, target in queries(dashboard)] + listed)
    for name, form in re.findall(r"\$\{(\w+):(\w+)", text):
        if name in with_all and form == "percentencode":
            yield f"variable {name}: with percentencode, All would be sent as a reference"
    for name in set(re.findall(r"\$\{(\w+)", text)) - names:
        if not name.startswith("__"):
            yield f"there is no variable {name}"


def source_problems(dashboard, provisioned):
    for where, _, target in queries(dashboard):
        source = target["datasource"]
        if provisioned.get(source["uid"]) != source["type"]:
            yield f"{where}: there is no data source {source['uid']} of type {source['type']}"
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query" and variable["datasource"]["uid"] not in provisioned:
            yield f"variable {variable['name']}: its data source is not provisioned"


def provisioned_sources():
    """{uid: type} of what is provisioned: one "key: value" to a line, so that no YAML parser is needed."""
    found = {}
    for path in sorted((GRAFANA / "provisioning/datasources").glob("*.yaml")):
        for block in re.split(r"^ {2}- ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
            keys = dict(re.findall(r"^ *(uid|type): *(\S+)$", block, re.M))
            found[keys["uid"]] = keys["type"]
    return found


SOURCE_KEYS = set("""apiVersion datasources name uid type access url jsonData auth_method allowedHosts
customHealthCheckEnabled customHealthCheckUrl timeoutInSeconds secureJsonData bearerToken httpMethod
timeInterval providers folder allowUiUpdates disableDeletion updateIntervalSeconds options path
foldersFromFilesStructure""".split())


def provisioning_problems():
    """Grafana and the plugin ignore a key they do not know."""
    for path in sorted((GRAFANA / "provisioning").rglob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        for key in sorted(set(re.findall(r"^[ -]*(\w+):", text, re.M)) - SOURCE_KEYS):
            yield f"{path.name}: the key {key} is not known"


def compose_problems():
    """The compose file sets what the data sources read, mounts what is there, and starts no more by default."""
    compose = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    services = re.split(r"^  (?=[\w-]+:$)", compose.split("services:\n")[1].split("\nvolumes:\n")[0], flags=re.M)[1:]
    default = [text.split(":")[0] for text in services if "\n    profiles:" not in text]
    if default != ["gitops-status-server"]:
        yield f"without a profile the compose file starts {default}"
    sources = "".join(path.read_text(encoding="utf-8") for path in (GRAFANA / "provisioning").rglob("*.yaml"))
    for name in sorted(set(re.findall(r"\$\{(\w+)\}", sources))):
        if not re.search(rf"^ +{name}: ", compose, re.M):
            yield f"the compose file does not set {name}, which the data sources read"
    for place in re.findall(r"^ +- \.(/[^:]+):", compose, re.M):
        if not (ROOT / place.strip("/")).is_dir():
            yield f"the compose file mounts .{place}, which is no folder"


def link_problems(dashboard, uids):
    for uid in set(re.findall(r'"/d/([\w-]+)', json.dumps(dashboard))) - uids:
        yield f"a link leads to {uid}, which is no dashboard"
    for panel in dashboard["panels"]:
        config = panel.get("fieldConfig", {"defaults": {}, "overrides": []})
        places = [(None, config["defaults"].get("links", []))]
        places += [(override["matcher"]["options"], prop["value"]) for override in config["overrides"]
                   for prop in override["properties"] if prop["id"] == "links"]
        for field, links in places:
            for link in links:
                if not link["url"].startswith("/d/") and field not in web_addresses(panel):
                    yield f"{panel['title']}: a link goes wherever a sender's text says: {link['url']}"
                if re.search(r"\$\{__(?:data|value)[^}]*(?<!:percentencode)\}", link["url"].removeprefix("${__value.raw}")):
                    yield f"{panel['title']}: a link has a sender's text that is not encoded: {link['url']}"


def web_addresses(panel):
    """The fields, as shown, that hold http and https addresses and nothing else."""
    found = set()
    for step in panel.get("transformations", []):
        if step["id"] == "extractFields" and step["options"]["format"] == "regexp":
            only = re.fullmatch(r"/\^\(\?<(\w+)>https\?:\\/\\/\[\^\\s\]\+\)\$/i", step["options"]["regExp"])
            found |= {only[1]} if only else set()
        elif step["id"] == "organize":
            found = {step["options"]["renameByName"].get(name, name) for name in found}
    return found


def problems(boards):
    known, provisioned = known_metrics(), provisioned_sources()
    yield from provisioning_problems()
    yield from (f"docker-compose.yml: {problem}" for problem in compose_problems())
    uids = {dashboard["uid"] for dashboard in boards.values()}
    for name, dashboard in boards.items():
        found = [*layout_problems(dashboard), *variable_problems(dashboard),
                 *source_problems(dashboard, provisioned), *link_problems(dashboard, uids),
                 *unread_problems(dashboard)]
        if dashboard["schemaVersion"] != 41 or dashboard.get("id") is not None:
            found.append("schemaVersion must be 41 (Grafana 11.6), and there must be no id")
        for where, _, target in queries(dashboard):
            if not is_infinity(target):
                found += metric_problems(where, target, known)
        yield from (f"{name}: {problem}" for problem in found)
