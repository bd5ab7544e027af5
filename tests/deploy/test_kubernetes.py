"""The manifests: right by the schemas of Kubernetes, strict with their pods, of one mind with the ini file in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.kustomize import Document, build
from tests.deploy.manifests import (
    KUBERNETES,
    KUSTOMIZATIONS,
    OVERLAYS,
    base,
    container,
    documents,
    generated,
    kustomization,
    named,
    patches,
    pod,
    read,
)
from wsproxy import __version__
from wsproxy.cli import main
from wsproxy.config.model import Config

VERSIONS = ["1.27", kubernetes_validate.latest_version()]  # 1.27 is the first with unhealthyPodEvictionPolicy for all
OPERATOR_KINDS = {"ServiceMonitor", "PrometheusRule"}  # of the Prometheus operator; Kubernetes has no schema for them
BESIDE = {"kustomization.yaml", "adapter-values.yaml"}
ENVIRONMENT = {"POD_NAMESPACE": "shop", "WSPROXY_ADMIN_TOKEN": "0123456789abcdef", "REDIS_PASSWORD": "0123456789abcdef"}
INI_FILES = sorted(KUBERNETES.rglob("*.ini"))
LABELS = {"app.kubernetes.io/name": "wsproxy"}


def whole_files() -> list[Path]:
    """The files that hold documents as they are, neither kustomizations nor patches."""
    return [directory / name for directory in KUSTOMIZATIONS for name in _own_resources(directory)]


def _own_resources(directory: Path) -> list[str]:
    return [name for name in kustomization(directory).get("resources", ()) if name.endswith(".yaml")]


def validate(document: Document) -> None:
    if document["kind"] not in OPERATOR_KINDS:
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


def deployment() -> Document:
    return named(base(), "Deployment")


def proxy_ini() -> Config:
    return read(KUBERNETES / "base/proxy.ini", ENVIRONMENT)


@pytest.mark.parametrize("directory", KUSTOMIZATIONS, ids=lambda path: path.name)
def test_a_kustomization_lists_what_is_there_and_all_of_it(directory: Path) -> None:
    listed = {*_own_resources(directory), *generated(directory), *patches(directory)}
    assert listed | BESIDE >= {path.name for path in directory.iterdir() if path.is_file()}
    others = [name for key in ("resources", "components") for name in kustomization(directory).get(key, ())]
    for name in (*listed, *others):
        assert (directory / name).exists(), name


@pytest.mark.parametrize("path", whole_files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_file_is_right_by_the_schema(path: Path) -> None:
    assert documents(path)
    for document in documents(path):
        validate(document)


def test_the_check_sees_a_wrong_field() -> None:
    wrong = deployment()
    container(wrong)["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(wrong)


@pytest.mark.parametrize("overlay", ["base", *OVERLAYS])
def test_what_is_built_is_right_by_the_schema(overlay: str) -> None:
    built = build(KUBERNETES / ("base" if overlay == "base" else f"overlays/{overlay}"))
    for document in built:
        validate(document)
    proxies = named(built, "Deployment")
    (volume,) = [each for each in pod(proxies)["spec"]["volumes"] if each["name"] == "configuration"]
    assert "proxy.ini" in named(built, "ConfigMap", volume["configMap"]["name"])["data"]
    assert container(proxies)["image"] == f"wsproxy:{__version__}"


def test_the_shared_overlay_runs_the_file_that_names_redis() -> None:
    built = build(KUBERNETES / "overlays/shared")
    (text,) = [each["data"]["proxy.ini"] for each in built if each["kind"] == "ConfigMap"]
    assert text == (KUBERNETES / "components/shared/proxy.ini").read_text("utf-8")
    variables = [each["name"] for each in container(named(built, "Deployment"))["env"]]
    assert sorted(variables) == sorted(ENVIRONMENT)


def test_the_example_scales_by_all_three_figures_in_a_namespace_of_its_own() -> None:
    built = build(KUBERNETES / "overlays/example")
    scaler = named(built, "HorizontalPodAutoscaler")["spec"]
    assert [each["type"] for each in scaler["metrics"]] == ["Resource", "Pods", "Pods"]
    assert scaler["minReplicas"] == 3
    namespaces = {each["metadata"].get("namespace") for each in built if each["kind"] != "Namespace"}
    assert namespaces == {"wsproxy-example"}


@pytest.mark.parametrize("path", INI_FILES, ids=lambda path: path.parent.name)
def test_the_file_in_the_config_map_passes_the_check(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert main(["--check", str(path)]) == 0
    shown = capsys.readouterr()
    assert ": ok (" in shown.out
    assert "warning" not in shown.out + shown.err


def test_the_shared_file_is_the_base_s_with_a_limit_and_a_cache() -> None:
    lines, shared = (path.read_text("utf-8").splitlines()[1:] for path in (
        KUBERNETES / "base/proxy.ini", KUBERNETES / "components/shared/proxy.ini"
    ))  # fmt: skip
    added = [line for line in shared if line not in lines]
    assert [line for line in lines if line not in shared] == []
    assert {line.partition(" =")[0] for line in added if "=" in line} == {
        "cache", "rate_limit", "rate_limit_burst", "rate_limit_store", "store", "redis_url"
    }  # fmt: skip


def test_pods_get_more_time_than_a_stop_takes() -> None:
    frontend = proxy_ini().frontends[0]
    grace_s = pod(deployment())["spec"]["terminationGracePeriodSeconds"]
    assert frontend.drain_delay_s is not None
    assert grace_s >= frontend.drain_delay_s + frontend.shutdown_timeout_s + 10


def test_a_pod_that_stops_serves_until_load_balancers_have_noticed() -> None:
    """A terminating pod is not ready in any case. While its probe is good it is "serving", and a node with no other pod
    goes on sending it what comes (externalTrafficPolicy: Local), for as long as load balancers take: two or three
    checks of ten seconds are not unusual."""
    assert container(deployment())["readinessProbe"]["httpGet"]["path"] == "/readyz?while_accepting=1"
    assert named(base(), "Service")["spec"]["externalTrafficPolicy"] == "Local"
    assert (proxy_ini().frontends[0].drain_delay_s or 0) >= 20


def test_a_pod_that_is_well_is_ready_before_a_rollout_goes_on() -> None:
    spec = deployment()["spec"]
    probe, startup = (container(deployment())[name] for name in ("readinessProbe", "startupProbe"))
    assert spec["minReadySeconds"] >= 3 * probe["periodSeconds"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > 15  # what the first answer of a source may take
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_a_node_that_is_drained_takes_one_pod_while_another_serves() -> None:
    budget, scaler = named(base(), "PodDisruptionBudget")["spec"], named(base(), "HorizontalPodAutoscaler")["spec"]
    assert budget["maxUnavailable"] < scaler["minReplicas"] <= scaler["maxReplicas"]


def test_all_that_the_file_asks_for_may_go_out() -> None:
    """DNS, the API by its service's port and the usual one behind it, and pods of the namespace, Redis among them."""
    rules = named(base(), "NetworkPolicy")["spec"]["egress"]
    open_to_all = {port["port"] for rule in rules if "to" not in rule for port in rule["ports"]}
    assert open_to_all == {443, 6443}
    names = next(rule["ports"] for rule in rules if any(port["port"] == 53 for port in rule.get("ports", ())))
    assert {port["protocol"] for port in names} == {"UDP", "TCP"}
    assert {"to": [{"podSelector": {}}]} in rules


