"""Renders the chart with Helm's own code (the Python binding of its SDK), and judges what comes out."""

import copy
import functools
import json
import pathlib
import shutil
import tempfile

import helm_python
import jsonschema
import kubernetes_validate
import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
CHART = ROOT / "deploy/helm/gitops-status-server"
RELEASE, NAMESPACE = "gitops-status-server", "observability-stack"
# The oldest that Chart.yaml allows, and some that people run.
KUBERNETES = ("1.25", "1.29", "1.33", "1.37")
VALUE_SETS = sorted(path.stem for path in (HERE / "values").glob("*.yaml"))

# The package reads its definitions (megabytes) anew for each object; once is enough.
kubernetes_validate.utils.schema_contents = functools.lru_cache(
    kubernetes_validate.utils.schema_contents
)


class StrictLoader(yaml.SafeLoader):
    """YAML as an API server wants it: a key that stands twice is an error, not the last of them."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"twice: {twice}", node.start_mark)
        return super().construct_mapping(node, deep)


class Rendered:
    """What a render gave: the text, the objects in it, and the notes."""

    def __init__(self, manifests):
        self.notes = ""
        parts = []
        for path, text in sorted(manifests.items()):
            if path.endswith("NOTES.txt"):
                self.notes = text
            elif text.strip():
                start = text.strip().removeprefix("---\n")
                parts.append(f"---\n# Source: {path}\n{start}\n")
        self.text = "".join(parts)
        self.objects = [o for o in yaml.load_all(self.text, StrictLoader) if o is not None]

    def all(self, kind):
        return [o for o in self.objects if o["kind"] == kind]

    def one(self, kind):
        found = self.all(kind)
        assert len(found) == 1, f"{len(found)} objects of kind {kind}"
        return found[0]

    @property
    def pod(self):
        return self.one("Deployment")["spec"]["template"]["spec"]

    @property
    def container(self):
        (container,) = self.pod["containers"]
        return container

    @property
    def env(self):
        return {e["name"]: e.get("value", e.get("valueFrom")) for e in self.container["env"]}


@functools.cache
def with_fixtures():
    """The chart in a folder of its own, with small fixed rules and dashboards."""
    folder = tempfile.TemporaryDirectory(prefix="chart-")
    target = pathlib.Path(folder.name) / CHART.name
    shutil.copytree(CHART, target, ignore=shutil.ignore_patterns("files"))
    shutil.copytree(HERE / "files", target / "files")
    with_fixtures.folder = folder  # Kept until the end; removed with the interpreter.
    return target


@functools.cache
def loaded(path):
    return helm_python.Chart.load(path)


def render(values=None, chart=None, name=RELEASE, **more):
    loaded_chart = loaded(chart or with_fixtures())
    return Rendered(loaded_chart.render(values or {}, name=name, namespace=NAMESPACE, **more))


def value_set(name):
    """Parsed by Helm's own code: it and PyYAML disagree about times and octal numbers."""
    return helm_python.values_from_yaml((HERE / f"values/{name}.yaml").read_text("utf-8"))


def merged(base, changes):
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


@functools.cache
def own_schema(kind):
    return json.loads((HERE / f"schemas/{kind.lower()}.json").read_text("utf-8"))


def check_object(thing, version):
    """Raises if the object is not what this version of Kubernetes takes."""
    if thing["apiVersion"].startswith("monitoring.coreos.com/"):
        jsonschema.Draft202012Validator(own_schema(thing["kind"])).validate(thing)
    else:
        kubernetes_validate.validate(thing, version, strict=True)


def restricted_breaches(pod):
    """What Pod Security "restricted" would refuse in a pod, and what we ask for beyond it."""
    security = pod.get("securityContext", {})
    breaches = []
    if security.get("runAsNonRoot") is not True:
        breaches.append("runAsNonRoot")
    if security.get("seccompProfile") != {"type": "RuntimeDefault"}:
        breaches.append("seccompProfile")
    if pod.get("automountServiceAccountToken") is not False:
        breaches.append("automountServiceAccountToken")
    breaches += [key for key in ("hostNetwork", "hostPID", "hostIPC") if pod.get(key)]
    allowed = {"persistentVolumeClaim", "emptyDir", "configMap", "secret"}
    breaches += [f"volume {v['name']}" for v in pod["volumes"] if not set(v) <= allowed | {"name"}]
    for container in pod["containers"] + pod.get("initContainers", []):
        wanted = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        own = container.get("securityContext", {})
        breaches += [key for key, value in wanted.items() if own.get(key) != value]
        breaches += ["hostPort" for port in container["ports"] if "hostPort" in port]
    return breaches
