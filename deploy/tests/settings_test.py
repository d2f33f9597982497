"""Every variable and every key that the files below deploy/ set is one that the program knows.

`SSO_PROGRAMS` names the folder of the programs; each is asked by its own `config check`."""

import base64
import configparser
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from rendered import DEPLOY, compose, merged, program, render, values

DEFAULTS = {"${SSO_PUBLIC_URL:-http://localhost:8000}": "http://localhost:8000"}


class Settings(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        script = shutil.copy(DEPLOY / "compose/secrets.sh", self.folder)
        subprocess.run([script], check=True, capture_output=True)
        self.made = self.folder / "secrets"

    def check(self, name, environment, *arguments):
        return subprocess.run(
            [program(name), "config", "check", *arguments],
            env=environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def good(self, name, environment, *arguments):
        done = self.check(name, environment, *arguments)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def of_compose(self, service):
        environment = {}
        for name, value in service["environment"].items():
            value = DEFAULTS.get(value, str(value))
            environment[name] = value.replace("/run/secrets", str(self.made))
        return environment

    def test_the_script_makes_every_secret_once(self):
        before = {file.name: file.read_text() for file in self.made.iterdir()}
        self.assertEqual(len(base64.b64decode(before["master_key"])), 32)
        passwords = [text for name, text in before.items() if name.endswith("_password")]
        self.assertEqual(len(set(passwords)), len(passwords))
        self.assertTrue(all(len(text) == 32 for text in passwords))
        subprocess.run([self.folder / "secrets.sh"], check=True, capture_output=True)
        self.assertEqual(before, {file.name: file.read_text() for file in self.made.iterdir()})

    def test_what_no_program_knows_is_refused(self):
        environment = self.of_compose(compose("compose.yaml")["services"]["sso1"])
        done = self.check("sso", {**environment, "SSO__KAFKA__BROKER": "kafka:9092"})
        self.assertEqual(done.returncode, 78)
        self.assertIn("SSO__KAFKA__BROKER", done.stdout + done.stderr)

    def test_the_compose_files_set_what_the_programs_know(self):
        whole, small = compose("compose.yaml")["services"], compose("small.yaml")["services"]
        for name, service in [
            ("sso", whole["sso1"]),
            ("sso", whole["sso2"]),
            ("sso", whole["migrate"]),
            ("sso", small["sso"]),
            ("welcome", whole["welcome"]),
            ("loyalty", whole["loyalty"]),
        ]:
            with self.subTest(program=name):
                self.good(name, self.of_compose(service))

    def test_the_chart_sets_what_the_program_knows(self):
        for name in ["minimal", "full"]:
            objects = render(values(name))
            self.mount(objects)
            for kind in ["Deployment", "Job"]:
                item = next(item for (of, _), item in objects.items() if of == kind)
                with self.subTest(values=name, kind=kind):
                    environment = item["spec"]["template"]["spec"]["containers"][0]["env"]
                    mounted = {e["name"]: e["value"].replace("/etc/sso", str(self.folder)) for e in environment}
                    self.good("sso", mounted)

    def test_a_key_that_the_values_misspell_is_refused(self):
        objects = render(merged(values("full"), {"config": {"redis": {"sentinel": ["a:1"]}}}))
        self.mount(objects)
        environment = objects["Deployment", "sso"]["spec"]["template"]["spec"]["containers"][0]["env"]
        mounted = {e["name"]: e["value"].replace("/etc/sso", str(self.folder)) for e in environment}
        self.assertEqual(self.check("sso", mounted).returncode, 78)

    def mount(self, objects):
        """The files that the pods of the chart see below /etc/sso."""
        (self.folder / "sso.toml").write_text(objects["ConfigMap", "sso"]["data"]["sso.toml"])
        secrets, tls = self.made, self.folder / "tls"
        for name in ["databasePassword", "redisPassword", "sentinelPassword", "kafkaPassword"]:
            (secrets / name).write_text("x" * 32)
        (secrets / "masterKey").write_text((self.made / "master_key").read_text())
        tls.mkdir(exist_ok=True)
        if not (tls / "tls.key").exists():
            make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
            make += ["-nodes", "-days", "2", "-subj", "/CN=sso", "-addext", "subjectAltName=DNS:sso"]
            make += ["-keyout", tls / "tls.key", "-out", tls / "tls.crt"]
            subprocess.run(make, check=True, capture_output=True)
            (tls / "ca.crt").write_text((tls / "tls.crt").read_text())

    def test_the_units_set_what_the_programs_know(self):
        for unit in sorted((DEPLOY / "systemd").glob("*.service")):
            with self.subTest(unit=unit.name):
                parser = configparser.RawConfigParser(strict=False, delimiters="=")
                parser.optionxform = str
                parser.read(unit)
                service = parser["Service"]
                command = service["ExecStart"].split()
                self.assertEqual(command[0], f"/usr/bin/{unit.stem}")
                self.assertEqual(command[1:3], ["serve", "--config"])
                # A configuration that is wrong ends it with a code after which it is not started again.
                self.assertNotIn("ExecStartPre", service)
                self.assertIn("78", service["RestartPreventExitStatus"].split())
                self.assertEqual(parser["Unit"]["StartLimitIntervalSec"], "0")
                # Everything is in the file: commands that people run find what the service has.
                self.assertNotIn("Environment", service)
                packaged = DEPLOY / "systemd" / pathlib.Path(command[3]).name
                self.assertTrue(packaged.is_file(), f"{packaged} is what the package installs")
                self.good(unit.stem, {}, "--config", str(packaged))


if __name__ == "__main__":
    unittest.main()
