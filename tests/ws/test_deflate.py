"""permessage-deflate in handshakes: what is agreed on, and what is made of it where it has to be carried on."""

from __future__ import annotations

import pytest

from wsproxy.ws.deflate import Deflate, ExtensionError, agreed_deflate, begin_messages_empty, offer_only_deflate


def answer(*extensions: bytes) -> bytes:
    """The fields of a message that has these extensions, each in a line of its own, between others."""
    lines = (b"Sec-WebSocket-Extensions: %b\r\n" % extension for extension in extensions)
    return b"Server: a\r\n" + b"".join(lines)


@pytest.mark.parametrize(
    ("extensions", "agreed"),
    [
        ((), None),
        ((b"permessage-deflate",), Deflate()),
        (
            (b"permessage-deflate; server_no_context_takeover; client_max_window_bits=12",),
            Deflate(server_no_context_takeover=True, client_max_window_bits=12),
        ),
        ((b'Permessage-Deflate;server_max_window_bits="10"',), Deflate(server_max_window_bits=10)),
    ],
)
def test_what_a_101_agreed_on(extensions: tuple[bytes, ...], agreed: Deflate | None) -> None:
    assert agreed_deflate(answer(*extensions)) == agreed


@pytest.mark.parametrize(
    "extension", [b"x-bzip", b"permessage-deflate, x-bzip", b"permessage-deflate; level=9", b"permessage-deflate; a=b"]
)
def test_what_nobody_can_follow(extension: bytes) -> None:
    with pytest.raises(ExtensionError):
        begin_messages_empty(answer(extension))


@pytest.mark.parametrize(
    ("offered", "left"),
    [
        ((), ()),
        ((b"x-bzip",), ()),
        ((b"permessage-deflate; client_max_window_bits",), (b"permessage-deflate; client_max_window_bits",)),
        ((b"x-bzip, Permessage-Deflate", b"permessage-deflate;a=1"), (b"Permessage-Deflate, permessage-deflate;a=1",)),
    ],
)
def test_nothing_else_is_offered(offered: tuple[bytes, ...], left: tuple[bytes, ...]) -> None:
    assert offer_only_deflate(answer(*offered)) == answer(*left)


def test_a_client_is_bound_to_begin_messages_with_an_empty_window() -> None:
    assert begin_messages_empty(answer()) == (answer(), None)
    bound = b"permessage-deflate; server_max_window_bits=12; client_no_context_takeover"
    agreed = Deflate(client_no_context_takeover=True, server_max_window_bits=12)
    assert begin_messages_empty(answer(b"permessage-deflate; server_max_window_bits=12")) == (answer(bound), agreed)
    assert begin_messages_empty(answer(bound)) == (answer(bound), agreed)
