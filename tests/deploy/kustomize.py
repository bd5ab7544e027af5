"""What `kubectl kustomize` builds, for as much of kustomize as deploy/ uses, so that CI validates it without kubectl.

Knows the order of kustomize: resources, components upon them, generators, then patches, namespace, labels, images. The
names of generated ConfigMaps get their digest at the end. What it does not know is an error, never passed over.
`test_kustomize` compares it with kubectl where that is there.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

KNOWN = {
    *(
        "apiVersion",
        "kind",
        "resources",
        "components",
        "configMapGenerator",
        "labels",
        "images",
        "namespace",
        "patches",
    ),
}
MERGE_KEYS = {"containers": "name", "env": "name", "volumes": "name", "volumeMounts": "mountPath"}
"""Of the lists that a strategic merge joins, what it names first; it replaces others whole."""
CLUSTER_WIDE = {"Namespace"}


class UnknownError(Exception):
    """The files use what this reader does not know."""


def build(directory: Path) -> list[Document]:
    """The documents that `kubectl apply -k` would send. Raises UnknownError, OSError, KeyError."""
    found: list[Document] = []
    _accumulate(directory, found)
    renamed = {
        each["metadata"]["name"]: f"{each['metadata']['name']}-{_digest(each)}"
        for each in found
        if each["kind"] == "ConfigMap"
    }
    for each in found:
        if each["kind"] == "ConfigMap":
            each["metadata"]["name"] = renamed[each["metadata"]["name"]]
        for volume in _all(each, "configMap"):
            volume["name"] = renamed.get(volume["name"], volume["name"])
    return found


def _accumulate(directory: Path, found: list[Document]) -> None:
    """Bring what a kustomization says upon what is there; a component changes that, too."""
    (content,) = yaml.safe_load_all((directory / "kustomization.yaml").read_text("utf-8"))
    if unknown := content.keys() - KNOWN:
        raise UnknownError(f"{directory}: {', '.join(sorted(unknown))}")
    own: list[Document] = found if content.get("kind") == "Component" else []
    for name in content.get("resources", ()):
        _resource(directory / name, own)
    for name in content.get("components", ()):
        _accumulate(directory / name, own)
    for each in content.get("configMapGenerator", ()):
        _generate(each, directory, own)
    for each in content.get("patches", ()):
        _patch(each, directory, own)
    _transform(content, own)
    if own is not found:
        found += own


def _resource(path: Path, found: list[Document]) -> None:
    if path.is_dir():
        _accumulate(path, found)
    else:
        found += [each for each in yaml.safe_load_all(path.read_text("utf-8")) if each]


def _generate(each: Document, directory: Path, found: list[Document]) -> None:
    if unknown := each.keys() - {"name", "behavior", "files", "options"}:
        raise UnknownError(f"{directory}: configMapGenerator: {', '.join(sorted(unknown))}")
    data = {name: (directory / name).read_text("utf-8") for name in each["files"]}
    labels = each.get("options", {}).get("labels", {})
    if each.get("behavior") == "replace":
        named(found, "ConfigMap", each["name"])["data"] = data
        return
    metadata = {"name": each["name"], **({"labels": labels} if labels else {})}
    found.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _patch(each: Document, directory: Path, found: list[Document]) -> None:
    text = each["patch"] if "patch" in each else (directory / each["path"]).read_text("utf-8")
    for patch in yaml.safe_load_all(text):
        if isinstance(patch, list):
            target = each["target"]
            for operation in patch:
                _operate(named(found, target["kind"], target["name"]), operation)
        else:
            target = named(found, patch["kind"], patch["metadata"]["name"])
            target.update(_merged(target, patch))


def _operate(target: Any, operation: Document) -> None:
    """RFC 6902, the operations that change one place."""
    *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
    for part in way:
        target = target[int(part) if isinstance(target, list) else part]
    value = copy.deepcopy(operation.get("value"))
    if isinstance(target, list) and operation["op"] == "add":
        target.insert(len(target) if last == "-" else int(last), value)
        return
    place = int(last) if isinstance(target, list) else last
    if operation["op"] in ("replace", "remove"):
        target[place]  # it has to be there
    if operation["op"] == "remove":
        del target[place]
    elif operation["op"] in ("add", "replace"):
        target[place] = value
    else:
        raise UnknownError(f"patch: {operation['op']}")


def _merged(old: Any, new: Any, key: str = "") -> Any:
    """A strategic merge: tables are joined, lists of named things too, all else is replaced."""
    if isinstance(old, dict) and isinstance(new, dict):
        if "$patch" in new:
            raise UnknownError("patch: $patch")
        both = {name: _merged(old.get(name), value, name) for name, value in new.items()}
        return {name: value for name, value in {**old, **both}.items() if value is not None}
    if key in MERGE_KEYS and isinstance(old, list):
        by = MERGE_KEYS[key]
        known = {each[by]: each for each in old}
        named_anew = [_merged(known.get(each[by]), each) for each in new]
        return named_anew + [each for each in old if each[by] not in {each[by] for each in new}]
    return copy.deepcopy(new)


def _transform(content: Document, found: list[Document]) -> None:
    for each in found:
        metadata = each["metadata"]
        if (namespace := content.get("namespace")) and each["kind"] not in CLUSTER_WIDE:
            metadata["namespace"] = namespace
            for subject in each.get("subjects", ()):
                subject["namespace"] = namespace
        for labels in content.get("labels", ()):
            if labels.keys() != {"pairs"}:
                raise UnknownError("labels: more than pairs")
            metadata["labels"] = metadata.get("labels", {}) | labels["pairs"]
        for image in content.get("images", ()):
            for container in _containers(each):
                name, _, tag = container["image"].partition(":")
                if name == image["name"]:
                    container["image"] = f"{image.get('newName', name)}:{image.get('newTag', tag)}"


def named(found: list[Document], kind: str, name: str) -> Document:
    """The document of that kind and name. Raises KeyError."""
    for each in found:
        if (each["kind"], each["metadata"]["name"]) == (kind, name):
            return each
    raise KeyError(f"{kind} {name}")


def _containers(document: Document) -> Iterator[Document]:
    for listed in _all(document, "containers", lambda value: isinstance(value, list)):
        yield from listed


def _all(value: Any, key: str, fits: Callable[[Any], bool] = lambda value: isinstance(value, dict)) -> Iterator[Any]:
    """All values of a key, however deep."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key and fits(inner):
                yield inner
            yield from _all(inner, key, fits)
    elif isinstance(value, list):
        for inner in value:
            yield from _all(inner, key, fits)


def _digest(config_map: Document) -> str:
    """As kustomize makes it: of the JSON that Go writes, in letters that make no words."""
    content = {"data": config_map["data"], "kind": "ConfigMap", "name": ""}  # it leaves the name out
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for plain, escaped in (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"), ("\u2028", "\\u2028")):
        text = text.replace(plain, escaped)
    letters = str.maketrans("013ae", "ghkmt")
    return hashlib.sha256(text.encode()).hexdigest()[:10].translate(letters)
