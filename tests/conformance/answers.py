"""Cases: answers of every shape. HEAD, 204 and 304, chunks, until the close, to HTTP/1.0, and streaming.

RFC 9112 6 and 7.1, RFC 9110 6.4.1, 9.3.2, 15.3.5, 15.4.5.
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
    Reached,
    after,
    answer,
    get,
    request,
    served,
)

MIB: Final = b"0123456789abcdef" * 65536
PARTS: Final = b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
UNTIL_CLOSE: Final = (after(answer(body=b"hello", length=False), Do.CLOSE),)


CASES: Final = (
    Case(
        "answers/head",
        "no body, the length of a GET's (9110 9.3.2)",
        (request("HEAD / HTTP/1.1"),),
        (served(Got("HEAD / HTTP/1.1"), has={"content-length": "5"}, body=b""),),
        (after(answer("Content-Length: 5", body=b"", length=False)),),
    ),
    Case(
        "answers/head-chunked",
        "the field alone, no chunks (9112 6.1)",
        (request("HEAD / HTTP/1.1"),),
        (served(Got(), body=b""),),
        (after(answer("Transfer-Encoding: chunked", body=b"", length=False)),),
    ),
    Case(
        "answers/head-without-length",
        "ends with the head (9112 6.3)",
        (request("HEAD / HTTP/1.1"),),
        (served(Got(), body=b""),),
        (after(answer(body=b"", length=False)),),
    ),
    Case(
        "answers/head-then-get",
        "pipelined",
        (request("HEAD / HTTP/1.1") + get(),),
        (Outcome((Answer(body=b""), Answer(body=b"hello")), kept=True),),
        (after(answer("Content-Length: 5", body=b"", length=False)), after(answer(body=b"hello"))),
        methods=("HEAD", "GET"),
    ),
    *(
        Case(
            f"answers/{status[:3]}{slug}",
            "no body, whatever its fields say (9112 6.3)",
            (get(),),
            (Outcome((Answer((int(status[:3]),), body=b""),), kept=True),),
            (after(answer(*fields, status=status, body=b"", length=False)),),
        )
        for status, slug, fields in (
            ("204 No Content", "", ()),
            ("204 No Content", "-length-0", ("Content-Length: 0",)),
            ("304 Not Modified", "", ('ETag: "x"',)),
            ("304 Not Modified", "-length", ("Content-Length: 100",)),
            ("304 Not Modified", "-chunked", ("Transfer-Encoding: chunked",)),
        )
    ),
    Case(
        "answers/head-without-length-then-close",
        "an upstream that ends behind the head",
        (request("HEAD / HTTP/1.1"),),
        (served(Got(), body=b""),),
        (after(answer("Connection: close", body=b"", length=False), Do.CLOSE),),
    ),
    Case(
        "answers/head-1.0-chunked",
        "nothing an HTTP/1.0 client cannot read",
        (request("HEAD / HTTP/1.0"),),
        (served(Got(), body=b"", kept=False),),
        (after(answer("Transfer-Encoding: chunked", body=b"", length=False)),),
    ),
    Case(
        "answers/204-length-5",
        "a length where none may be (9110 8.6): repaired, or 502",
        (get(),),
        (Outcome((Answer((204,), body=b""),), (Got(),)), Outcome((Answer((502,)),), "any")),
        (after(answer("Content-Length: 5", status="204 No Content", body=b"hello", length=False)),) * 3,
    ),
    Case(
        "answers/until-close-empty",
        "neither length nor body",
        (get(),),
        (served(Got(), body=b"", kept=None),),
        (after(answer(body=b"", length=False), Do.CLOSE),),
    ),
    Case(
        "answers/205-length-0",
        "9110 15.3.6",
        (get(),),
        (Outcome((Answer((205,), body=b""),), kept=True),),
        (after(answer(status="205 Reset Content", body=b"")),),
    ),
    Case("answers/empty-200", "9112 6.3", (get(),), (served(Got(), body=b""),), (after(answer(body=b"")),)),
    Case("answers/1-mib-answer", "octet for octet", (get(),), (served(Got(), body=MIB),), (after(answer(body=MIB)),)),
    Case(
        "answers/chunked-answer",
        "9112 7.1",
        (get(),),
        (served(Got(), body=b"hello"),),
        (after(answer("Transfer-Encoding: chunked", body=PARTS, length=False)),),
    ),
    Case(
        "answers/chunked-answer-dribbled",
        "any split into packets",
        (get(),),
        (served(Got(), body=b"hello"),),
        (after(Dribble(answer("Transfer-Encoding: chunked", body=PARTS, length=False))),),
    ),
    Case(
        "answers/chunked-answer-with-extensions-and-trailer",
        "9112 7.1.1, 7.1.2",
        (get(),),
        (served(Got(), body=b"hello", lacks=("x-sum",)),),
        (
            after(
                answer(
                    "Transfer-Encoding: chunked", body=b'5;a="b"\r\nhello\r\n000;x\r\nX-Sum: 1\r\n\r\n', length=False
                )
            ),
        ),
    ),
    Case(
        "answers/chunked-answer-to-1.0",
        "decoded, ended by the close or a length (9112 6.1)",
        (request("GET / HTTP/1.0"),),
        (served(Got(), body=b"hello", framing=("close", "length"), kept=False),),
        (after(answer("Transfer-Encoding: chunked", body=PARTS, length=False)),),
    ),
    Case(
        "answers/chunked-answer-to-1.0-keep-alive",
        "no length, so it cannot be kept",
        (request("GET / HTTP/1.0", "Connection: keep-alive"),),
        (
            served(Got(), body=b"hello", framing=("close",), kept=False),
            served(Got(), body=b"hello", framing=("length",)),
        ),
        (after(answer("Transfer-Encoding: chunked", body=PARTS, length=False)),),
    ),
    Case("answers/answer-until-close", "9112 6.3", (get(),), (served(Got(), body=b"hello", kept=None),), UNTIL_CLOSE),
    Case(
        "answers/answer-until-close-keeps-client",
        "chunked for an HTTP/1.1 client, whose connection goes on",
        (get(),),
        (served(Got(), body=b"hello", framing=("chunked", "length")),),
        UNTIL_CLOSE,
    ),
    Case(
        "answers/answer-until-close-to-1.0",
        "9112 6.3",
        (request("GET / HTTP/1.0", "Connection: keep-alive"),),
        (served(Got(), body=b"hello", framing=("close",), kept=False),),
        UNTIL_CLOSE,
    ),
    Case(
        "answers/upstream-speaks-1.0",
        "the proxy answers in its own version (9110 6.2)",
        (get(),),
        (served(Got(), body=b"hello"),),
        (after(answer(body=b"hello").replace(b"1.1", b"1.0", 1), Do.CLOSE),),
    ),
    Case(
        "answers/upstream-1.0-keep-alive",
        "C.2.2 of 9112",
        (get(),),
        (served(Got(), body=b"hello"),),
        (after(answer("Connection: keep-alive", body=b"hello").replace(b"1.1", b"1.0", 1)),),
    ),
    Case(
        "answers/answer-streams",
        "pieces are passed on as they come",
        (get(),),
        (served(Got(), body=b"onetwo"),),
        (after(answer("Content-Length: 6", body=b"one", length=False), Reached(b"one"), b"two"),),
    ),
    Case(
        "answers/chunks-stream",
        "event streams",
        (get(),),
        (served(Got(), body=b"onetwo"),),
        (
            after(
                answer("Transfer-Encoding: chunked", body=b"3\r\none\r\n", length=False),
                Reached(b"one"),
                b"3\r\ntwo\r\n0\r\n\r\n",
            ),
        ),
    ),
    Case(
        "answers/head-of-answer-alone",
        "a head goes on before there is a body",
        (get(),),
        (served(Got(), body=b"hello"),),
        (after(answer("Content-Length: 5", body=b"", length=False), Reached(b"\r\n\r\n"), b"hello"),),
    ),
    Case(
        "answers/upload-streams",
        "pieces are passed on as they come",
        (request("POST / HTTP/1.1", "Content-Length: 6", body=b"one"), Reached(b"one"), b"two"),
        (served(Got(body=b"onetwo")),),
    ),
)
