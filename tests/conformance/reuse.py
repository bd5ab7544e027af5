"""Cases: connections to the upstream that are used again. Bytes left over from an answer, connections gone stale.

RFC 9112 6.3, 9.2, 9.3.1, RFC 9110 9.2.2; response desync.
"""

from __future__ import annotations

from typing import Final

from tests.conformance.cases import (
    Answer,
    Case,
    Do,
    Got,
    Outcome,
    Pause,
    Reached,
    Reply,
    Seen,
    after,
    answer,
    get,
    post,
    request,
)

EVIL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
"""An answer nobody has asked for."""

BAD_GATEWAY: Final = Outcome((Answer((502,)),), "any", kept=None)
OK: Final = Outcome((Answer(body=b"ok"),), "any", kept=None)

EXTRA: Final = (
    Case(
        "reuse/extra-bytes",
        "what follows the body is nobody's answer (9112 6.3)",
        (get(),),
        (OK,),
        (after(answer() + b"garbage"),),
    ),
    Case("reuse/second-answer", "nor is a whole answer (9112 9.2)", (get(),), (OK,), (after(answer() + EVIL),)),
    Case(
        "reuse/second-answer-then-request",
        "the next request on the connection gets its own (response desync)",
        (get() + get(target="/2"),),
        (Outcome((Answer(body=b"ok"), Answer(body=b"two")), "any"),),
        (after(answer() + EVIL), after(answer(body=b"two"))),
    ),
    Case(
        "reuse/late-second-answer",
        "also if it comes after the first has been delivered (9112 9.2)",
        (get(), Seen(b"ok"), Pause(0.2), get(target="/2")),
        (
            Outcome((Answer(body=b"ok"), Answer(body=b"two")), "any"),
            Outcome((Answer(body=b"ok"), Answer((502,))), "any"),
        ),
        (after(answer(), Reached(b"ok"), EVIL), after(answer(body=b"two"))),
    ),
    Case(
        "reuse/speaks-first",
        "an answer before any request is none (9112 9.2)",
        (get(),),
        (BAD_GATEWAY, Outcome((Answer(body=b"ok"),), "any"), Outcome((Answer(body=b"evil"),), "any")),
        (Reply((EVIL,), at_connect=True), after(answer())),
    ),
    Case(
        "reuse/body-for-head",
        "the body of an answer to HEAD is no answer to the next request",
        (request("HEAD / HTTP/1.1") + get(target="/2"),),
        (Outcome((Answer(body=b""), Answer(body=b"two")), "any"), Outcome((Answer(body=b""),), "any", kept=False)),
        (after(answer(body=EVIL)), after(answer(body=b"two"))),
        methods=("HEAD", "GET"),
    ),
    *(
        Case(
            f"reuse/body-for-{status[:3]}",
            "nor is that of an answer without a body",
            (get() + get(target="/2"),),
            (Outcome((Answer((int(status[:3]),), body=b""), Answer(body=b"two")), "any"), BAD_GATEWAY),
            (after(answer(*fields, status=status, body=EVIL, length=False)), after(answer(body=b"two"))),
        )
        for status, fields in (("204 No Content", ()), ("304 Not Modified", (f"Content-Length: {len(EVIL)}",)))
    ),
    Case(
        "reuse/answer-before-rest-of-body",
        "an early answer must not be followed by the rest of the upload as a new request",
        (request("POST / HTTP/1.1", "Content-Length: 500", body=b"x" * 10), Seen(b"ok"), b"y" * 490),
        (Outcome((Answer(body=b"ok"),), "any", kept=None),),
        (Reply((answer(),)),),
    ),
)

STALE: Final = (
    *(
        Case(
            f"reuse/stale-{name}",
            why,
            (get(target="/1"), Seen(b"ok"), get(target="/2")),
            (Outcome((Answer(), Answer()), "any", kept=True),),
            (after(answer(), *end), *then, after(answer())),
        )
        for name, why, end, then in (
            (
                "closed-unannounced",
                "the next request goes over a fresh connection (9112 9.3.1)",
                (Reached(b"ok"), Do.CLOSE),
                (),
            ),
            ("reset-unannounced", "9112 9.3.1", (Reached(b"ok"), Do.RESET), ()),
            ("closed-on-reuse", "an idempotent request is sent again (9112 9.3.1)", (), (after(Do.CLOSE),)),
            ("reset-on-reuse", "9112 9.3.1", (), (after(Do.RESET),)),
        )
    ),
    Case(
        "reuse/stale-post-after-close",
        "a POST on a connection seen closed costs no 502",
        (get(target="/1"), Seen(b"ok"), Pause(0.2), post(b"hello")),
        (Outcome((Answer(), Answer()), (Got("GET /1 HTTP/1.1"), Got(body=b"hello")), kept=True),),
        (after(answer(), Do.CLOSE), after(answer())),
    ),
    Case(
        "reuse/stale-post-on-reuse",
        "a POST that may have been acted upon is not sent twice (9110 9.2.2)",
        (get(target="/1"), Seen(b"ok"), post(b"hello")),
        (
            Outcome((Answer(), Answer((502,))), (Got(), Got(body=b"hello")), kept=None),
            Outcome((Answer(), Answer()), (Got(), Got(body=b"hello")), kept=None),
        ),
        (after(answer()), after(Do.CLOSE), after(answer())),
    ),
)

CASES: Final = EXTRA + STALE
