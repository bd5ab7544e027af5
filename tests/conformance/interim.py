"""Cases: interim answers and Expect.

RFC 9110 10.1.1 and 15.2, RFC 8297.
"""

from __future__ import annotations

from typing import Final

from tests.conformance.cases import (
    Answer,
    Case,
    Do,
    Got,
    Outcome,
    Reached,
    Reply,
    Seen,
    Step,
    after,
    answer,
    at_head,
    chunked,
    get,
    post,
    request,
    served,
)

EXPECT: Final = request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 5")
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
HELLO: Final = Got("POST / HTTP/1.1", body=b"hello")
BAD_GATEWAY: Final = Outcome((Answer((502,)),), "any")


def _told(name: str, why: str, first: bytes, *interim: int, outcomes: tuple[Outcome, ...] = ()) -> Case:
    """The upstream says `first` before its 200 to a GET."""
    return Case(
        f"interim/{name}",
        why,
        (get(),),
        (served(Got(), interim=interim, body=b"ok"), *outcomes),
        (after(first + answer()),),
    )


def _early(*steps: Step) -> tuple[Reply, ...]:
    return (at_head(*steps),)


CASES: Final = (
    Case(
        "interim/upstream-says-100",
        "passed on, once (9110 10.1.1)",
        (EXPECT, Seen(b"100 "), b"hello"),
        (served(HELLO, interim=(100,)),),
        _early(CONTINUE, Do.WHOLE, answer()),
    ),
    Case(
        "interim/upstream-is-silent",
        "a client that waits is let on after a while, at the latest (9110 10.1.1)",
        (EXPECT, Seen(b"100 "), b"hello"),
        (served(HELLO, interim=(100,)),),
    ),
    Case(
        "interim/chunked-body-waits",
        "likewise",
        (
            request("POST / HTTP/1.1", "Expect: 100-continue", "Transfer-Encoding: chunked"),
            Seen(b"100 "),
            b"5\r\nhello\r\n0\r\n\r\n",
        ),
        (served(HELLO, interim=(100,)),),
        _early(CONTINUE, Do.WHOLE, answer()),
    ),
    Case(
        "interim/client-does-not-wait",
        "the body may come at once; 100 may then be left out (9110 10.1.1)",
        (post(b"hello", "Expect: 100-continue"),),
        (served(HELLO, interim=()), served(HELLO, interim=(100,))),
    ),
    Case(
        "interim/expect-odd-case",
        "100-continue is case-insensitive (9110 10.1.1)",
        (EXPECT.replace(b"100-continue", b"100-Continue"), Seen(b"100 "), b"hello"),
        (served(HELLO, interim=(100,)),),
        _early(CONTINUE, Do.WHOLE, answer()),
    ),
    Case(
        "interim/final-first",
        "417 instead of 100: the body is never asked for (9110 10.1.1)",
        (EXPECT,),
        (Outcome((Answer((417,), interim=(), body=b"no"),), "any"),),
        _early(answer(status="417 Expectation Failed", body=b"no")),
    ),
    Case(
        "interim/final-first-401",
        "likewise with an answer that ends the connection",
        (EXPECT,),
        (Outcome((Answer((401,), interim=(), body=b"no"),), "cut"),),
        _early(answer("Connection: close", status="401 Unauthorized", body=b"no"), Do.CLOSE),
    ),
    Case(
        "interim/final-first-then-next-request",
        "after it, either the connection is closed or the next bytes are read as the body that was announced",
        (EXPECT, Seen(b"417"), b"hello"),
        (
            Outcome((Answer((417,), interim=()),), "any", kept=True),
            Outcome((Answer((417,), interim=()),), "any", kept=False),
        ),
        _early(answer(status="417 Expectation Failed"), Do.WHOLE),
    ),
    Case(
        "interim/100-then-417",
        "the final answer counts",
        (EXPECT, Seen(b"100 "), b"hello"),
        (Outcome((Answer((417,), interim=(100,)),), (HELLO,), kept=True),),
        _early(CONTINUE, Do.WHOLE, answer(status="417 Expectation Failed")),
    ),
    Case(
        "interim/expect-http-1.0",
        "ignored there: no interim answer (9110 10.1.1)",
        (request("POST / HTTP/1.0", "Expect: 100-continue", "Content-Length: 5", body=b"hello"),),
        (served(HELLO, interim=(), kept=False),),
    ),
    Case(
        "interim/expect-unknown",
        "417, or the server's to judge (9110 10.1.1)",
        (get("Expect: nonsense"),),
        (served(Got(), kept=None), Outcome((Answer((400, 417)),), ())),
    ),
    Case(
        "interim/expect-without-body",
        "no body, no 100 needed (9110 10.1.1)",
        (get("Expect: 100-continue"),),
        (served(Got()),),
    ),
    Case(
        "interim/expect-on-second-request",
        "on a connection that is kept",
        (get() + EXPECT, Seen(b"100 "), b"hello"),
        (served(Got("GET / HTTP/1.1"), HELLO, interim=(100,)),),
        (after(answer()), at_head(CONTINUE, Do.WHOLE, answer())),
    ),
    _told("103", "passed on at once (9110 15.2)", HINTS, 103),
    _told("103-twice", "each of them, in order", HINTS + HINTS, 103, 103),
    _told("102", "102 Processing", b"HTTP/1.1 102 Processing\r\n\r\n", 102),
    _told("199", "unknown ones too (9110 15.2)", b"HTTP/1.1 199 Odd\r\nX: y\r\n\r\n", 199),
    _told(
        "100-not-expected",
        "a 100 nobody has asked for is kept back (or passed: 9110 15.2 allows both to a proxy that may have asked)",
        CONTINUE,
        outcomes=(served(Got(), interim=(100,), body=b"ok"),),
    ),
    _told(
        "length-in-103",
        "an interim answer has no body, whatever it says (9110 15.2, 9112 6.3)",
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
        103,
        outcomes=(BAD_GATEWAY,),
    ),
    _told(
        "nominated-field-in-103",
        "hop-by-hop there as well",
        b"HTTP/1.1 103 Early Hints\r\nConnection: X-Foo\r\nX-Foo: 1\r\nLink: </a>\r\n\r\n",
        103,
    ),
    _told(
        "flood",
        "1000 of them: passed on, or cut off at some bound",
        HINTS * 1000,
        *(103,) * 1000,
        outcomes=(Outcome((Answer((502,)),), "any"), Outcome((Answer((200,)),), "any")),
    ),
    Case(
        "interim/103-at-once",
        "not held back until the final answer: that is its point (8297 2)",
        (get(),),
        (served(Got(), interim=(103,)),),
        (after(HINTS, Reached(b" 103 "), answer()),),
    ),
    Case(
        "interim/103-to-http-1.0",
        "never (9110 15.2)",
        (request("GET / HTTP/1.0"),),
        (served(Got(), interim=(), kept=False),),
        (after(HINTS + answer()),),
    ),
    Case(
        "interim/103-then-close",
        "no final answer: 502 (9110 15.6.3)",
        (get(),),
        (Outcome((Answer((502,)),), "any"),),
        (after(HINTS, Do.CLOSE),) * 3,
    ),
    Case(
        "interim/101-not-asked",
        "no upgrade was asked for: 502, and no tunnel (9110 15.2.2)",
        (get(),),
        (BAD_GATEWAY,),
        (after(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", answer()),) * 3,
    ),
    Case(
        "interim/101-to-h2c",
        "the proxy has not passed that wish on, so nobody may grant it",
        (get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),),
        (BAD_GATEWAY,),
        (after(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),) * 3,
    ),
    Case(
        "interim/expect-with-length-0",
        "nothing to wait for (9110 10.1.1)",
        (request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 0"),),
        (served(Got("POST / HTTP/1.1", body=b"")),),
    ),
    Case(
        "interim/103-between-halves-of-upload",
        "interim answers and uploads overlap",
        (request("POST / HTTP/1.1", "Content-Length: 10", body=b"hello"), Seen(b" 103 "), b"world"),
        (served(Got(body=b"helloworld"), interim=(103,), body=b"ok"),),
        (at_head(HINTS, Do.WHOLE, answer()),),
    ),
    Case(
        "interim/101-without-upgrade-field",
        "likewise",
        (get(),),
        (BAD_GATEWAY,),
        (after(b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Do.CLOSE),) * 3,
    ),
    Case(
        "interim/head-of-100-dribbled",
        "any split into packets",
        (EXPECT, Seen(b"100 "), b"hello"),
        (served(HELLO, interim=(100,)),),
        _early(CONTINUE[:9], CONTINUE[9:], Do.WHOLE, answer()),
    ),
    Case(
        "interim/expect-with-chunked-body-at-once",
        "Expect and a body that does not wait",
        (chunked(b"hello").replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n", 1),),
        (served(HELLO),),
    ),
)
