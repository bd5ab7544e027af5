"""Cases: what is asked of whoever stands between two connections. Methods and counts, versions, failures in a pipeline.

RFC 9110 7.6, 7.8, 9.3.8, 10.1.1, 15.2, 15.5.22, RFC 9112 2.5, 6.1, 9.3, 9.6.
"""

from __future__ import annotations

from typing import Final

from tests.conformance.cases import (
    SMUGGLED,
    Answer,
    Case,
    Do,
    Got,
    Outcome,
    Reached,
    Reply,
    Seen,
    after,
    answer,
    at_head,
    chunked,
    get,
    post,
    refused,
    request,
    served,
)

NEXT: Final = Got("GET /smuggled HTTP/1.1")
BAD_GATEWAY: Final = Outcome((Answer((502,)),), "any", kept=None)
CODED: Final = "Transfer-Encoding: chunked"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
SECRETS: Final = ("Cookie: a=b", "Authorization: Basic eA==", "Proxy-Authorization: Basic eA==")


def _expecting(value: str, *outcomes: Outcome) -> tuple[tuple[bytes, ...], tuple[Outcome, ...]]:
    return (post(b"hello", f"Expect: {value}"),), outcomes


def _answered(name: str, why: str, reply: bytes, *outcomes: Outcome, asked: bytes | None = None) -> Case:
    """The upstream says this to a GET, and to each retry of it."""
    first = get() if asked is None else asked
    return Case(f"gateway/answer-{name}", why, (first,), outcomes, (after(reply, Do.CLOSE),) * 4)


METHODS: Final = (
    Case(
        "gateway/max-forwards-beyond-count",
        "a larger count than is understood is one, and goes down (9110 7.6.2)",
        (request("OPTIONS / HTTP/1.1", "Max-Forwards: 99999999999999999999999"),),
        (served(Got("OPTIONS / HTTP/1.1", has={"max-forwards": "9" * 17 + "8"})), served(Got(lacks=("max-forwards",)))),
    ),
    Case(
        "gateway/max-forwards-twice",
        "two readers, two counts",
        (request("OPTIONS / HTTP/1.1", "Max-Forwards: 5", "Max-Forwards: 0") + SMUGGLED,),
        (refused(400),),
    ),
    Case(
        "gateway/max-forwards-asterisk-0",
        "OPTIONS * ends here as well (9110 7.6.2)",
        (request("OPTIONS * HTTP/1.1", "Max-Forwards: 0"),),
        (Outcome((Answer((200, 204)),), (), kept=True),),
    ),
    Case(
        "gateway/max-forwards-get-0",
        "for other methods it may be ignored (9110 7.6.2)",
        (get("Max-Forwards: 0"),),
        (served(Got(has={"max-forwards": "0"})),),
    ),
    Case(
        "gateway/trace-0-hides-secrets",
        "what a script may not read is not echoed to it (9110 9.3.8)",
        (request("TRACE / HTTP/1.1", "Max-Forwards: 0", *SECRETS),),
        (
            Outcome((Answer(body=b"TRACE / HTTP/1.1\r\nHost: a.test\r\nMax-Forwards: 0\r\n\r\n"),), (), kept=True),
            Outcome((Answer((405, 501)),), ()),
        ),
    ),
    Case(
        "gateway/trace-0-with-body",
        "its body is never the next request",
        (request("TRACE / HTTP/1.1", "Max-Forwards: 0", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED),),
        (Outcome((Answer((200, 400, 405, 501)),), ()),),
    ),
    Case(
        "gateway/get-fields-of-length-0",
        "a field of no length stays one (9110 5.5)",
        (get("X-Empty:", "Foo: bar"),),
        (served(Got(has={"x-empty": "", "foo": "bar"})),),
    ),
    Case(
        "gateway/nominated-cookie",
        "an end-to-end field that is nominated is gone (9110 7.6.1)",
        (get("Connection: Cookie, close", "Cookie: a=b"),),
        (served(Got(lacks=("cookie",)), kept=False),),
    ),
    Case(
        "gateway/upgrade-list-no-route",
        "a list of protocols, none of which is spoken on this route (9110 7.8)",
        (get("Connection: Upgrade", "Upgrade: h2c, websocket, TLS/1.0") + SMUGGLED,),
        (served(Got(lacks=("upgrade",)), NEXT),),
    ),
    Case(
        "gateway/h2c-with-body",
        "the body of a request that asks for h2c is its body (h2c smuggling)",
        (post(SMUGGLED, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),),
        (served(Got("POST / HTTP/1.1", body=SMUGGLED, lacks=("upgrade", "http2-settings"))),),
    ),
    Case(
        "gateway/absolute-bad-host",
        "a malformed Host is one even where the target replaces it (9112 3.2)",
        (request("GET http://b.test/ HTTP/1.1", host="a.test/evil"),),
        (refused(400),),
    ),
    Case(
        "gateway/absolute-1.0-without-host",
        "its authority becomes Host (9112 3.2.2)",
        (request("GET http://b.test/x HTTP/1.0", host=None),),
        (served(Got("GET /x HTTP/1.1", has={"host": "b.test"}), kept=False),),
    ),
    Case("gateway/1.0-two-hosts", "9112 3.2", (request("GET / HTTP/1.0", "Host: b.test"),), (refused(400),)),
    Case(
        "gateway/1.0-post-without-length",
        "no body, and nothing behind it is read (9112 6.3)",
        (request("POST / HTTP/1.0", body=SMUGGLED),),
        (served(Got("POST / HTTP/1.1", body=b""), kept=False), refused(400, 411)),
    ),
    Case(
        "gateway/1.0-kept-then-not",
        "each request says for itself whether the connection is kept (9112 9.3)",
        (request("GET /1 HTTP/1.0", "Connection: keep-alive"), Seen(b"ok"), request("GET /2 HTTP/1.0")),
        (served(Got(), Got(), kept=False, has={"connection": "keep-alive"}), served(Got(), kept=False)),
    ),
    Case(
        "gateway/1.0-with-both-framings",
        "9112 6.1",
        (request("POST / HTTP/1.0", "Content-Length: 3", CODED, body=b"0\r\n\r\n" + SMUGGLED),),
        (refused(400, 501),),
    ),
)