def test_what_prometheus_scrapes_is_the_admin_service() -> None:
    (monitor,) = documents(KUBERNETES / "components/monitoring/service-monitor.yaml")
    service = named(base(), "Service", "wsproxy-admin")
    labels = service["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert [port["name"] for port in service["spec"]["ports"]] == [endpoint["port"]]
    assert endpoint.keys() == {"port", "path", "interval"}


def test_ports_are_those_of_the_file() -> None:
    config = proxy_ini()
    ports = {each["name"]: each["containerPort"] for each in container(deployment())["ports"]}
    assert config.admin is not None
    assert ports == {"http": config.frontends[0].port, "admin": config.admin.port}
    probes = [container(deployment())[name] for name in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert {probe["httpGet"]["port"] for probe in probes} == {"admin"}
    services = [each for each in base() if each["kind"] == "Service"]
    assert {port["targetPort"] for each in services for port in each["spec"]["ports"]} == set(ports)
    let_in = named(base(), "NetworkPolicy")["spec"]["ingress"]
    assert {port["port"] for each in let_in for port in each["ports"]} == set(ports)


def test_clients_never_reach_the_admin_listener() -> None:
    outside = named(base(), "Service")["spec"]
    assert [port["targetPort"] for port in outside["ports"]] == ["http"]
    let_in = named(base(), "NetworkPolicy")["spec"]["ingress"]
    (admin,) = [each for each in let_in if each["ports"] == [{"port": "admin"}]]
    assert admin["from"]
    assert proxy_ini().admin == read(KUBERNETES / "components/shared/proxy.ini", ENVIRONMENT).admin


def test_the_file_names_no_variable_that_pods_lack() -> None:
    given = {each["name"] for each in container(deployment())["env"]}
    text = (KUBERNETES / "base/proxy.ini").read_text("utf-8")
    assert set(re.findall(r"\$\{(\w+)", text)) == given


def selectors(document: Document) -> list[Any]:
    spec = document["spec"]
    if document["kind"] == "Deployment":
        spread = pod(document)["spec"]["topologySpreadConstraints"]
        return [spec["selector"]["matchLabels"], *(each["labelSelector"]["matchLabels"] for each in spread)]
    if document["kind"] == "Service":
        return [spec["selector"]]
    return [spec["podSelector" if document["kind"] == "NetworkPolicy" else "selector"]["matchLabels"]]


@pytest.mark.parametrize("kind", ["Deployment", "Service", "PodDisruptionBudget", "NetworkPolicy"])
def test_everything_is_about_the_same_pods(kind: str) -> None:
    assert pod(deployment())["metadata"]["labels"] == LABELS
    found = [each for each in base() if each["kind"] == kind]
    assert found
    for document in found:
        assert all(selector == LABELS for selector in selectors(document)), document["metadata"]["name"]


def test_the_autoscaler_alone_says_how_many_pods_there_are() -> None:
    assert "replicas" not in deployment()["spec"]
    target = named(base(), "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "wsproxy")
    assert container(deployment())["resources"]["requests"]["cpu"]  # what utilization is a share of


def test_pods_may_read_where_endpoints_are_and_nothing_else() -> None:
    role, binding = named(base(), "Role"), named(base(), "RoleBinding")
    (rule,) = role["rules"]
    assert rule == {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    (subject,) = binding["subjects"]
    assert subject["name"] == pod(deployment())["spec"]["serviceAccountName"]
    assert named(base(), "ServiceAccount", subject["name"])


@pytest.mark.parametrize("path", whole_files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_pods_meet_the_restricted_standard(path: Path) -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and a file system that nobody can write."""
    for document in documents(path):
        if document["kind"] != "Deployment":
            continue
        rules = pod(document)["spec"]["securityContext"]
        assert rules["runAsNonRoot"] is True
        assert rules["runAsUser"] > 0
        assert rules["seccompProfile"] == {"type": "RuntimeDefault"}
        own = container(document)
        assert own["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert own["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert own["resources"]["limits"]["memory"]


def test_the_user_is_the_image_s() -> None:
    image = (KUBERNETES.parents[1] / "Dockerfile").read_text("utf-8")
    rules = pod(deployment())["spec"]["securityContext"]
    assert f"\nUSER {rules['runAsUser']}:{rules['runAsGroup']}\n" in image


def test_no_secret_is_in_a_file() -> None:
    for path in KUBERNETES.rglob("*.yaml"):
        assert all(each.get("kind") != "Secret" for each in documents(path)), path


def test_each_figure_to_scale_by_has_a_rule_and_a_pod_may_fail() -> None:
    component = KUBERNETES / "components/autoscaling"
    (scaler,) = documents(component / "autoscaler.yaml")
    (values,) = documents(component / "adapter-values.yaml")
    targets = {
        each["pods"]["metric"]["name"]: each["pods"]["target"]["averageValue"]
        for each in scaler["spec"]["metrics"]
        if each["type"] == "Pods"
    }
    assert set(targets) == {rule["name"]["as"] for rule in values["rules"]["custom"]}
    assert int(targets["wsproxy_websockets"]) <= 0.75 * proxy_ini().frontends[0].max_connections
    assert scaler["spec"]["metrics"][0] == named(base(), "HorizontalPodAutoscaler")["spec"]["metrics"][0]
