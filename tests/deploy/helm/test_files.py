"""Rules, dashboards and the data source; and scripts/sync-chart, which brings the first two."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import helm_python
import yaml
from chart import CHART, HERE, KUBERNETES, ROOT, Rendered, check_object, render, value_set, with_fixtures

ALL = {"prometheusRule": {"enabled": True}, "grafana": {"dashboards": {"enabled": True}}}
SYNC = ROOT / "scripts/sync-chart"


def check_files(test, rendered, rules, dashboards):
    """The objects carry the files as they are, whatever templates stand in them."""
    test.assertEqual(rendered.one("PrometheusRule")["spec"], yaml.safe_load(rules.read_text("utf-8")))
    for thing in rendered.objects:
        check_object(thing, KUBERNETES[-1])
    maps = rendered.all("ConfigMap")
    carried = {name: text for m in maps for name, text in m["data"].items() if name.endswith(".json")}
    sources = {path.name: path.read_text("utf-8").strip() + "\n" for path in dashboards.glob("*.json")}
    test.assertEqual(carried, sources)
    test.assertTrue(sources)
    for text in carried.values():
        json.loads(text)


def source_uids(part):
    """Type and uid of every data source that a dashboard asks for."""
    children = part if isinstance(part, list) else part.values() if isinstance(part, dict) else ()
    if isinstance(part, dict) and part.get("type") in ("yesoreyeram-infinity-datasource", "prometheus"):
        yield part["type"], part.get("uid")
    for child in children:
        yield from source_uids(child)


class Files(unittest.TestCase):
    def test_files_go_through_as_they_are(self):
        check_files(self, render(ALL), HERE / "files/rules.yaml", HERE / "files/dashboards")

    def test_the_charts_own_files(self):
        if os.environ.get("CHART_WITHOUT_COPIES"):
            self.skipTest("--without-copies")
        checked = subprocess.run([SYNC, "--check"], capture_output=True, text=True)
        self.assertEqual(checked.returncode, 0, checked.stderr)
        check_files(self, render(ALL, chart=CHART), CHART / "files/rules.yaml", CHART / "files/dashboards")
        for path in (CHART / "files/dashboards").glob("*.json"):
            asked = set(source_uids(json.loads(path.read_text("utf-8"))))
            given = {(s["type"], s["uid"]) for s in self.sources(prometheusUrl="http://prometheus:9090")}
            self.assertLessEqual(asked, given, path.name)

    def test_the_rules_follow_the_jobs_name(self):
        values = {"prometheusRule": {"enabled": True}, "config": {"pushgatewayCompatJob": "tg-nightly"}}
        text = json.dumps(render(values, chart=CHART).one("PrometheusRule")["spec"])
        self.assertNotIn('drift-detection\\"', text)
        self.assertNotIn("/drift-detection/", text)
        self.assertEqual(text.count('server_group!=\\"tg-nightly\\"'), 6)
        self.assertIn("POST /hosts/tg-nightly/", text)
        # The group's own name is no job's.
        self.assertIn('"name": "drift-detection"', text)

    def test_each_dashboard_is_found_by_the_sidecar(self):
        changes = {"labels": {"grafana_dashboard": "yes"}, "folder": "Drift: all", "folderAnnotation": "k8s-folder"}
        values = {"grafana": {"dashboards": {"enabled": True, **changes}}}
        maps = render(values).all("ConfigMap")
        names = [m["metadata"]["name"] for m in maps]
        self.assertEqual(names, [f"gitops-status-server-dashboard-{n}" for n in ("fixture-one", "two")])
        for config in maps:
            self.assertEqual(config["metadata"]["labels"]["grafana_dashboard"], "yes")
            self.assertEqual(config["metadata"]["annotations"], {"k8s-folder": "Drift: all"})
        for config in render(ALL).all("ConfigMap"):
            self.assertEqual(config["metadata"]["labels"]["grafana_dashboard"], "1")
            self.assertNotIn("annotations", config["metadata"])

    def test_foreign_kinds_do_not_stop_a_first_sync(self):
        rendered = render(value_set("everything"))
        for kind in ("ServiceMonitor", "PrometheusRule"):
            notes = rendered.one(kind)["metadata"]["annotations"]
            self.assertEqual(notes["argocd.argoproj.io/sync-options"], "SkipDryRunOnMissingResource=true")
            self.assertEqual(rendered.one(kind)["metadata"]["labels"]["release"], "kube-prometheus-stack")

    def test_missing_files_are_named(self):
        for values, words in (
            ({"prometheusRule": {"enabled": True}}, "no files/rules.yaml with groups; run scripts/sync-chart"),
            ({"grafana": {"dashboards": {"enabled": True}}}, "no files/dashboards/.*; run scripts/sync-chart"),
        ):
            with tempfile.TemporaryDirectory() as folder:
                bare = pathlib.Path(folder) / CHART.name
                shutil.copytree(with_fixtures(), bare, ignore=shutil.ignore_patterns("files"))
                with self.assertRaisesRegex(helm_python.HelmError, words):
                    helm_python.Chart.load(bare).render(values, name="a", namespace="b")

    def test_any_set_of_dashboards(self):
        with tempfile.TemporaryDirectory() as folder:
            chart = pathlib.Path(folder) / CHART.name
            shutil.copytree(with_fixtures(), chart)
            for number in range(12):
                (chart / f"files/dashboards/More {number}.json").write_text(json.dumps({"n": number}, indent=1))
            manifests = helm_python.Chart.load(chart).render(ALL, name="gitops-status-server", namespace="b")
            rendered = Rendered(manifests)
            self.assertEqual(len(rendered.all("ConfigMap")), 14)
            check_files(self, rendered, chart / "files/rules.yaml", chart / "files/dashboards")
            (chart / "files/dashboards/big.json").write_text(json.dumps("x" * 1_100_000))
            with self.assertRaisesRegex(helm_python.HelmError, "big.json is too large"):
                helm_python.Chart.load(chart).render(ALL, name="a", namespace="b")

    def sources(self, **values):
        secret = render({"grafana": {"datasource": {"enabled": True, **values}}}).one("Secret")
        self.assertEqual(secret["metadata"]["labels"]["grafana_datasource"], "1")
        (text,) = secret["stringData"].values()
        return yaml.safe_load(text)["datasources"]

    def source(self, **values):
        (source,) = self.sources(**values)
        return source

    def test_the_data_source_leads_to_the_service(self):
        source = self.source()
        url = "http://gitops-status-server.observability-stack.svc.cluster.local:80"
        self.assertEqual(source["type"], "yesoreyeram-infinity-datasource")
        self.assertEqual(source["url"], url)
        self.assertEqual(source["jsonData"]["customHealthCheckUrl"], f"{url}/health")
        self.assertNotIn("secureJsonData", source)

    def test_a_token_for_the_data_source(self):
        source = self.source(tokenVariable="STATUS_TOKEN", url="https://status.example.com/")
        self.assertEqual(source["secureJsonData"], {"bearerToken": "$STATUS_TOKEN"})
        self.assertEqual(source["jsonData"]["auth_method"], "bearerToken")
        self.assertEqual(source["jsonData"]["allowedHosts"], ["https://status.example.com"])

    def test_tokens_follow_their_secret(self):
        rendered = render({"tokens": {"existingSecret": "secret", "key": "k.toml"}})
        folder, _, file = rendered.env["TOKENS_FILE"].rpartition("/")
        self.assertEqual(file, "k.toml")
        (mount,) = [m for m in rendered.container["volumeMounts"] if m["mountPath"] == folder]
        self.assertNotIn("subPath", mount)
        (volume,) = [v for v in rendered.pod["volumes"] if v["name"] == mount["name"]]
        self.assertEqual(volume["secret"], {"secretName": "secret", "defaultMode": 0o440})


class SyncChart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = pathlib.Path(folder.name)
        self.rules = self.root / "deploy/prometheus/rules.yaml"
        self.dashboards = self.root / "deploy/grafana/dashboards"
        self.copies = self.root / "deploy/helm/gitops-status-server/files"
        self.rules.parent.mkdir(parents=True)
        shutil.copytree(HERE / "files/dashboards", self.dashboards)
        shutil.copy(HERE / "files/rules.yaml", self.rules)

    def sync(self, *arguments):
        command = [SYNC, "--root", self.root, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def assert_fails(self, words, *arguments):
        result = self.sync(*arguments)
        self.assertEqual(result.returncode, 1)
        self.assertIn(words, result.stderr)
        return result.stderr.splitlines()

    def test_copies_and_finds_them_the_same(self):
        self.assert_fails("run scripts/sync-chart", "--check")
        self.assertFalse(self.copies.exists(), "--check has written something")
        self.assertEqual(self.sync().returncode, 0)
        self.assertEqual(self.sync("--check").returncode, 0)
        self.assertEqual(self.sync().stdout, "")
        copied = sorted(p.name for p in self.copies.rglob("*") if p.is_file())
        self.assertEqual(copied, ["fixture_one.json", "rules.yaml", "two.json"])

    def test_every_difference_is_named(self):
        self.sync()
        self.rules.write_text(self.rules.read_text() + "# changed\n")
        (self.dashboards / "three.json").write_text("{}")
        (self.dashboards / "two.json").unlink()
        (self.copies / "dashboards/fixture_one.json").write_text("{}")
        lines = "\n".join(self.assert_fails("the copies differ", "--check"))
        for file, words in (
            ("rules.yaml", "is not the same"),
            ("three.json", "is not the same"),
            ("two.json", "has no source"),
            ("fixture_one.json", "is not the same"),
        ):
            self.assertIn(f"{file} {words}", lines)
        self.assertEqual(self.sync().returncode, 0)
        self.assertEqual(self.sync("--check").returncode, 0)
        self.assertFalse((self.copies / "dashboards/two.json").exists())

    def test_missing_sources_are_one_clear_line(self):
        self.sync()
        self.rules.unlink()
        for arguments in ((), ("--check",)):
            self.assertEqual(len(self.assert_fails("there is no deploy/prometheus/rules.yaml", *arguments)), 1)
        shutil.copy(HERE / "files/rules.yaml", self.rules)
        shutil.rmtree(self.dashboards)
        for arguments in ((), ("--check",)):
            self.assertEqual(len(self.assert_fails("there is no deploy/grafana/dashboards/*.json", *arguments)), 1)
        self.assertTrue((self.copies / "dashboards/two.json").exists(), "copies must survive missing sources")

    def test_wrong_arguments(self):
        self.assert_fails("there is no '--chekc'", "--chekc")


if __name__ == "__main__":
    unittest.main()