EXPECT: Final = (
    *(
        Case(f"gateway/expect-{name}", "9110 10.1.1", client, outcomes)
        for name, (client, outcomes) in {
            "parameter": _expecting("100-continue;q=1", refused(417), served(Got(body=b"hello"))),
            "twice": _expecting("100-continue\r\nExpect: 100-continue", refused(400, 417), served(Got(body=b"hello"))),
            "prefixed": _expecting("x 100-continue", refused(417), served(Got(body=b"hello"))),
        }.items()
    ),
    Case(
        "gateway/expect-length-0-then-request",
        "0.CL: nothing is waited for, and what follows is the next request",
        (request("POST / HTTP/1.1", "Expect: 100-continue", "Content-Length: 0") + SMUGGLED,),
        (served(Got("POST / HTTP/1.1", body=b""), NEXT),),
    ),
    Case(
        "gateway/expect-refused-then-body-as-request",
        "an early answer, and then a body that looks like a request: never read as one",
        (
            request("POST / HTTP/1.1", "Expect: 100-continue", f"Content-Length: {len(SMUGGLED)}"),
            Seen(b"401"),
            SMUGGLED,
        ),
        (Outcome((Answer((401,)),), "cut", kept=False), Outcome((Answer((401,)),), "any", kept=True)),
        (at_head(answer(status="401 Unauthorized")),),
    ),
    Case(
        "gateway/expect-then-malformed-chunks",
        "100, then no body after all: 400 (9112 7.1)",
        (request("POST / HTTP/1.1", "Expect: 100-continue", CODED), Seen(b" 100 "), b"zz\r\n" + SMUGGLED),
        (Outcome((Answer((400,), interim=(100,)),), "cut", kept=False),),
        (at_head(CONTINUE, Seen(b"never")),),
    ),
)

