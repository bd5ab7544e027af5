"""The files of deploy/ as data: what a kustomization lists, what it builds, which ini file a pod would run.

Knows YAML and kustomizations; nothing of what the files ought to say.
"""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.deploy.kustomize import Document
from wsproxy.config.build import load
from wsproxy.config.model import Config

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
KUSTOMIZATIONS = sorted(path.parent for path in KUBERNETES.rglob("kustomization.yaml"))
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())


def documents(path: Path) -> list[Document]:
    """What a YAML file holds."""
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


def kustomization(directory: Path) -> Document:
    """The kustomization of a directory."""
    return documents(directory / "kustomization.yaml")[0]


def generated(directory: Path) -> list[str]:
    """The files that go into ConfigMaps."""
    return [name for each in kustomization(directory).get("configMapGenerator", ()) for name in each["files"]]


def patches(directory: Path) -> list[str]:
    """The files that change what others say."""
    return [each["path"] for each in kustomization(directory).get("patches", ()) if "path" in each]


def named(found: list[Document], kind: str, name: str = "wsproxy") -> Document:
    """The document of that kind and name."""
    return next(each for each in found if each["kind"] == kind and each["metadata"]["name"] == name)


def base() -> list[Document]:
    """All documents of the base, as they stand in the files."""
    directory = KUBERNETES / "base"
    return [each for name in kustomization(directory)["resources"] for each in documents(directory / name)]


def pod(deployment: Document) -> Document:
    """Its pods."""
    template: Document = deployment["spec"]["template"]
    return template


def container(deployment: Document) -> Document:
    """The only container of its pods."""
    (only,) = pod(deployment)["spec"]["containers"]
    found: Document = only
    return found


def read(path: Path, environment: dict[str, str] | None = None) -> Config:
    """An ini file as the proxy reads it."""
    return load(path.read_bytes(), path.name, environment or {}, str(path.parent))
