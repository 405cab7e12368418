"""Every set of values: golden file, schemas of Kubernetes, Pod Security, the same twice."""

import copy
import difflib
import os
import re
import tempfile
import unittest

import helm_python
import jsonschema
import kubernetes_validate
from chart import (
    CHART, HERE, KUBERNETES, NAMESPACE, RELEASE, VALUE_SETS, Rendered, check_object, render,
    restricted_breaches, value_set, with_fixtures,
)  # fmt: skip

INFO = 1  # Of Helm's lint; above it are warnings and errors.


class Renders(unittest.TestCase):
    maxDiff = None

    def each(self):
        return [(name, render(value_set(name))) for name in VALUE_SETS]

    def test_there_are_value_sets_and_no_golden_file_too_many(self):
        self.assertGreaterEqual(len(VALUE_SETS), 5)
        golden = sorted(path.stem for path in (HERE / "golden").glob("*.yaml"))
        if not os.environ.get("CHART_BLESS"):
            self.assertEqual(golden, VALUE_SETS)

    def test_lint_has_nothing_to_say(self):
        for name in VALUE_SETS:
            with self.subTest(values=name):
                report = helm_python.lint(with_fixtures(), value_set(name), strict=True)
                self.assertEqual(report["errors"], [])
                loud = [m for m in report["messages"] if m["severity"] > INFO]
                self.assertEqual(loud, [])

    def test_golden_files(self):
        for name, rendered in self.each():
            path = HERE / f"golden/{name}.yaml"
            if os.environ.get("CHART_BLESS"):
                path.write_text(rendered.text, "utf-8")
            expected = path.read_text("utf-8")
            if rendered.text != expected:
                diff = difflib.unified_diff(
                    expected.splitlines(), rendered.text.splitlines(), str(path), "rendered", lineterm=""
                )
                self.fail("\n".join(diff) + "\nIf this is meant: check.py --bless")

    def test_kubernetes_takes_every_object(self):
        for _, rendered in self.each():
            for thing in rendered.objects:
                for version in KUBERNETES:
                    with self.subTest(kind=thing["kind"], version=version):
                        check_object(thing, version)

    def test_the_judges_notice_a_slip(self):
        rendered = render(value_set("everything"))
        deployment = copy.deepcopy(rendered.one("Deployment"))
        deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            check_object(deployment, KUBERNETES[0])
        monitor = copy.deepcopy(rendered.one("ServiceMonitor"))
        monitor["spec"]["endpoints"][0]["honourLabels"] = True
        rule = copy.deepcopy(rendered.one("PrometheusRule"))
        rule["spec"]["groups"][0]["rules"][0]["expression"] = "up"
        for thing in (monitor, rule):
            with self.assertRaises(jsonschema.ValidationError):
                check_object(thing, KUBERNETES[0])
        pod = copy.deepcopy(rendered.pod)
        pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] = False
        self.assertEqual(restricted_breaches(pod), ["readOnlyRootFilesystem"])

    def test_pods_satisfy_restricted(self):
        for name, rendered in self.each():
            self.assertEqual(restricted_breaches(rendered.pod), [])
            uid = rendered.pod["securityContext"].get("runAsUser")
            self.assertEqual(uid, None if name == "ephemeral" else 65532)

    def test_no_object_stands_twice_and_all_say_where(self):
        for _, rendered in self.each():
            keys = [(o["kind"], o["metadata"]["namespace"], o["metadata"]["name"]) for o in rendered.objects]
            self.assertEqual(len(keys), len(set(keys)))

    def test_the_same_twice(self):
        for name in VALUE_SETS:
            values, chart = value_set(name), helm_python.Chart.load(with_fixtures())
            again = Rendered(chart.render(values, name=RELEASE, namespace=NAMESPACE, revision=7, is_upgrade=True))
            self.assertEqual(again.text, render(values).text)

    def test_templates_ask_neither_the_cluster_nor_the_clock_nor_chance(self):
        changing = re.compile(
            r"\b(lookup|now|date\w*|ago|unixEpoch|rand\w+|uuidv4|shuffle|gen\w+Cert|genCA\w*|"
            r"genPrivateKey|htpasswd|bcrypt|derivePassword|getHostByName|Release\.Revision)\b"
        )
        for path in (CHART / "templates").iterdir():
            actions = re.findall(r"{{-?(?!-? ?/\*)(.*?)}}", path.read_text("utf-8"), re.DOTALL)
            for action in actions:
                action = re.sub(r'"[^"]*"', "", action)
                self.assertIsNone(changing.search(action), f"{path.name}: {action}")

    def test_a_package_renders_the_same(self):
        with tempfile.TemporaryDirectory() as folder:
            archive = helm_python.package(with_fixtures(), destination=folder)
            with open(archive, "rb") as file:
                chart = helm_python.Chart.load_archive(file.read())
        packed = Rendered(chart.render(value_set("everything"), name=RELEASE, namespace=NAMESPACE))
        self.assertEqual(packed.text, render(value_set("everything")).text)
        self.assertIn("README.md", [file["name"] for file in chart.files])


