"""Values: what is refused and in which words, and that the README names each."""

import re
import unittest

import helm_python
from chart import CHART, loaded, render, with_fixtures

V1 = {"repo": "rsyslog", "server": "lab", "sync_status": "SYNCED"}
REFUSED = [
    ({"replicaCount": 2}, "/replicaCount.*want 1"),
    ({"replicaCount": "1"}, "/replicaCount.*got string, want integer"),
    ({"imgae": {}}, "additional properties 'imgae' not allowed"),
    ({"image": {"tags": "x"}}, "/image.*'tags' not allowed"),
    ({"image": {"repository": ""}}, "/image/repository"),
    ({"image": {"digest": "sha256:12"}}, "/image/digest"),
    ({"service": {"type": "ExternalName"}}, "/service/type"),
    ({"service": {"port": 0}}, "/service/port.*minimum"),
    ({"service": {"port": "80"}}, "/service/port.*got string, want integer"),
    ({"service": {"targetPort": 80}}, "/service/targetPort.*want 1,024"),
    ({"service": {"targetPort": 65536}}, "/service/targetPort.*maximum"),
    ({"fullnameOverride": "Status_Server"}, "/fullnameOverride"),
    ({"terminationGracePeriodSeconds": 20}, "/terminationGracePeriodSeconds.*want 21"),
    ({"startupSeconds": 5}, "/startupSeconds.*want 60"),
    ({"persistence": {"accessModes": ["ReadOnlyMany"]}}, "/persistence/accessModes/0"),
    ({"persistence": {"accessModes": []}}, "/persistence/accessModes"),
    ({"persistence": {"size": "five"}}, "/persistence/size"),
    ({"resources": {"limit": {}}}, "'limit' not allowed"),
    ({"resources": {"limits": {"memory": "256 MB"}}}, "/resources/limits/memory"),
    ({"config": {"publicUrl": "status.example.org"}}, "/config/publicUrl"),
    ({"config": {"publicUrl": "https://status.example.org/?a=b"}}, "/config/publicUrl"),
    ({"config": None}, "missing property 'config'"),
    ({"config": {"staleAfter": "26"}}, "/config/staleAfter"),
    ({"config": {"staleAfterGroups": "rsyslog-*"}}, "/config/staleAfterGroups"),
    ({"config": {"staleAfterGroups": ["a=1h", "b"]}}, "/config/staleAfterGroups/1"),
    ({"config": {"cronCreatesHosts": "yes"}}, "/config/cronCreatesHosts.*want boolean"),
    ({"config": {"maxBodyBytes": "1MB"}}, "/config/maxBodyBytes"),
    ({"config": {"maxBodyBytes": 16777217}}, "/config/maxBodyBytes.*maximum"),
    ({"config": {"logFormat": "yaml"}}, "/config/logFormat"),
    ({"extraEnv": [{"name": "A", "valeu": "x"}]}, "'valeu' not allowed"),
    ({"extraEnv": [{"name": "A", "value": 5}]}, "/extraEnv/0/value.*want string"),
    ({"extraEnv": [{"name": "API_PORT", "value": "1"}]}, "extraEnv: API_PORT is set by the chart"),
    ({"config": {"rustLog": "info"}, "extraEnv": [{"name": "RUST_LOG"}]}, "RUST_LOG is set by the chart"),
    ({"tokens": {"key": "../tokens"}}, "/tokens/key"),
    ({"podAnnotations": {"a": True}}, "/podAnnotations/a.*want string"),
    ({"ingress": {"enabled": True}}, "ingress.hosts: name at least one host"),
    ({"networkPolicy": {"enabled": True, "sameNamespace": False}}, "networkPolicy: nobody could come in"),
    ({"networkPolicy": {"from": [{}]}}, "/networkPolicy/from/0"),
    ({"serviceMonitor": {"interval": "30"}}, "/serviceMonitor/interval"),
    ({"grafana": {"datasource": {"url": "gitops-status-server:80"}}}, "/grafana/datasource/url"),
    ({"grafana": {"dashboard": {}}}, "'dashboard' not allowed"),
    ({"statusJson": []}, "/statusJson"),
    ({"statusJson": {"sync_status": "DRIFTED"}}, "/statusJson/sync_status"),
    ({"statusJson": {"files": [7]}}, "/statusJson/files/0"),
    ({"statusJson": "[1]"}, "statusJson: is not one JSON object"),
    ({"statusJson": "{"}, "statusJson: is not one JSON object"),
    ({"statusJson": {**V1, "server": " "}}, "SYNCED can only be taken over with both repo and server"),
    ({"statusJson": {**V1, "sync_status": ""}}, "statusJson.sync_status: must be SYNCED"),
    ({"statusJson": {**V1, "last_check": "yesterday"}}, 'last_check: "yesterday" is not a time'),
]


class Refused(unittest.TestCase):
    def test_wrong_values_are_refused_with_the_place_and_the_reason(self):
        for values, words in REFUSED:
            with self.subTest(values=values):
                try:
                    render(values)
                except helm_python.HelmError as error:
                    self.assertRegex(str(error), re.compile(words, re.DOTALL))
                else:
                    self.fail("was accepted")


