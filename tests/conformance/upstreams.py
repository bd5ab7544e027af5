"""Cases: upstreams that break. Truncated, malformed or split answers, silence.

RFC 9112 2.2, 4, 5, 6.3, 8, RFC 9110 5.5, 15.6.3, 15.6.5.
"""

from __future__ import annotations

from typing import Final

from tests.conformance.cases import (
    Answer,
    Case,
    Do,
    Dribble,
    Got,
    Outcome,
    Pause,
    Reached,
    Seen,
    Step,
    after,
    answer,
    get,
    post,
)

EVIL: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
"""An answer nobody has asked for."""
CODED: Final = "Transfer-Encoding: chunked"

BAD_GATEWAY: Final = Outcome((Answer((502,)),), "any", kept=None)
ABORTED: Final = Outcome((Answer(complete=False),), "any")
OK: Final = Outcome((Answer(body=b"ok"),), "any", kept=None)


def _broken(name: str, why: str, *steps: Step, outcomes: tuple[Outcome, ...] = (BAD_GATEWAY,)) -> Case:
    """The upstream does this for a GET, and for each retry of it."""
    return Case(f"upstreams/{name}", why, (get(),), outcomes, (after(*steps),) * 4)


def _head(line: bytes, *fields: bytes, body: bytes = b"ok") -> bytes:
    return b"\r\n".join((line, b"Content-Length: 2", *fields, b"", body))


