"""The chart: what values become which objects. No cluster is needed."""

import unittest

import kubernetes_validate
from helm_python import chart

from rendered import CHART, merged, render, values

# The oldest that Chart.yaml allows, and the newest that the schemas are known of.
VERSIONS = ["1.28", kubernetes_validate.latest_version()]
# Kinds of operators of others: their schemas are not Kubernetes's.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}


def deployment(objects):
    return objects["Deployment", "sso"]["spec"]


def pod(objects):
    return deployment(objects)["template"]["spec"]


def container(objects):
    return pod(objects)["containers"][0]


def environment(objects):
    return {item["name"]: item["value"] for item in container(objects)["env"]}


class Objects(unittest.TestCase):
    def test_the_chart_has_nothing_that_lint_complains_of(self):
        report = chart.lint(str(CHART))
        self.assertFalse(report.get("errors"), report)

    def test_every_object_holds_to_the_strict_schemas_of_kubernetes(self):
        for name in ["minimal", "full"]:
            for (kind, _), item in render(values(name)).items():
                if kind in FOREIGN:
                    continue
                for version in VERSIONS:
                    with self.subTest(values=name, kind=kind, version=version):
                        kubernetes_validate.validate(item, version, strict=True)

    def test_an_object_that_the_schemas_do_not_know_is_refused(self):
        item = render(values("minimal"))["Deployment", "sso"]
        item["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
        with self.assertRaises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(item, VERSIONS[-1], strict=True)

    def test_the_least_values_give_what_must_always_be_there(self):
        kinds = sorted({kind for kind, _ in render(values("minimal"))})
        expected = ["ConfigMap", "Deployment", "Job", "NetworkPolicy", "PodDisruptionBudget", "Service", "ServiceAccount"]
        self.assertEqual(kinds, expected)

    def test_all_values_give_the_rest(self):
        kinds = {kind for kind, _ in render(merged(values("full"), {"prometheusRule": {"enabled": True}}))}
        for kind in ["HorizontalPodAutoscaler", "Ingress", "ServiceMonitor", "PrometheusRule"]:
            self.assertIn(kind, kinds)

    def test_what_is_switched_off_is_not_there(self):
        off = {"enabled": False}
        given = merged(values("minimal"), {"podDisruptionBudget": off, "networkPolicy": off, "migrations": off})
        kinds = sorted({kind for kind, _ in render(given)})
        self.assertEqual(kinds, ["ConfigMap", "Deployment", "Service", "ServiceAccount"])


class Values(unittest.TestCase):
    def refused(self, changes, word):
        with self.assertRaisesRegex(Exception, word):
            render(merged(values("minimal"), changes))

    def test_what_has_no_default_must_be_given(self):
        self.refused({"image": {"repository": ""}}, "image.repository")
        self.refused({"config": {"http": {"public_url": ""}}}, "public_url")
        self.refused({"config": {"database": {"url": ""}}}, "database.url")
        self.refused({"secrets": {"masterKey": {"secret": ""}}}, "masterKey")

    def test_unknown_and_misspelt_values_are_refused(self):
        self.refused({"replica": 3}, "replica")
        self.refused({"replicas": 0}, "replicas")
        self.refused({"shutdown": {"delay": "5 seconds"}}, "delay")
        self.refused({"image": {"digest": "latest"}}, "digest")

    def test_no_secret_is_in_any_object(self):
        for (kind, _), item in render(values("full")).items():
            self.assertNotEqual(kind, "Secret")
            for entry in item.get("spec", {}).get("template", {}).get("spec", {}).get("containers", []):
                for variable in entry["env"]:
                    secret = variable["name"].endswith(("PASSWORD", "MASTER_KEY", "SECRET", "TOKEN"))
                    self.assertFalse(secret, variable)


class Pods(unittest.TestCase):
    def test_a_digest_goes_before_a_tag(self):
        digest = "sha256:" + "a" * 64
        given = merged(values("minimal"), {"image": {"tag": "1", "digest": digest}})
        self.assertEqual(container(render(given))["image"], f"registry.example.com/sso@{digest}")
        self.assertEqual(container(render(values("minimal")))["image"], "registry.example.com/sso:0.1.0")

    def test_a_pod_may_nothing_that_it_does_not_need(self):
        for kind, name in [("Deployment", "sso"), ("Job", "sso-migrate")]:
            spec = render(values("full"))[kind, name]["spec"]["template"]["spec"]
            self.assertFalse(spec["automountServiceAccountToken"])
            self.assertEqual(spec["securityContext"]["runAsUser"], 65532)
            self.assertTrue(spec["securityContext"]["runAsNonRoot"])
            security = spec["containers"][0]["securityContext"]
            self.assertTrue(security["readOnlyRootFilesystem"])
            self.assertFalse(security["allowPrivilegeEscalation"])
            self.assertEqual(security["capabilities"], {"drop": ["ALL"]})

    def test_an_upgrade_takes_no_instance_away_before_another_is_ready(self):
        strategy = deployment(render(values("minimal")))["strategy"]["rollingUpdate"]
        self.assertEqual(strategy, {"maxSurge": 1, "maxUnavailable": 0})

    def test_dependencies_do_not_kill_a_pod_and_decide_whether_it_gets_requests(self):
        probes = container(render(values("minimal")))
        self.assertEqual(probes["livenessProbe"]["httpGet"]["path"], "/auth/healthz")
        self.assertEqual(probes["readinessProbe"]["httpGet"]["path"], "/auth/ready")

    def test_there_is_time_to_drain_before_the_pod_is_killed(self):
        objects = render(values("minimal"))
        seconds = [int(environment(objects)[f"SSO__SHUTDOWN__{key}"].rstrip("s")) for key in ["DELAY", "DRAIN_TIMEOUT"]]
        self.assertGreater(pod(objects)["terminationGracePeriodSeconds"], sum(seconds))

    def test_each_secret_is_a_file_of_the_secret_that_is_named(self):
        objects = render(values("full"))
        sources = next(v for v in pod(objects)["volumes"] if v["name"] == "secrets")["projected"]["sources"]
        files = {item["path"]: (s["secret"]["name"], item["key"]) for s in sources for item in s["secret"]["items"]}
        self.assertEqual(files["sentinelPassword"], ("sso-redis", "sentinel_password"))
        named = {value.rsplit("/", 1)[1] for name, value in environment(objects).items() if name.endswith("_FILE")}
        self.assertEqual(named, set(files))

    def test_tls_is_spoken_on_both_ports_and_by_the_probes(self):
        plain, tls = render(values("minimal")), render(values("full"))
        self.assertNotIn("SSO__HTTP__TLS_CERT", environment(plain))
        self.assertEqual(container(plain)["readinessProbe"]["httpGet"]["scheme"], "HTTP")
        for name in ["SSO__HTTP__TLS_CERT", "SSO__GRPC__TLS_CERT", "SSO__GRPC__TLS_CLIENT_CA"]:
            self.assertIn(name, environment(tls))
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
            self.assertEqual(container(tls)[probe]["httpGet"]["scheme"], "HTTPS")
        protocols = [{p["name"]: p.get("appProtocol") for p in o["Service", "sso"]["spec"]["ports"]} for o in (plain, tls)]
        self.assertEqual(protocols[0], {"http": "http", "grpc": "kubernetes.io/h2c"})
        self.assertEqual(protocols[1], {"http": "https", "grpc": "https"})

    def test_another_configuration_is_another_pod(self):
        key = "checksum/config"
        of = lambda given: deployment(render(given))["template"]["metadata"]["annotations"][key]
        other = merged(values("minimal"), {"config": {"log": {"level": "debug"}}})
        self.assertEqual(of(values("minimal")), of(values("minimal")))
        self.assertNotEqual(of(values("minimal")), of(other))

    def test_services_policies_and_budgets_select_the_servers_and_not_the_job(self):
        objects = render(values("minimal"))
        labels = deployment(objects)["template"]["metadata"]["labels"]
        job = objects["Job", "sso-migrate"]["spec"]["template"]["metadata"]["labels"]
        selectors = [
            objects["Service", "sso"]["spec"]["selector"],
            objects["Service", "sso-instances"]["spec"]["selector"],
            deployment(objects)["selector"]["matchLabels"],
            objects["PodDisruptionBudget", "sso"]["spec"]["selector"]["matchLabels"],
            objects["NetworkPolicy", "sso"]["spec"]["podSelector"]["matchLabels"],
            *[item["labelSelector"]["matchLabels"] for item in pod(objects)["topologySpreadConstraints"]],
        ]
        for selector in selectors:
            self.assertEqual(selector, {key: labels.get(key) for key in selector})
            self.assertNotEqual(selector, {key: job.get(key) for key in selector})


class Around(unittest.TestCase):
    def test_the_migration_runs_before_the_instances_and_after_its_configuration(self):
        objects = render(values("minimal"))
        notes = objects["Job", "sso-migrate"]["metadata"]["annotations"]
        self.assertEqual(notes["helm.sh/hook"], "pre-install,pre-upgrade")
        config = objects["ConfigMap", "sso-migrate"]["metadata"]["annotations"]
        self.assertEqual(config["helm.sh/hook"], notes["helm.sh/hook"])
        self.assertLess(int(config["helm.sh/hook-weight"]), int(notes["helm.sh/hook-weight"]))
        volumes = objects["Job", "sso-migrate"]["spec"]["template"]["spec"]["volumes"]
        self.assertIn({"name": "config", "configMap": {"name": "sso-migrate"}}, volumes)
        self.assertEqual(objects["Job", "sso-migrate"]["spec"]["template"]["spec"]["containers"][0]["args"], ["migrate", "up"])

    def test_a_rollback_brings_the_former_configuration_back(self):
        for enabled in [True, False]:
            objects = render(merged(values("minimal"), {"migrations": {"enabled": enabled}}))
            own = objects["ConfigMap", "sso"]
            self.assertNotIn("annotations", own["metadata"], "what is a hook is no part of the release")
            self.assertIn({"name": "config", "configMap": {"name": "sso"}}, pod(objects)["volumes"])
            self.assertEqual(("ConfigMap", "sso-migrate") in objects, enabled)
            if enabled:
                self.assertEqual(objects["ConfigMap", "sso-migrate"]["data"], own["data"])

    def test_an_autoscaler_alone_decides_how_many(self):
        self.assertEqual(deployment(render(values("minimal")))["replicas"], 2)
        objects = render(values("full"))
        self.assertNotIn("replicas", deployment(objects))
        self.assertEqual(objects["HorizontalPodAutoscaler", "sso"]["spec"]["scaleTargetRef"]["name"], "sso")

    def test_the_policy_lets_in_who_is_named_and_out_where_is_named(self):
        everybody = render(values("minimal"))["NetworkPolicy", "sso"]["spec"]
        self.assertEqual(everybody["policyTypes"], ["Ingress"])
        self.assertTrue(all("from" not in rule for rule in everybody["ingress"]))
        named = render(values("full"))["NetworkPolicy", "sso"]["spec"]
        self.assertEqual(named["policyTypes"], ["Ingress", "Egress"])
        self.assertEqual([rule["ports"][0]["port"] for rule in named["ingress"]], ["grpc", "http"])
        self.assertTrue(all(rule["from"] for rule in named["ingress"]))
        self.assertEqual([port["port"] for port in named["egress"][0]["ports"]], [53, 53])

    def test_prometheus_finds_every_instance_by_the_port_of_the_metrics(self):
        objects = render(values("full"))
        monitor = objects["ServiceMonitor", "sso"]["spec"]
        service = objects["Service", "sso-instances"]
        labels = service["metadata"]["labels"]
        wanted = monitor["selector"]["matchLabels"]
        self.assertEqual(wanted, {key: labels.get(key) for key in wanted})
        self.assertEqual(labels[monitor["jobLabel"]], "sso", "rules and dashboards go by this name")
        ports = {port["name"] for port in service["spec"]["ports"]}
        self.assertTrue({endpoint["port"] for endpoint in monitor["endpoints"]} <= ports)

    def test_the_rules_are_those_of_prometheus(self):
        rule = {"enabled": True, "runbooks": "https://wiki.example.com/sso"}
        given = merged(values("minimal"), {"prometheusRule": rule})
        groups = render(given)["PrometheusRule", "sso"]["spec"]["groups"]
        self.assertGreater(len(groups), 0)
        links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"] if "alert" in rule]
        self.assertTrue(links and all(link.startswith("https://wiki.example.com/sso/") for link in links), links)
        self.assertTrue(all(rule["expr"] for group in groups for rule in group["rules"]))


if __name__ == "__main__":
    unittest.main()
