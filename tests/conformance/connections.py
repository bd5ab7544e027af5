"""Cases: the life of connections. Keep-alive, pipelining, HTTP/1.0, half-closes, uploads that meet an early answer.

RFC 9112 9, RFC 9110 7.6.1.
"""

from __future__ import annotations

from typing import Final

from tests.conformance.cases import (
    SMUGGLED,
    Answer,
    Case,
    Do,
    Dribble,
    Got,
    Last,
    Outcome,
    Pause,
    Reached,
    Seen,
    after,
    answer,
    at_head,
    chunked,
    cut,
    get,
    post,
    refused,
    request,
    served,
)

HALF: Final = request("POST / HTTP/1.1", "Content-Length: 1000000", body=b"x" * 1000)
STOPPED: Final = (cut(408), Outcome((), "cut", kept=False))


def _gets(*targets: str) -> bytes:
    return b"".join(get(target=target) for target in targets)


def _lines(*targets: str) -> tuple[Got, ...]:
    return tuple(Got(f"GET {target} HTTP/1.1") for target in targets)


def _bodies(*bodies: bytes, kept: bool | None = True) -> Outcome:
    return Outcome(tuple(Answer(body=body) for body in bodies), kept=kept)


KEEPING: Final = (
    Case(
        "connections/two-in-turn", "9112 9.3", (_gets("/1"), Seen(b"ok"), _gets("/2")), (served(*_lines("/1", "/2")),)
    ),
    Case("connections/three-pipelined", "9112 9.3.2", (_gets("/1", "/2", "/3"),), (served(*_lines("/1", "/2", "/3")),)),
    Case(
        "connections/pipelined-answers-in-order",
        "9112 9.3.2",
        (_gets("/1", "/2", "/3"),),
        (_bodies(b"one", b"two", b"three"),),
        (after(answer(body=b"one")), after(answer(body=b"two")), after(answer(body=b"three"))),
    ),
    Case(
        "connections/pipelined-with-bodies",
        "9112 9.3.2",
        (post(b"hello") + chunked(b"world") + post(b"") + post(b"!") + SMUGGLED,),
        (served(Got(body=b"hello"), Got(body=b"world"), Got(body=b""), Got(body=b"!"), Got("GET /smuggled HTTP/1.1")),),
    ),
    Case(
        "connections/pipelined-dribbled",
        "any split into packets",
        (Dribble(post(b"hello") + get(), 3),),
        (served(Got(body=b"hello"), Got()),),
    ),
    Case(
        "connections/pipelined-then-malformed",
        "the good ones are answered first, then 400 and the end",
        (_gets("/1", "/2") + b"GARBAGE\r\n\r\n" + SMUGGLED,),
        (Outcome((Answer(), Answer(), Answer((400,))), _lines("/1", "/2"), kept=False),),
    ),
    Case(
        "connections/pipelined-behind-close",
        "nothing behind `close` is a request (9112 9.6)",
        (get("Connection: close") + SMUGGLED,),
        (served(Got("GET / HTTP/1.1"), kept=False),),
    ),
    Case(
        "connections/crlf-behind-body",
        "old clients send one more (9112 2.2)",
        (post(b"hello") + b"\r\n" + get(),),
        (served(Got(body=b"hello"), Got("GET / HTTP/1.1")),),
    ),
    Case(
        "connections/1.0",
        "closed behind the answer (9112 9.3)",
        (request("GET / HTTP/1.0") + SMUGGLED,),
        (served(Got(), kept=False),),
    ),
    Case(
        "connections/1.0-keep-alive",
        "kept, if it says so itself; or closed (9112 9.3, C.2.2)",
        (request("GET / HTTP/1.0", "Connection: keep-alive"),),
        (served(Got(), has={"connection": "keep-alive"}), served(Got(), kept=False)),
    ),
    Case("connections/keep-alive-1.1", "9112 9.3", (get("Connection: keep-alive"),), (served(Got()),)),
    Case(
        "connections/upstream-closes",
        "`close` holds for that connection alone (9110 7.6.1)",
        (get(),),
        (served(Got(), body=b"ok"),),
        (after(answer("Connection: close"), Do.CLOSE),),
    ),
    Case(
        "connections/upstream-closes-each-time",
        "and costs the next requests nothing",
        (_gets("/1", "/2", "/3"),),
        (served(*_lines("/1", "/2", "/3")),),
        (after(answer("Connection: close"), Do.CLOSE),) * 3,
    ),
    Case(
        "connections/fifty-pipelined",
        "9112 9.3.2",
        (_gets(*(f"/{i}" for i in range(50))),),
        (served(*_lines(*(f"/{i}" for i in range(50)))),),
    ),
    Case(
        "connections/pipelined-behind-refused-upgrade",
        "no switch of protocols, so what follows is the next request (upgrade smuggling; 9110 7.8)",
        (get("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 777") + SMUGGLED,),
        (served(Got("GET / HTTP/1.1", lacks=("upgrade",)), Got("GET /smuggled HTTP/1.1")), refused(400, 426)),
    ),
    Case(
        "connections/two-hosts-in-turn",
        "each request has its own Host",
        (get() + get().replace(b"a.test", b"b.test"),),
        (served(Got(has={"host": "a.test"}), Got(has={"host": "b.test"})),),
    ),
    Case(
        "connections/nothing-then-end",
        "no request, no answer",
        (Do.HALF_CLOSE,),
        (Outcome((), (), kept=False), refused(400, 408)),
    ),
    Case(
        "connections/half-a-head-then-end",
        "no request; 400 or nothing",
        (get()[:-2], Do.HALF_CLOSE),
        (Outcome((), (), kept=False), refused(400)),
    ),
    Case(
        "connections/half-close-with-request",
        "a client that has said all it will say: answered, or taken for gone (no RFC decides)",
        (Last(get("Connection: close")),),
        (served(Got(), kept=False), Outcome((), "any", kept=False)),
    ),
    Case(
        "connections/half-close-while-upstream-works",
        "may be taken for one that has gone (499), or served",
        (get(), Reached(b"\r\n\r\n"), Do.HALF_CLOSE),
        (Outcome((), "any"), served(Got(), kept=False)),
        (after(Pause(0.2), answer()),),
    ),
    Case(
        "connections/client-leaves-while-upstream-works",
        "nobody waits for it",
        (get(), Reached(b"\r\n\r\n"), Do.RESET),
        (Outcome((), (Got(),)),),
        (after(Seen(b"never")),),
    ),
    Case(
        "connections/client-resets-upload",
        "the upstream never takes it for complete",
        (HALF, Reached(b"xxx"), Do.RESET),
        (Outcome((), "cut"),),
    ),
)
EARLY: Final = (
    Case(
        "connections/early-413-and-close",
        "an answer before the end of the upload reaches the client (9112 9.5)",
        (HALF, Seen(b"413"), b"x" * 100_000),
        (Outcome((Answer((413,), body=b"no"),), "cut", kept=False),),
        (at_head(answer("Connection: close", status="413 Content Too Large", body=b"no"), Do.CLOSE),),
    ),
    Case(
        "connections/early-413-while-pushing",
        "even to one that pushes on: no reset destroys it (9112 9.6)",
        (request("POST / HTTP/1.1", "Content-Length: 1000000", body=b"x" * 40_000), Seen(b"413")),
        (Outcome((Answer((413,), body=b"no"),), "cut", kept=False),),
        (
            at_head(
                answer("Connection: close", status="413 Content Too Large", body=b"no"),
                Do.HALF_CLOSE,
                Seen(b"x" * 30_000),
            ),
        ),
    ),
    Case(
        "connections/early-200-upload-goes-on",
        "upload and answer may overlap (9112 9.5)",
        (request("POST / HTTP/1.1", "Content-Length: 10", body=b"hello"), Seen(b"\r\n\r\nok"), b"world"),
        (served(Got(body=b"helloworld"), body=b"ok"), Outcome((Answer(body=b"ok"),), "any", kept=False)),
        (at_head(answer(), Do.WHOLE),),
    ),
    Case(
        "connections/echo-while-uploading",
        "both directions at once",
        (
            request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=b"3\r\none\r\n"),
            Seen(b"ONE"),
            b"3\r\ntwo\r\n0\r\n\r\n",
        ),
        (served(Got(body=b"onetwo"), body=b"ONETWO"),),
        (
            at_head(
                answer("Transfer-Encoding: chunked", body=b"3\r\nONE\r\n", length=False),
                Do.WHOLE,
                b"3\r\nTWO\r\n0\r\n\r\n",
            ),
        ),
    ),
    Case(
        "connections/400-outlives-unread-input",
        "the error answer reaches a client that goes on sending (9112 9.6)",
        (get("Content-Length: x") + b"y" * 40_000, Seen(b" 400 ")),
        (refused(400),),
    ),
    *(
        Case(
            f"connections/upstream-{name}-during-upload",
            "no answer, and a body that cannot be sent again: 502",
            (HALF,),
            (Outcome((Answer((502,)),), "cut"),),
            (at_head(Seen(b"xxx"), end),) * 3,
        )
        for name, end in (("closes", Do.CLOSE), ("resets", Do.RESET))
    ),
    Case(
        "connections/early-answer-then-reset",
        "an upstream that answers and resets: its answer, or 502, never a hang",
        (HALF,),
        (Outcome((Answer((413,)),), "cut", kept=False), Outcome((Answer((502,)),), "cut")),
        (at_head(answer("Connection: close", status="413 Content Too Large"), Do.RESET),) * 3,
    ),
    Case(
        "connections/early-answer-during-chunks",
        "the rest of a chunked upload never becomes a request",
        (request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"), Seen(b"ok"), SMUGGLED),
        (
            Outcome((Answer(body=b"ok"),), "cut", kept=False),
            Outcome((Answer(body=b"ok"), Answer((400,))), "cut", kept=False),
        ),
        (at_head(answer()),),
    ),
    Case(
        "connections/slow-body",
        "a body that stops coming: 408, or the end (9110 15.5.9)",
        (request("POST / HTTP/1.1", "Content-Length: 50", body=b"hello"),),
        STOPPED,
    ),
    Case(
        "connections/slow-chunked-body",
        "likewise",
        (request("POST / HTTP/1.1", "Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),),
        STOPPED,
    ),
)

CASES: Final = KEEPING + EARLY