HEADS: Final = {
    "garbage": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", BAD_GATEWAY),
    "binary": (bytes(range(200)) + b"\r\n\r\n", BAD_GATEWAY),
    "status-2-digits": (_head(b"HTTP/1.1 20 OK"), BAD_GATEWAY),
    "status-4-digits": (_head(b"HTTP/1.1 2000 OK"), BAD_GATEWAY),
    "status-letters": (_head(b"HTTP/1.1 2OO OK"), BAD_GATEWAY),
    "status-negative": (_head(b"HTTP/1.1 -200 OK"), BAD_GATEWAY),
    "status-000": (_head(b"HTTP/1.1 000 OK"), BAD_GATEWAY),
    "status-none": (_head(b"HTTP/1.1"), BAD_GATEWAY),
    "status-line-nul": (_head(b"HTTP/1.1 200 O\x00K"), BAD_GATEWAY),
    "field-no-colon": (_head(b"HTTP/1.1 200 OK", b"garbage"), BAD_GATEWAY),
    "field-name-space": (_head(b"HTTP/1.1 200 OK", b"X Y: z"), BAD_GATEWAY),
    "field-name-empty": (_head(b"HTTP/1.1 200 OK", b": z"), BAD_GATEWAY),
    "length-differs": (_head(b"HTTP/1.1 200 OK", b"Content-Length: 3"), BAD_GATEWAY),
    "length-plus": (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", BAD_GATEWAY),
    "length-negative": (b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", BAD_GATEWAY),
    "length-letters": (b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok", BAD_GATEWAY),
    "length-empty": (b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", BAD_GATEWAY),
    "length-2-to-64": (b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551618\r\n\r\nok", BAD_GATEWAY),
    "te-space-before-colon-with-length": (_head(b"HTTP/1.1 200 OK", b"Transfer-Encoding : chunked"), BAD_GATEWAY),
    "te-unknown": (answer("Transfer-Encoding: xyz", length=False), BAD_GATEWAY),
    "head-flood": (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 400_000 + b"\r\n\r\n", BAD_GATEWAY),
    "field-flood": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 40_000 + b"\r\n", BAD_GATEWAY),
}
TOLERATED: Final = {
    "no-reason-no-space": _head(b"HTTP/1.1 200"),
    "no-reason": _head(b"HTTP/1.1 200 "),
    "reason-8-bit": _head(b"HTTP/1.1 200 Tr\xe8s bien"),
    "two-spaces": _head(b"HTTP/1.1  200 OK"),
    "lower-case-http": _head(b"http/1.1 200 OK"),
    "version-2.0": _head(b"HTTP/2.0 200 OK"),
    "version-1.2": _head(b"HTTP/1.2 200 OK"),
    "empty-line-first": b"\r\n" + _head(b"HTTP/1.1 200 OK"),
    "bare-lf-lines": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "folded": _head(b"HTTP/1.1 200 OK", b"X: a\r\n b"),
    "space-before-colon": _head(b"HTTP/1.1 200 OK", b"X : a"),
    "control-in-value": _head(b"HTTP/1.1 200 OK", b"X: a\x01b"),
    "nul-in-value": _head(b"HTTP/1.1 200 OK", b"X: a\x00b"),
    "length-twice-equal": _head(b"HTTP/1.1 200 OK", b"Content-Length: 2"),
    "length-list-equal": b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
    "length-and-te": answer("Content-Length: 50", CODED, body=b"2\r\nok\r\n0\r\n\r\n", length=False),
    "te-upper-case": answer("Transfer-Encoding: CHUNKED", body=b"2\r\nok\r\n0\r\n\r\n", length=False),
    "16-kib-cookies": _head(b"HTTP/1.1 200 OK", *(b"Set-Cookie: c%d=%b" % (i, b"x" * 4000) for i in range(4))),
    "status-line-tab": _head(b"HTTP/1.1 200\tOK"),
    "leading-space-on-first-field": _head(b"HTTP/1.1 200 OK").replace(b"\r\nC", b"\r\n C"),
    "200-fields": _head(b"HTTP/1.1 200 OK", *(b"X-%d: y" % i for i in range(200))),
}
"""Not or hardly legal: 502, or repaired. What goes on must be well-formed, which the judge sees to in any case."""

PASSED: Final = (
    "299 Odd",
    "404 Not Found",
    "418 Teapot",
    "499 Mine",
    "500 Oops",
    "503 Busy",
    "599 Odd",
    "301 Moved",
    "226 IM Used",
)

BAD_CHUNKS: Final = {
    "size": b"2\r\nok\r\nzz\r\nok\r\n0\r\n\r\n",
    "size-minus": b"2\r\nok\r\n-2\r\nok\r\n0\r\n\r\n",
    "size-overflow": b"2\r\nok\r\nFFFFFFFFFFFFFFFFF\r\nok\r\n0\r\n\r\n",
    "size-0x": b"2\r\nok\r\n0x2\r\nok\r\n0\r\n\r\n",
    "no-crlf": b"2\r\nok\r\n2\r\nokay\r\n0\r\n\r\n",
    "last-without-end": b"2\r\nok\r\n0\r\n",
    "no-last": b"2\r\nok\r\n",
    "inside": b"2\r\nok\r\n50\r\nok",
    "trailer-garbage": b"2\r\nok\r\n0\r\ngarbage\r\n\r\n",
}

MALFORMED: Final = (
    *(
        _broken(f"{name}", "malformed: 502, none of it goes on (9112 4, 5, 6.3)", head, Do.CLOSE, outcomes=(end,))
        for name, (head, end) in HEADS.items()
    ),
    *(
        _broken(name, "hardly legal: 502 or repaired, never passed on as it is", head, outcomes=(OK, BAD_GATEWAY))
        for name, head in TOLERATED.items()
    ),
    *(
        _broken(
            f"passes-{status[:3]}",
            "whatever its class, a final answer is the server's (9110 15)",
            answer(status=status),
            outcomes=(Outcome((Answer((int(status[:3]),), body=b"ok"),), "any", kept=True),),
        )
        for status in PASSED
    ),
    _broken(
        "status-999",
        "three digits, no class: passed on or 502 (9110 15)",
        answer(status="999 Odd"),
        outcomes=(Outcome((Answer((999,)),), "any"), BAD_GATEWAY),
    ),
    *(
        Case(
            f"upstreams/chunk-{name}",
            "malformed or cut chunks: the client must not take the answer for complete (9112 8)",
            (get(),),
            (ABORTED, BAD_GATEWAY),
            (after(answer(CODED, body=body, length=False), Do.CLOSE),) * 4,
        )
        for name, body in BAD_CHUNKS.items()
    ),
    _broken(
        "chunked-1.0",
        "a transfer coding in HTTP/1.0 (9112 6.1): read as chunked, 502, or cut",
        answer(CODED, body=b"2\r\nok\r\n0\r\n\r\n", length=False).replace(b"1.1", b"1.0", 1),
        Do.CLOSE,
        outcomes=(OK, BAD_GATEWAY),
    ),
    _broken(
        "te-gzip",
        "a coding that was not asked for: 502, or passed with its coding until the end (9112 6.3, 7.4)",
        answer("Transfer-Encoding: gzip", length=False),
        Do.CLOSE,
        outcomes=(BAD_GATEWAY, Outcome((Answer(has={"transfer-encoding": "gzip, chunked"}),), "any")),
    ),
    Case(
        "upstreams/splitting-bare-cr",
        "a bare CR must not become a line end for anyone (9112 2.2)",
        (get(),),
        (BAD_GATEWAY, Outcome((Answer(lacks=("set-cookie",)),), "any")),
        (after(_head(b"HTTP/1.1 200 OK", b"Location: /x\r\rSet-Cookie: evil=1")),) * 4,
    ),
    Case(
        "upstreams/splitting-bare-cr-in-reason",
        "9112 2.2",
        (get(),),
        (BAD_GATEWAY, Outcome((Answer(),), "any")),
        (after(_head(b"HTTP/1.1 200 O\rK")),) * 4,
    ),
    Case(
        "upstreams/trailer-forbidden",
        "trailers cannot set framing or cookies for the head (9110 6.5.1)",
        (get(),),
        (Outcome((Answer(body=b"ok", lacks=("content-length",)),), "any", kept=None), ABORTED, BAD_GATEWAY),
        (after(answer(CODED, body=b"2\r\nok\r\n0\r\nContent-Length: 50\r\n\r\n", length=False)),) * 4,
    ),
)

CUT: Final = (
    _broken(
        "length-cut",
        "fewer bytes than promised (9112 8)",
        answer("Content-Length: 50", length=False),
        Do.CLOSE,
        outcomes=(ABORTED, BAD_GATEWAY),
    ),
    _broken(
        "length-cut-by-reset",
        "9112 8",
        answer("Content-Length: 50", length=False),
        Reached(b"ok"),
        Do.RESET,
        outcomes=(ABORTED,),
    ),
    _broken(
        "length-cut-on-its-way",
        "9112 8",
        answer("Content-Length: 50", length=False),
        Reached(b"ok"),
        Do.CLOSE,
        outcomes=(ABORTED,),
    ),
    _broken(
        "length-cut-half-close",
        "9112 8",
        answer("Content-Length: 50", length=False),
        Do.HALF_CLOSE,
        outcomes=(ABORTED, BAD_GATEWAY),
    ),
    _broken(
        "until-close-reset",
        "an answer that lasts until the close, and is reset instead: cut (9112 8)",
        answer(length=False),
        Reached(b"ok"),
        Do.RESET,
        outcomes=(ABORTED,),
    ),
    _broken("closes-at-once", "no answer: 502 (9110 15.6.3)", Do.CLOSE),
    _broken("resets-at-once", "9110 15.6.3", Do.RESET),
    _broken("closes-in-status-line", "9110 15.6.3", b"HTTP/1.1 20", Do.CLOSE),
    _broken(
        "closes-in-head",
        "9112 8: an incomplete head is no answer",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
        Do.CLOSE,
    ),
    _broken("resets-in-head", "9112 8", b"HTTP/1.1 200 OK\r\nContent-Le", Do.RESET),
    _broken(
        "silent",
        "nothing in 2 s: 504 (9110 15.6.5)",
        Seen(b"never"),
        outcomes=(Outcome((Answer((504,)),), "any", kept=None),),
    ),
    _broken(
        "stalls-in-head",
        "504, or 502",
        b"HTTP/1.1 200 OK\r\nContent-",
        Seen(b"never"),
        outcomes=(Outcome((Answer((502, 504)),), "any"),),
    ),
    _broken("slow-but-in-time", "half a second is not too long", Pause(0.5), answer(), outcomes=(OK,)),
    _broken("dribbled", "any split into packets", Dribble(answer()), outcomes=(OK,)),
    Case(
        "upstreams/refuses-connections",
        "502, or 503 once it is known to be down",
        (get(),),
        (Outcome((Answer((502, 503, 504)),), (), kept=None),),
        upstream_listens=False,
    ),
    Case(
        "upstreams/post-closed-at-once",
        "not idempotent, and it was read: not sent twice (9110 9.2.2)",
        (post(b"hello"),),
        (Outcome((Answer((502,)),), (Got(body=b"hello"),), kept=None),),
        (after(Do.CLOSE),) * 4,
    ),
)

CASES: Final = MALFORMED + CUT
