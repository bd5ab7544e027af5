"""The reader of kustomizations builds what kubectl builds, and refuses what it does not know."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.kustomize import Document, UnknownError, build
from tests.deploy.manifests import KUBERNETES, OVERLAYS, ROOT

BASE = KUBERNETES / "base"


def by_kubectl(directory: Path) -> list[Document]:
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("kubectl is missing (https://kubernetes.io/docs/tasks/tools)")
    done = subprocess.run(
        [kubectl, "kustomize", str(directory)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def in_order(found: list[Document]) -> list[Document]:
    return sorted(found, key=lambda each: (each["kind"], each["metadata"]["name"]))


def written(directory: Path, text: str) -> Path:
    """A kustomization upon the base."""
    away = os.path.relpath(BASE, directory.resolve())
    (directory / "kustomization.yaml").write_text(f"kind: Kustomization\nresources: [{away}]\n{text}")
    return directory


@pytest.mark.parametrize("overlay", ["base", *OVERLAYS])
def test_it_builds_what_kubectl_builds(overlay: str) -> None:
    directory = BASE if overlay == "base" else KUBERNETES / "overlays" / overlay
    assert in_order(build(directory)) == in_order(by_kubectl(directory))


def test_it_builds_the_example_of_the_manual_as_kubectl_does(tmp_path: Path) -> None:
    page = (ROOT / "docs/sizing.md").read_text("utf-8")
    blocks = dict(re.findall(r"(?ms)^```(ini|yaml)\n(.*?)^```", page))
    away = os.path.relpath(KUBERNETES, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(blocks["yaml"].replace("../..", away))
    (tmp_path / "proxy.ini").write_text(blocks["ini"])
    assert in_order(build(tmp_path)) == in_order(by_kubectl(tmp_path))


PATCHES = """
images: [{name: wsproxy, newName: registry.example.com:5000/wsproxy, newTag: "2"}]
patches:
  - target: {kind: Deployment, name: wsproxy}
    patch: |
      - {op: add, path: /spec/template/metadata/annotations, value: {example.com~1a: b}}
      - {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: LAST, value: "1"}}
      - {op: remove, path: /spec/template/spec/topologySpreadConstraints/0}
  - patch: |
      apiVersion: apps/v1
      kind: Deployment
      metadata: {name: wsproxy}
      spec:
        minReadySeconds: null
        template:
          spec:
            containers:
              - name: wsproxy
                resources: {limits: {cpu: "2"}}
                env: [{name: POD_NAMESPACE, value: fixed, valueFrom: null}, {name: MORE, value: x}]
"""


def test_it_patches_as_kubectl_does(tmp_path: Path) -> None:
    directory = written(tmp_path, PATCHES)
    assert in_order(build(directory)) == in_order(by_kubectl(directory))


@pytest.mark.parametrize(
    "text",
    [
        "namePrefix: a-\n",
        "labels: [{pairs: {a: b}, includeSelectors: true}]\n",
        "configMapGenerator: [{name: a, literals: [b=c]}]\n",
        'patches: [{target: {kind: Service, name: wsproxy}, patch: "[{op: move, from: /spec, path: /kind}]"}]\n',
    ],
)
def test_what_it_does_not_know_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(UnknownError):
        build(written(tmp_path, text))


@pytest.mark.parametrize(
    "text",
    [
        'patches: [{target: {kind: Service, name: other}, patch: "[]"}, {patch: "{kind: Job, metadata: {name: a}}"}]\n',
        'patches: [{target: {kind: Service, name: wsproxy}, patch: "[{op: remove, path: /spec/nothing}]"}]\n',
    ],
)
def test_what_is_not_there_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(KeyError):
        build(written(tmp_path, text))