class Taken(unittest.TestCase):
    def test_numbers_and_lists_become_settings(self):
        config = {"maxBodyBytes": 1048576, "trustedProxies": ["10.0.0.0/8", "::1"], "staleAfterGroups": "a=1h, b=2days"}
        env = render({"config": config}).env
        self.assertEqual(env["MAX_BODY_BYTES"], "1048576")
        self.assertEqual(env["TRUSTED_PROXIES"], "10.0.0.0/8,::1")
        self.assertEqual(env["STALE_AFTER_GROUPS"], "a=1h, b=2days")

    def test_what_is_not_set_is_left_to_the_server(self):
        own = {"API_PORT", "CRON_CREATES_HOSTS", "DATABASE_URL", "SQLITE_TMPDIR"}
        self.assertEqual(set(render().env), own)
        nothing = {"staleAfter": None, "rustLog": None, "maxBodyBytes": None, "logFormat": None}
        self.assertEqual(set(render({"config": nothing}).env), own)

    def test_a_variable_the_chart_leaves_alone_may_be_set(self):
        env = render({"extraEnv": [{"name": "RUST_LOG", "value": "debug"}]}).env
        self.assertEqual(env["RUST_LOG"], "debug")

    def test_storage_classes(self):
        def spec(name):
            return render({"persistence": {"storageClass": name}}).one("PersistentVolumeClaim")["spec"]

        self.assertNotIn("storageClassName", spec(""))
        self.assertEqual(spec("-")["storageClassName"], "")
        self.assertEqual(spec("fast")["storageClassName"], "fast")

    def test_a_node_port_is_only_for_services_that_have_one(self):
        for kind, wanted in (("ClusterIP", None), ("NodePort", 30080), ("LoadBalancer", 30080)):
            (port,) = render({"service": {"type": kind, "nodePort": 30080}}).one("Service")["spec"]["ports"]
            self.assertEqual(port.get("nodePort"), wanted)

    def test_asleep(self):
        self.assertEqual(render({"replicaCount": 0}).one("Deployment")["spec"]["replicas"], 0)

    def test_as_a_part_of_another_chart(self):
        render({"global": {"anything": 1}})

    def test_notes_warn(self):
        quiet = render(is_install=True).notes
        self.assertNotIn("WARNING", quiet)
        self.assertIn("http://gitops-status-server.observability-stack.svc.cluster.local:80\n", quiet)
        for values, words in (
            ({"persistence": {"enabled": False}}, "the history is gone with the pod"),
            ({"service": {"type": "NodePort"}}, "the server is open"),
            ({"ingress": {"enabled": True, "hosts": ["a.example"]}}, "the server is open"),
            ({"resources": {"limits": {"memory": "64Mi"}}}, "memory is 64Mi"),
            ({"api": {"image": {}}}, "api.* is of the old chart"),
            ({"image": {"repository": "nginx"}}, "It was not used"),
        ):
            with self.subTest(values=values):
                self.assertRegex(render(values).notes, f"WARNING:[^\n]*\n?[^\n]*{re.escape(words)}")
        self.assertIn("From the old chart", render(is_upgrade=True).notes)


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


class Documented(unittest.TestCase):
    def test_the_readme_names_every_value_and_no_other(self):
        named = set()
        for row in re.findall(r"^\| (`.*?) \|", (CHART / "README.md").read_text("utf-8"), re.MULTILINE):
            first, *others = re.findall(r"`([^`]+)`", row)
            group = first.rpartition(".")[0]
            named |= {first} | {group + other if other.startswith(".") else other for other in others}
        values = set(leaves(loaded(with_fixtures()).values))

        def covers(name, value):
            return value == name or value.startswith(name + ".")

        missing = sorted(v for v in values if not any(covers(name, v) for name in named))
        self.assertEqual(missing, [], "in values.yaml, not in the README")
        unknown = sorted(name for name in named if not any(covers(name, v) for v in values))
        self.assertEqual(unknown, [], "in the README, not in values.yaml")

    def test_the_readmes_examples_render(self):
        readme = (CHART / "README.md").read_text("utf-8")
        examples = re.findall(r"^```yaml\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)
        self.assertEqual(len(examples), 3)
        for text in examples:
            render(helm_python.values_from_yaml(text))
        commands = re.findall(r"^ *helm upgrade(?:.*\\\n)*.*", readme, re.MULTILINE)
        self.assertEqual(len(commands), 3)
        for command in commands:
            self.assertIn("deploy/helm/gitops-status-server", command)
            options = re.findall(r"--set (\S+)", command)
            self.assertTrue(options)
            render(helm_python.parse_set_string(",".join(options)))

    def test_the_version_is_that_of_the_server(self):
        cargo = (CHART.parents[2] / "Cargo.toml").read_text("utf-8")
        version = re.search(r'^version = "(.*?)"', cargo, re.MULTILINE).group(1)
        self.assertEqual(loaded(with_fixtures()).metadata["appVersion"], version)


if __name__ == "__main__":
    unittest.main()