class Kept(unittest.TestCase):
    """What must stay as it is whatever is set."""

    def test_one_server_with_room_to_finish(self):
        for name in VALUE_SETS:
            spec = render(value_set(name)).one("Deployment")["spec"]
            self.assertEqual(spec["replicas"], 1)
            self.assertEqual(spec["strategy"]["type"], "Recreate")
            self.assertGreater(spec["template"]["spec"]["terminationGracePeriodSeconds"], 20)

    def test_the_history_outlives_the_release(self):
        for values in ({}, value_set("everything")):
            notes = render(values).one("PersistentVolumeClaim")["metadata"]["annotations"]
            self.assertEqual(notes["helm.sh/resource-policy"], "keep")
            self.assertIn("Prune=false", notes["argocd.argoproj.io/sync-options"])

    def test_a_long_start_is_no_failure(self):
        rendered = render({"startupSeconds": 4000})
        probe = rendered.container["startupProbe"]
        self.assertGreaterEqual(probe["failureThreshold"] * probe["periodSeconds"], 4000)
        self.assertGreater(rendered.one("Deployment")["spec"]["progressDeadlineSeconds"], 4000)

    def test_selectors_find_the_pod(self):
        for name in VALUE_SETS:
            rendered = render(value_set(name))
            labels = rendered.one("Deployment")["spec"]["template"]["metadata"]["labels"]
            selectors = [rendered.one("Service")["spec"]["selector"]]
            selectors.append(rendered.one("Deployment")["spec"]["selector"]["matchLabels"])
            selectors += [p["spec"]["podSelector"]["matchLabels"] for p in rendered.all("NetworkPolicy")]
            for selector in selectors:
                self.assertLessEqual(selector.items(), labels.items())
            for monitor in rendered.all("ServiceMonitor"):
                wanted = monitor["spec"]["selector"]["matchLabels"]
                self.assertLessEqual(wanted.items(), rendered.one("Service")["metadata"]["labels"].items())
                self.assertEqual(monitor["spec"]["namespaceSelector"]["matchNames"], [NAMESPACE])

    def test_a_policy_lets_in_who_is_named_and_nobody_out(self):
        spec = render(value_set("everything")).one("NetworkPolicy")["spec"]
        self.assertEqual(spec["policyTypes"], ["Ingress", "Egress"])
        self.assertEqual(spec["egress"], [])
        for rule in spec["ingress"]:
            self.assertTrue(rule["from"])
            self.assertEqual(rule["ports"], [{"port": "http", "protocol": "TCP"}])
        alone = render({"networkPolicy": {"enabled": True}}).one("NetworkPolicy")["spec"]["ingress"]
        self.assertEqual([rule["from"] for rule in alone], [[{"podSelector": {}}]])


if __name__ == "__main__":
    unittest.main()
