"""The stand-in against clients that others have written: what they understand of it is what the real one says."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.to_thread import run_sync
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException

from tests.discovery.api_server import ApiServer, serving
from tests.discovery.test_endpoint_slices import endpoint, slice_of
from tests.integration.harness import in_loop

SELECTED = "kubernetes.io/service-name=web"
LIMIT_S = 30.0


def discovery(api: ApiServer) -> client.DiscoveryV1Api:
    configuration = client.Configuration(host=api.url)
    configuration.proxy = None
    return client.DiscoveryV1Api(client.ApiClient(configuration))


async def asked(question: Callable[[], Any]) -> Any:
    """What the blocking client answers."""
    with anyio.fail_after(LIMIT_S):
        return await run_sync(question, abandon_on_cancel=True)


def stored(page: int = 500) -> ApiServer:
    api = ApiServer(page=page)
    api.put("a", slice_of(endpoint("10.0.0.1", name="web-1")))
    api.put("b", slice_of(endpoint("10.0.0.2", name="web-2")))
    api.put("other", slice_of(endpoint("10.9.9.9")), service="another")
    return api


@in_loop
async def test_the_official_client_lists_page_after_page() -> None:
    api = stored(page=1)
    async with serving(api):
        ask = discovery(api).list_namespaced_endpoint_slice
        first = await asked(lambda: ask("shop", label_selector=SELECTED, limit=1))
        api.put("b", slice_of(endpoint("10.0.0.9")))  # after the first page, so not in the second one
        more = first.metadata._continue
        second = await asked(lambda: ask("shop", label_selector=SELECTED, limit=1, _continue=more))
        api.compact()
        with pytest.raises(ApiException) as caught:
            await asked(lambda: ask("shop", label_selector=SELECTED, limit=1, _continue=more))
    assert [each.endpoints[0].addresses for each in first.items + second.items] == [["10.0.0.1"], ["10.0.0.2"]]
    assert first.metadata.resource_version == second.metadata.resource_version == "103"
    assert second.metadata._continue is None
    assert caught.value.status == 410


@in_loop
async def test_the_official_client_watches_and_is_told_when_it_comes_too_late() -> None:
    api = stored()
    api.bookmark_s = 0.1
    async with serving(api):
        ask = discovery(api).list_namespaced_endpoint_slice

        def follow(since: str, seconds: int) -> list[tuple[str, str, str]]:
            """The official client's own loop: kind of event, name, version."""
            watching = watch.Watch()  # type: ignore[no-untyped-call] # the client has types in part
            found = []
            stream = watching.stream(  # type: ignore[no-untyped-call] # the same
                ask, "shop", label_selector=SELECTED, resource_version=since, timeout_seconds=seconds,
                allow_watch_bookmarks=True,
            )  # fmt: skip
            for event in stream:
                content = event["raw_object"]["metadata"]
                found.append((event["type"], content.get("name", ""), content["resourceVersion"]))
                if found[-1] == ("BOOKMARK", "", "106"):
                    watching.stop()  # type: ignore[no-untyped-call] # the same
            return found

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change, api)
            found = await asked(lambda: follow("103", 60))
        assert [each for each in found if each[0] != "BOOKMARK"] == [
            ("MODIFIED", "a", "104"),
            ("DELETED", "b", "105"),
            ("ADDED", "c", "106"),
        ]
        assert ("BOOKMARK", "", "106") in found
        api.compact()
        with pytest.raises(ApiException) as caught:
            await asked(lambda: follow("103", 1))
    assert caught.value.status == 410


async def change(api: ApiServer) -> None:
    while not any("watch" in each for each in api.asked):  # noqa: ASYNC110 - the server's side of it
        await anyio.sleep(0.005)
    await anyio.sleep(0.2)
    api.put("a", slice_of(endpoint("10.0.0.3")))
    api.delete("b")
    api.put("c", slice_of(endpoint("10.0.0.4")))


@in_loop
async def test_kubectl_lists_and_watches(tmp_path: Path) -> None:
    """The client of Kubernetes itself (client-go), where there is one."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is missing (https://kubernetes.io/docs/tasks/tools); the official client is asked anyway")
    api = stored(page=1)
    async with serving(api):
        command = ["kubectl", f"--server={api.url}", f"--cache-dir={tmp_path}", "--kubeconfig=/dev/null", "get"]
        command += ["endpointslices.discovery.k8s.io", "-n", "shop", "-l", SELECTED, "--chunk-size=1"]
        environment = {**os.environ, "HOME": str(tmp_path)}
        listed = await output([*command, "-o", "name"], environment)
        assert listed.split() == [f"endpointslice.discovery.k8s.io/{name}" for name in "ab"]
        api.asked.clear()
        api.page = 500
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(change, api)
            said = await output(
                [*command, "-w", "--output-watch-events", "-o", "json", "--request-timeout=3s"], environment
            )
    found = []
    for event in map(json.loads, said.splitlines()):
        content = event["object"]  # kubectl tells the pages of its list as additions of lists
        found += [(event["type"], each["metadata"]["name"]) for each in content.get("items", [content])]
    assert found == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b"), ("ADDED", "c")]


async def output(command: list[str], environment: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    with anyio.fail_after(LIMIT_S):
        told, _ = await process.communicate()
    return told.decode()
