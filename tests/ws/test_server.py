"""The server's end of a WebSocket: frames of a client in, messages out, and how it ends."""

from __future__ import annotations

from websockets.frames import Close, Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol

from wsproxy.ws.server import MESSAGE_BYTES, ServerEnd


def client() -> Protocol:
    return Protocol(CLIENT, state=OPEN)


def sent(peer: Protocol) -> bytes:
    return b"".join(peer.data_to_send())


def received(peer: Protocol, data: bytes) -> list[Frame]:
    peer.receive_data(data)
    return [event for event in peer.events_received() if isinstance(event, Frame)]


def test_texts_come_whole_however_they_were_cut() -> None:
    end, peer = ServerEnd(), client()
    peer.send_text(b"first ", fin=False)
    peer.send_continuation("größe".encode(), fin=True)
    peer.send_binary(b"ignored")
    peer.send_text(b"second")
    data = sent(peer)
    assert [message for byte in data for message in end.receive(bytes([byte]))] == ["first größe", "second"]


def test_it_sends_texts_and_answers_pings() -> None:
    end, peer = ServerEnd(), client()
    peer.send_ping(b"there?")
    assert end.receive(sent(peer)) == []
    end.send("hello")
    frames = received(peer, end.to_send())
    assert [(frame.opcode, bytes(frame.data)) for frame in frames] == [
        (Opcode.PONG, b"there?"),
        (Opcode.TEXT, b"hello"),
    ]
    assert end.to_send() == b""


def test_it_closes_and_is_over_with_the_echo() -> None:
    end, peer = ServerEnd(), client()
    end.close()
    end.close()
    end.send("too late")
    (frame,) = received(peer, end.to_send())
    assert Close.parse(bytes(frame.data)).code == 1001
    end.receive(sent(peer))
    assert end.is_over


def test_a_client_that_closes_gets_its_echo() -> None:
    end, peer = ServerEnd(), client()
    peer.send_close(1000)
    end.receive(sent(peer))
    assert end.is_over
    (frame,) = received(peer, end.to_send())
    assert frame.opcode is Opcode.CLOSE


def test_what_is_too_long_ends_it() -> None:
    end, peer = ServerEnd(), client()
    peer.send_text(b"x" * (MESSAGE_BYTES + 1))
    assert end.receive(sent(peer)) == []
    assert end.is_over
    (frame,) = received(peer, end.to_send())
    assert Close.parse(bytes(frame.data)).code == 1009
