"""Questions, answers and sockets over a pair of sockets."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.integration.harness import in_loop
from wsproxy.supervisor.channel import (
    DESCRIPTORS_AT_ONCE,
    MAX_SOCKETS,
    Body,
    Channel,
    ChannelError,
    GoneError,
    Handler,
    RefusedError,
)


@asynccontextmanager
async def pair(handler: Handler) -> AsyncIterator[Channel]:
    """The asking end; the other one answers with `handler` until the block ends."""
    ours, theirs = (Channel(end) for end in socket.socketpair())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(theirs.answer, handler)
        yield ours
        tasks.cancel_scope.cancel()
    ours.close()
    theirs.close()


async def echo(kind: str, body: Body, sockets: list[socket.socket]) -> Body:
    for each in sockets:
        each.close()
    return {"kind": kind, "sockets": len(sockets), **body}


@in_loop
async def test_a_question_is_answered() -> None:
    async with pair(echo) as channel:
        assert await channel.ask("look", {"a": 1}) == {"kind": "look", "sockets": 0, "a": 1}


@in_loop
async def test_a_message_larger_than_any_buffer_comes_whole() -> None:
    async with pair(echo) as channel:
        text = "x" * 5_000_000
        assert (await channel.ask("look", {"text": text}))["text"] == text


@in_loop
async def test_questions_asked_at_once_each_get_their_answer() -> None:
    async with pair(echo) as channel:
        answers: dict[int, Body] = {}

        async def ask(number: int) -> None:
            answers[number] = await channel.ask("look", {"number": number})

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(ask, number)
        assert {number: answer["number"] for number, answer in answers.items()} == {n: n for n in range(20)}


@in_loop
async def test_a_socket_goes_over_and_is_the_same_listener() -> None:
    taken: list[socket.socket] = []

    async def take(_: str, __: Body, sockets: list[socket.socket]) -> Body:
        taken.extend(sockets)
        return {}

    with socket.create_server(("127.0.0.1", 0)) as listening:
        async with pair(take) as channel:
            await channel.ask("take", {}, [listening, listening])
        assert [each.getsockname() for each in taken] == [listening.getsockname()] * 2
        assert not any(each.get_inheritable() for each in taken)
    for each in taken:
        each.close()


@in_loop
async def test_a_refusal_is_told_as_one() -> None:
    async def refuse(_: str, __: Body, ___: list[socket.socket]) -> Body:
        raise RefusedError("a.ini:1:1: no\na.ini:2:1: no")

    async with pair(refuse) as channel:
        with pytest.raises(RefusedError, match=r"a\.ini:2:1"):
            await channel.ask("look")


@in_loop
async def test_an_answer_that_comes_too_late_is_not_taken_for_the_next_one() -> None:
    go = anyio.Event()

    async def slow(kind: str, body: Body, sockets: list[socket.socket]) -> Body:
        if kind == "slow":
            await go.wait()
        return {"kind": kind}

    async with pair(slow) as channel:
        with pytest.raises(ChannelError, match=r"no answer to 'slow' within 0\.05 s"):
            await channel.ask("slow", timeout_s=0.05)
        go.set()
        assert await channel.ask("next") == {"kind": "next"}


@in_loop
async def test_one_that_reads_nothing_is_given_up() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    with pytest.raises(ChannelError, match="no answer"):
        await channel.ask("look", {"text": "x" * 5_000_000}, timeout_s=0.05)
    with pytest.raises(ChannelError, match="does not read"):
        await channel.ask("look")
    channel.close()
    theirs.close()


@in_loop
async def test_the_other_side_is_gone() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    theirs.close()
    with pytest.raises(ChannelError, match="gone"):
        await channel.ask("look")
    channel.close()
    with pytest.raises(ChannelError):
        await channel.ask("look")


@in_loop
async def test_answering_ends_with_the_other_side() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(theirs)
    ours.close()
    await channel.answer(echo)
    channel.close()


@in_loop
async def test_more_sockets_than_go_at_once_come_in_their_order() -> None:
    taken: list[socket.socket] = []

    async def take(_: str, __: Body, sockets: list[socket.socket]) -> Body:
        taken.extend(sockets)
        return {}

    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    sent = [listeners[number % 3] for number in range(2 * DESCRIPTORS_AT_ONCE + 7)]
    async with pair(take) as channel:
        await channel.ask("take", {"names": ["frontend"] * len(sent)}, sent)
        await channel.ask("take")
    assert [each.getsockname() for each in taken] == [each.getsockname() for each in sent]
    for each in (*taken, *listeners):
        each.close()


@in_loop
async def test_a_socket_that_is_closed_is_no_sign_of_an_end() -> None:
    async with pair(echo) as channel:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            pass
        with pytest.raises(ChannelError) as error:
            await channel.ask("take", {}, [listening])
        assert not isinstance(error.value, GoneError)


@in_loop
async def test_there_is_a_limit_to_what_a_message_holds() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(ChannelError, match="too large"):
        await channel.ask("look", {}, [listening] * (MAX_SOCKETS + 1))
    channel.close()
    theirs.close()


@in_loop
async def test_a_length_beyond_the_limit_ends_it() -> None:
    ours, theirs = socket.socketpair()
    channel = Channel(ours)
    theirs.sendall(b"\xff\xff\xff\xff")
    with pytest.raises(ChannelError, match="too large"):
        await channel.ask("look")
    channel.close()
    theirs.close()