ANSWERS: Final = (
    _answered(
        "426-upgrade",
        "a 426 has to say what to upgrade to (9110 15.5.22); what this proxy cannot is left out",
        answer("Connection: Upgrade", "Upgrade: websocket", status="426 Upgrade Required"),
        Outcome((Answer((426,), has={"upgrade": "websocket"}, body=b"ok"),), (Got(),), kept=True),
    ),
    _answered(
        "426-foreign",
        "9110 7.8",
        answer("Connection: Upgrade", "Upgrade: TLS/1.0", status="426 Upgrade Required"),
        Outcome((Answer((426,), lacks=("upgrade",), body=b"ok"),), (Got(),), kept=True),
    ),
    _answered(
        "head-both-framings",
        "not to be trusted, body or not (9112 6.3)",
        answer(CODED, "Content-Length: 5", body=b"", length=False),
        BAD_GATEWAY,
        Outcome((Answer(body=b""),), "any", kept=None),
        asked=request("HEAD / HTTP/1.1"),
    ),
    _answered(
        "old-date",
        "a Date is the origin's, and added only where there is none (9110 6.6.1)",
        answer("Date: Sun, 06 Nov 1994 08:49:37 GMT"),
        served(Got(), has={"date": "Sun, 06 Nov 1994 08:49:37 GMT"}),
    ),
    *(
        _answered(
            f"line-{name}", "no status line: 502 (9112 4)", line + b"\r\nContent-Length: 2\r\n\r\nok", BAD_GATEWAY
        )
        for name, line in {
            "icy": b"ICY 200 OK",
            "http-2": b"HTTP/2 200 OK",
            "without-version": b"200 OK",
            "comma": b"HTTP/1,1 200 OK",
            "600-digits": b"HTTP/1.1 " + b"2" * 600,
        }.items()
    ),
    _answered("html", "HTTP/0.9 is not spoken", b"<html>hello</html>", BAD_GATEWAY),
    _answered(
        "length-with-spaced-name",
        "a proxy takes the white space out of an answer's field lines (9112 5.1)",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        served(Got(), body=b"ok", has={"content-length": "2"}, kept=None),
        BAD_GATEWAY,
    ),
    _answered(
        "te-1.0", "9112 6.1", answer(CODED, body=b"0\r\n\r\n", length=False).replace(b"1.1", b"1.0", 1), BAD_GATEWAY
    ),
    _answered("te-twice", "9112 6.1", answer(CODED, CODED, body=b"0\r\n\r\n", length=False), BAD_GATEWAY),
    _answered(
        "103-coded",
        "an interim answer has no framing (9112 6.1)",
        b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + answer(),
        BAD_GATEWAY,
        served(Got(), body=b"ok", interim=(103,), kept=None),
    ),
    _answered(
        "many-fields",
        "500 short fields are an odd answer, no malformed one",
        answer(*(f"X{i}: y" for i in range(500))),
        served(Got(), has={"x499": "y"}, body=b"ok", kept=None),
        BAD_GATEWAY,
    ),
    *(
        _answered(
            f"chunk-extension-{name}",
            "no line end but CRLF ends a chunk extension (CVE-2025-55315 and its kin)",
            answer(CODED, body=extension + b"\r\nok\r\n0\r\n\r\n", length=False),
            BAD_GATEWAY,
            Outcome((Answer(complete=False),), "any"),
        )
        for name, extension in {"lf": b"2;a\n", "cr": b"2;a\rb", "cr-in-quotes": b'2;a="\r"'}.items()
    ),
)

PIPELINES: Final = (
    Case(
        "gateway/failure-inside-pipeline",
        "a backend that breaks one answer takes neither the order nor the connection with it",
        (post(b"hello") + get(target="/2"),),
        (Outcome((Answer((502,)), Answer(body=b"ok")), "any", kept=True),),
        (after(Do.CLOSE), after(answer())),
    ),
    Case(
        "gateway/cut-inside-pipeline",
        "behind an answer that breaks off nothing may follow: it would be read as its rest",
        (get() + get(target="/2"),),
        (Outcome((Answer(complete=False),), "any", kept=False),),
        (after(answer("Content-Length: 9", length=False), Reached(b"ok"), Do.CLOSE),),
    ),
    Case(
        "gateway/malformed-behind-slow-answer",
        "what is wrong with the second request is not told before the first is answered (9112 9.3.2)",
        (get(), Reached(b"\r\n\r\n"), b"BAD\r\n\r\n" + SMUGGLED),
        (Outcome((Answer(body=b"ok"), Answer((400,))), (Got("GET / HTTP/1.1"),), kept=False),),
        (after(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", Reached(b"\r\n\r\n"), b"ok"),),
    ),
    Case(
        "gateway/late-408-on-idle-connection",
        "a server's farewell to an idle connection answers nobody (9112 9.5)",
        (get(), Seen(b"ok"), get(target="/2")),
        (Outcome((Answer(body=b"ok"), Answer((200, 408))), "any"),),
        (
            after(answer(), Reached(b"ok"), answer("Connection: close", status="408 Request Timeout"), Do.CLOSE),
            after(answer()),
        ),
    ),
    Case(
        "gateway/chunks-split-everywhere",
        "lines of chunks in any pieces",
        (
            chunked(b"hello")[:-20],
            *(chunked(b"hello")[-20:][at : at + 1] for at in range(20)),
        ),
        (served(Got(body=b"hello")),),
    ),
    Case(
        "gateway/request-behind-unframed-body",
        "bytes behind a POST without a length are the next request, or its ruin, never its body (9112 6.3)",
        (request("POST / HTTP/1.1", body=b"hello\r\n\r\n"),),
        (Outcome((Answer(), Answer((400,))), (Got("POST / HTTP/1.1", body=b""),), kept=False), refused(400, 411)),
    ),
    Case(
        "gateway/upstream-speaks-late-second-head",
        "two answers in one packet: the second belongs to nobody (response queue poisoning)",
        (get() + get(target="/2") + get(target="/3"),),
        (Outcome((Answer(body=b"one"), Answer(body=b"two"), Answer(body=b"three")), "any", kept=True),),
        (
            Reply((Do.WHOLE, answer(body=b"one") + answer(body=b"evil"))),
            Reply((Do.WHOLE, answer(body=b"two") + answer(status="404 Evil", body=b"evil"))),
            after(answer(body=b"three")),
        ),
    ),
)

CASES: Final = METHODS + EXPECT + ANSWERS + PIPELINES
