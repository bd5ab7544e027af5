"""The frozen settings of where servers are found that no file lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DiscoveryKind = Literal["dns", "srv", "file", "kubernetes"]


@dataclass(frozen=True, slots=True)
class Target:
    """What is looked up. port: a number, or for Kubernetes the name of a port too; "" where the answer says it."""

    kind: DiscoveryKind
    name: str = ""  # a host; for SRV `_service._tcp.host`; for Kubernetes a service
    port: str = ""
    namespace: str = ""
    path: str = ""  # of a file

    def __str__(self) -> str:
        if self.kind == "file":
            return f"file://{self.path}"
        if self.kind == "kubernetes":
            return f"kubernetes://{self.namespace}/{self.name}:{self.port}"
        return f"dns://{self.name}" + (f":{self.port}" if self.port else "")


@dataclass(frozen=True, slots=True)
class DiscoverySettings:
    """Where a group's servers are found, and how often is looked."""

    target: Target
    interval_s: float = 30.0  # between two looks at most; DNS answers that are valid for less are asked for again then
    resolver: str | None = None  # host:port of a DNS server instead of the system's
    zone: str | None = None  # that we run in: servers that are meant for it go first (Kubernetes)
    api: str | None = None  # URL of a Kubernetes API server instead of the cluster's own
