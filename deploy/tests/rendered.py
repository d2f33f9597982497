"""The files below deploy/, read and rendered for the tests beside this one."""

import os
import pathlib

import yaml
from helm_python import chart

DEPLOY = pathlib.Path(__file__).resolve().parent.parent
CHART = DEPLOY / "helm/sso"


def values(name):
    """Values that lie with the chart, such as `full`."""
    return yaml.safe_load((CHART / f"ci/{name}-values.yaml").read_text())


def merged(base, changes):
    """A copy of `base` in which what `changes` names is another."""
    result = dict(base)
    for key, value in changes.items():
        inner = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if inner else value
    return result


def render(given):
    """The objects that helm would hand to Kubernetes, by (kind, name)."""
    with chart.Chart.load(str(CHART)) as loaded:
        files = loaded.render(values=given, name="sso", namespace="sso")
    objects = {}
    for path, text in files.items():
        if path.endswith("NOTES.txt"):
            continue
        for item in yaml.safe_load_all(text):
            if item is not None:
                key = (item["kind"], item["metadata"]["name"])
                assert key not in objects, f"{key} twice"
                objects[key] = item
    return objects


def compose(name):
    """A compose file with its anchors and merges resolved."""
    return yaml.safe_load((DEPLOY / f"compose/{name}").read_text())


def program(name):
    """A program of ours, built for the tests."""
    return pathlib.Path(os.environ["SSO_PROGRAMS"]) / name
