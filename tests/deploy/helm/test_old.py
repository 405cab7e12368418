"""From v1's chart and from v2: names, URL, values and status files that people have."""

import json
import unittest

from chart import merged, render, value_set

V1 = {"repo": "rsyslog", "server": "lab", "sync_status": "OUT_OF_SYNC", "drift_count": 1, "files": ["a.conf"]}


class OldChart(unittest.TestCase):
    def setUp(self):
        self.rendered = render(value_set("old-chart"))

    def test_the_url_stays(self):
        service = self.rendered.one("Service")
        self.assertEqual(service["metadata"]["name"], "gitops-status-server")
        self.assertEqual(service["metadata"]["namespace"], "observability-stack")
        (port,) = service["spec"]["ports"]
        self.assertEqual((service["spec"]["type"], port["port"]), ("ClusterIP", 80))

    def test_the_service_leads_to_where_the_server_listens(self):
        (port,) = self.rendered.one("Service")["spec"]["ports"]
        (listening,) = self.rendered.container["ports"]
        self.assertEqual(port["targetPort"], listening["name"])
        self.assertEqual(listening["containerPort"], 8080)
        self.assertEqual(self.rendered.env["API_PORT"], "8080")
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            self.assertEqual(self.rendered.container[probe]["httpGet"]["port"], listening["name"])

    def test_the_deployment_keeps_its_name(self):
        deployment = self.rendered.one("Deployment")
        self.assertEqual(deployment["metadata"]["name"], "gitops-status-server")
        labels = {
            "app.kubernetes.io/name": "gitops-status-server",
            "app.kubernetes.io/instance": "gitops-status-server",
        }
        self.assertEqual(deployment["spec"]["selector"]["matchLabels"], labels)

    def test_a_deployment_with_other_labels_can_be_taken_over(self):
        values = merged(value_set("old-chart"), {"selectorLabels": {"app": "gitops-status-server"}})
        spec = render(values).one("Deployment")["spec"]
        self.assertEqual(spec["selector"]["matchLabels"], {"app": "gitops-status-server"})
        self.assertEqual(spec["template"]["metadata"]["labels"], {"app": "gitops-status-server"})

    def test_its_resources_count(self):
        self.assertEqual(self.rendered.container["resources"]["limits"], {"cpu": "100m", "memory": "64Mi"})

    def test_an_image_of_nginx_is_not_taken_for_the_server(self):
        self.assertEqual(self.rendered.container["image"], "gitops-status-server:0.1.0")
        self.assertIn("image.repository is nginxinc/nginx-unprivileged", self.rendered.notes)
        own = {"repository": "nginx.example.com/gitops-status-server", "tag": "1"}
        image = render({"image": own}).container["image"]
        self.assertEqual(image, "nginx.example.com/gitops-status-server:1")


class Names(unittest.TestCase):
    def name(self, release, **values):
        return render(values, name=release).one("Service")["metadata"]["name"]

    def test_by_release(self):
        self.assertEqual(self.name("gitops-status-server"), "gitops-status-server")
        self.assertEqual(self.name("prod-gitops-status-server"), "prod-gitops-status-server")
        self.assertEqual(self.name("status"), "status-gitops-status-server")
        self.assertEqual(self.name("a", nameOverride="drift"), "a-drift")
        self.assertEqual(self.name("a", fullnameOverride="gitops-status-api"), "gitops-status-api")

    def test_a_long_name_is_cut(self):
        self.assertLessEqual(len(self.name("r" * 53)), 63)


class FromV2(unittest.TestCase):
    def test_names_port_and_volume(self):
        rendered = render(value_set("v2-volume"))
        self.assertEqual(rendered.one("Service")["metadata"]["name"], "gitops-status-api")
        self.assertEqual(rendered.one("Service")["spec"]["ports"][0]["port"], 5000)
        self.assertEqual(rendered.env["API_PORT"], "5000")
        self.assertEqual(rendered.all("PersistentVolumeClaim"), [])
        claims = [v["persistentVolumeClaim"]["claimName"] for v in rendered.pod["volumes"]]
        self.assertEqual(claims, ["gitops-status-data"])

    def test_the_status_file_on_the_volume_is_left_to_the_image(self):
        self.assertNotIn("STATUS_FILE", render(value_set("v2-volume")).env)


class StatusJson(unittest.TestCase):
    def status(self, given):
        """What the server would read, or None."""
        rendered = render({"statusJson": given})
        mounts = {m["mountPath"]: m["name"] for m in rendered.container["volumeMounts"]}
        maps = rendered.all("ConfigMap")
        if not maps:
            self.assertNotIn("STATUS_FILE", rendered.env)
            self.assertEqual(list(mounts), ["/data"])
            return None
        folder, _, file = rendered.env["STATUS_FILE"].rpartition("/")
        (volume,) = [v for v in rendered.pod["volumes"] if v["name"] == mounts[folder]]
        self.assertEqual(volume["configMap"]["name"], maps[0]["metadata"]["name"])
        return json.loads(maps[0]["data"][file])

    def test_a_real_one_is_mounted(self):
        self.assertEqual(self.status(V1), V1)
        self.assertEqual(self.status(json.dumps(V1)), V1)
        v2 = {"version": "2.0", "servers": {"g/h": {"status": "synced"}}}
        self.assertEqual(self.status(v2), v2)
        self.assertEqual(self.status(json.dumps(v2) + "\n"), v2)

    def test_placeholders_are_no_status(self):
        unknown = {"sync_status": "UNKNOWN", "drift_count": 0, "files": [], "last_check": None}
        for given in ({}, None, "", " \n", "{}", unknown, {**unknown, "repo": "", "server": ""},
                      {**unknown, "repo": "rsyslog"}, {"servers": {}}, {"sync_status": ""}):  # fmt: skip
            with self.subTest(given=given):
                self.assertIsNone(self.status(given))

    def test_a_placeholder_with_names_is_a_server_of_unknown_state(self):
        given = {"repo": "rsyslog", "server": "lab", "sync_status": "UNKNOWN", "last_check": "never"}
        self.assertEqual(self.status(given), {k: v for k, v in given.items() if k != "last_check"})

    def test_strange_text_survives(self):
        given = {**V1, "files": ["a: b # c", "{{ x }}", "- é\t\"'", "<&>"]}
        self.assertEqual(self.status(given), given)

    def test_a_change_starts_no_new_pod(self):
        other = {**V1, "sync_status": "SYNCED", "files": []}
        before, after = (render({"statusJson": s}).one("Deployment") for s in (V1, other))
        self.assertEqual(before, after)


if __name__ == "__main__":
    unittest.main()
