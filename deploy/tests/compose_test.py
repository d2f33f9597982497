"""The compose files: what starts after what, what stays, and what nobody may know by default."""

import re
import unittest

from rendered import DEPLOY, compose

WHOLE = compose("compose.yaml")
SMALL = compose("small.yaml")

# The whole system.
PARTS = """
    etcd pg1 pg2 pg3 haproxy redis1 redis2 redis3 sentinel1 sentinel2 sentinel3 kafka registry
    sso1 sso2 welcome loyalty mail prometheus grafana traces
""".split()
# Nothing can be asked inside the image: it has no shell and no client.
MUTE = {"traces"}
ONCE = {"migrate", "topics"}
# Of our images: their Dockerfile has the check.
OURS = {"sso", "sso1", "sso2", "welcome", "loyalty", "pg1", "pg2", "pg3"}


def ports(file):
    published = [port for service in file["services"].values() for port in service.get("ports", [])]
    return {int(port.split(":")[1]): port for port in published}


class Compose(unittest.TestCase):
    def test_the_whole_system_is_there(self):
        self.assertEqual(set(WHOLE["services"]), {*PARTS, *ONCE})
        self.assertEqual(set(SMALL["services"]), {"postgres", "redis", "sso"})

    def test_the_ports_are_those_that_people_know_and_on_loopback(self):
        self.assertTrue({8000, 44044, 3000, 9090} <= set(ports(WHOLE)))
        self.assertEqual(set(ports(SMALL)), {8000, 44044})
        for port in [*ports(WHOLE).values(), *ports(SMALL).values()]:
            self.assertTrue(port.startswith("127.0.0.1:"), port)

    def test_everything_starts_when_what_it_needs_is_healthy(self):
        for file in [WHOLE, SMALL]:
            for name, service in file["services"].items():
                needs = service.get("depends_on", {})
                self.assertIsInstance(needs, dict, f"{name} does not say which state it waits for")
                for needed, how in needs.items():
                    expected = "service_healthy"
                    if needed in ONCE:
                        expected = "service_completed_successfully"
                    elif needed in MUTE:
                        expected = "service_started"
                    self.assertEqual(how["condition"], expected, f"{name} needs {needed}")

    def test_everything_that_runs_says_whether_it_is_well(self):
        for file in [WHOLE, SMALL]:
            for name, service in file["services"].items():
                if name not in OURS | ONCE | MUTE:
                    self.assertIn("healthcheck", service, name)

    def test_two_instances_and_the_services_wait_for_what_they_need(self):
        for name in ["sso1", "sso2"]:
            needs = WHOLE["services"][name]["depends_on"]
            self.assertTrue({"migrate", "topics", "sentinel1", "sentinel2", "sentinel3"} <= set(needs))
        self.assertTrue({"pg1", "pg2", "pg3", "haproxy"} <= set(WHOLE["services"]["migrate"]["depends_on"]))

    def test_what_drains_has_time_to_drain(self):
        for name in ["sso1", "sso2", "welcome", "loyalty"]:
            self.assertEqual(WHOLE["services"][name]["stop_grace_period"], "60s", name)

    def test_a_redis_keeps_its_name_in_a_new_container(self):
        for name, service in WHOLE["services"].items():
            if re.fullmatch(r"(redis|sentinel)\d", name):
                self.assertEqual(service["hostname"], name)

    def test_what_is_kept_is_kept_in_volumes_with_names(self):
        for file in [WHOLE, SMALL]:
            used = set()
            for name, service in file["services"].items():
                for volume in service.get("volumes", []):
                    source = volume.split(":")[0]
                    if not source.startswith("."):
                        used.add(source)
            self.assertEqual(used, set(file["volumes"]))

    def test_no_password_and_no_key_is_written_down(self):
        secret = re.compile(r"PASSWORD|MASTER_KEY|SECRET|CALLER_TOKEN", re.I)
        for file in [WHOLE, SMALL]:
            for name, service in file["services"].items():
                for variable, value in service.get("environment", {}).items():
                    if secret.search(variable):
                        self.assertTrue(str(value).startswith("/run/secrets/"), f"{name}: {variable}")
            made = (DEPLOY / "compose/secrets.sh").read_text()
            for name, where in file["secrets"].items():
                self.assertEqual(where["file"], f"./secrets/{name}")
                self.assertIn(name, made)

    def test_every_file_that_is_mounted_exists(self):
        for file in [WHOLE, SMALL]:
            for name, where in file.get("configs", {}).items():
                self.assertTrue((DEPLOY / "compose" / where["file"]).is_file(), name)
            for service in file["services"].values():
                for volume in service.get("volumes", []):
                    if volume.startswith("."):
                        self.assertTrue((DEPLOY / "compose" / volume.split(":")[0]).exists(), volume)

    def test_containers_have_no_rights_that_they_do_not_need(self):
        for file in [WHOLE, SMALL]:
            for name, service in file["services"].items():
                self.assertEqual(service.get("cap_drop"), ["ALL"], name)
                if name not in ONCE:
                    self.assertEqual(service["security_opt"], ["no-new-privileges:true"], name)

    def test_no_image_is_whatever_is_the_latest(self):
        for file in [WHOLE, SMALL]:
            for name, service in file["services"].items():
                image = service["image"]
                if not image.startswith("${") and "build" not in service:
                    self.assertRegex(image, r":v?\d+\.\d+", name)


if __name__ == "__main__":
    unittest.main()
