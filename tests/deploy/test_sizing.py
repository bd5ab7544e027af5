"""The worked example of docs/sizing.md: its overlay builds, and its figures are what its file and its rules give."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import kubernetes_validate

from tests.deploy.kustomize import build
from tests.deploy.manifests import KUBERNETES, ROOT, container, named, pod
from wsproxy.config.build import load
from wsproxy.config.model import Config

PAGE = (ROOT / "docs/sizing.md").read_text("utf-8")
EXAMPLE = PAGE[PAGE.index("## A million WebSockets") :]
INSTANCES = 30
KIB_EACH = 14.8


def block(language: str) -> str:
    found = re.search(rf"(?ms)^```{language}\n(.*?)^```", EXAMPLE)
    assert found is not None
    return found[1]


def config() -> Config:
    return load(block("ini"), "sizing.md", {}, "/")


def test_its_overlay_builds_and_gives_pods_the_time_that_its_file_takes(tmp_path: Path) -> None:
    away = os.path.relpath(KUBERNETES, tmp_path.resolve())
    (tmp_path / "kustomization.yaml").write_text(block("yaml").replace("../..", away))
    (tmp_path / "proxy.ini").write_text(block("ini"))
    built = build(tmp_path)
    for document in built:
        kubernetes_validate.validate(document, "1.27", strict=True)
    frontend = config().frontends[0]
    stop_s = frontend.shutdown_timeout_s + (frontend.drain_delay_s or 0)
    proxies = named(built, "Deployment")
    assert pod(proxies)["spec"]["terminationGracePeriodSeconds"] > stop_s
    assert container(proxies)["resources"]["limits"]["memory"] == "1536Mi"
    scaler = named(built, "HorizontalPodAutoscaler")["spec"]
    sessions = scaler["metrics"][1]["pods"]
    assert sessions["metric"]["name"] == "wsproxy_websockets"
    assert math.ceil(1_000_000 / int(sessions["target"]["averageValue"])) == INSTANCES
    assert scaler["maxReplicas"] > INSTANCES


def test_a_zone_may_fail_and_a_pod_drains_in_time() -> None:
    frontend, route = config().frontends[0], config().routes[0]
    left = INSTANCES - math.ceil(INSTANCES / 3)  # the largest of three zones is away
    assert 1_000_000 / left <= frontend.max_connections
    assert route.websocket is not None
    assert route.websocket.drain_rate is not None
    assert 1_000_000 / INSTANCES / route.websocket.drain_rate.a_second <= frontend.shutdown_timeout_s
    assert frontend.max_connections * KIB_EACH / 1024 + 45 < 1536
