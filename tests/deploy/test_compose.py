"""docker-compose.yml: which services come with which profile, and that its files and theirs are of one mind."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from tests.deploy.manifests import ROOT, documents, read
from tests.programs import program

FILE = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
PROXIES = ["proxy", "shared", "proxies", "front"]
SMALL = {"http-1", "http-2", "websocket-1", "websocket-2", "proxy"}


def started(*profiles: str) -> set[str]:
    """What `docker compose --profile … up` starts."""
    return {name for name, each in SERVICES.items() if "profiles" not in each or {*profiles} & {*each["profiles"]}}


def mounts(service: str) -> list[tuple[str, str]]:
    """Pairs of a path in the repository and one in the container."""
    found = [volume.split(":") for volume in SERVICES[service].get("volumes", ())]
    return [(source, target) for source, target, _ in found]


def ini(service: str) -> str:
    (source,) = [source for source, target in mounts(service) if target == "/etc/wsproxy/proxy.ini"]
    return source


def test_without_a_profile_only_the_small_one_starts() -> None:
    assert started() == SMALL


@pytest.mark.parametrize(
    ("profile", "added"),
    [
        ("redis", {"redis", "shared"}),
        ("scale", {"redis", "proxies", "front"}),
        ("monitoring", {"prometheus", "grafana"}),
    ],
)
def test_a_profile_adds_what_it_needs(profile: str, added: set[str]) -> None:
    assert started(profile) == SMALL | added
    for name in started(profile):
        assert {*SERVICES[name].get("depends_on", ())} <= started(profile), name


@pytest.mark.parametrize("service", SERVICES)
def test_every_mounted_file_is_there(service: str) -> None:
    for source, _ in mounts(service):
        assert (ROOT / source).exists(), source


@pytest.mark.parametrize("service", PROXIES)
def test_a_proxy_has_time_to_stop(service: str) -> None:
    frontend = read(ROOT / ini(service)).frontends[0]
    grace_s = float(SERVICES[service]["stop_grace_period"].removesuffix("s"))
    assert grace_s > frontend.shutdown_timeout_s + (frontend.drain_delay_s or 0)


@pytest.mark.parametrize("service", PROXIES)
def test_the_servers_of_a_proxy_are_services(service: str) -> None:
    config = read(ROOT / ini(service))
    for group in config.groups:
        hosts = {each.address.host for each in group.servers}
        if group.discovery is not None:
            hosts.add(group.discovery.target.name)
        assert hosts
        assert hosts <= {*SERVICES}
    if config.cache.store == "redis":
        assert config.cache.redis_url == "redis://redis:6379/0"


def test_three_proxies_stand_behind_the_one_in_front() -> None:
    assert SERVICES["proxies"]["scale"] == 3
    assert "ports" not in SERVICES["proxies"]  # three cannot have the same one
    believed = SERVICES["proxies"]["environment"]["TRUSTED_PROXIES"]
    inner = read(ROOT / ini("proxies"), {"TRUSTED_PROXIES": believed}).frontends[0]
    assert len(inner.trusted_proxies) == len(believed.split())
    assert {str(network) for network in read(ROOT / ini("shared")).frontends[0].trusted_proxies} == {"127.0.0.1/32"}


def test_no_port_of_an_admin_listener_or_of_the_monitoring_is_open_to_others() -> None:
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            where, _, inside = port.rpartition(":")
            assert inside == "8080" or where.startswith("127.0.0.1:"), name
            assert inside != "8081"


def test_ports_of_the_host_differ() -> None:
    ports = [re.search(r":-(\d+)\}", port) for each in SERVICES.values() for port in each.get("ports", ())]
    assert len({found[1] for found in ports if found}) == len(ports)


def test_prometheus_scrapes_every_proxy_where_it_tells() -> None:
    (config,) = documents(ROOT / "deploy/monitoring/prometheus.yml")
    (job,) = config["scrape_configs"]
    (lookup,) = job["dns_sd_configs"]
    assert sorted(lookup["names"]) == sorted(PROXIES)
    for service in PROXIES:
        admin = read(ROOT / ini(service)).admin
        assert admin is not None
        assert admin.port == lookup["port"]
        assert admin.metrics_allow


def test_grafana_finds_its_dashboard_and_prometheus() -> None:
    (provider,) = documents(ROOT / "deploy/monitoring/grafana/dashboards/wsproxy.yml")[0]["providers"]
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    inside = [target for _, target in mounts("grafana")]
    assert home in inside
    assert home.startswith(provider["options"]["path"] + "/")
    (source,) = documents(ROOT / "deploy/monitoring/grafana/datasources/prometheus.yml")[0]["datasources"]
    assert source["url"] == "http://prometheus:9090"
    assert "prometheus" in SERVICES


@pytest.mark.parametrize("profile", ["redis", "scale", "monitoring"])
def test_compose_takes_the_file(profile: str) -> None:
    command = [program("docker-compose"), "--profile", profile, "config", "--quiet"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
