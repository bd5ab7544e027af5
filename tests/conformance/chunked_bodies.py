"""Cases: request bodies in chunks. Sizes, extensions, the last chunk, trailers, and bodies that break off.

RFC 9112 7.1 and 11.2, RFC 9110 6.5; chunk-extension and line-terminator confusion (TERM.EXT, EXT.TERM).
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
    Outcome,
    Reached,
    chunked,
    cut,
    request,
    served,
)

HELLO: Final = Got(body=b"hello")
MIB: Final = b"0123456789abcdef" * 65536
HEAD: Final = request("POST / HTTP/1.1", "Transfer-Encoding: chunked")
END: Final = b"0\r\n\r\n"

GOOD: Final = {
    "upper-case-hex": (b"A\r\n0123456789\r\n", b"0123456789"),
    "lower-case-hex": (b"a\r\n0123456789\r\n", b"0123456789"),
    "leading-zeros": (b"0005\r\nhello\r\n", b"hello"),
    "sixteen-digits": (b"0000000000000005\r\nhello\r\n", b"hello"),
    "zeros-and-letter": (b"0A\r\n0123456789\r\n", b"0123456789"),
    "extension-2-kib": (b"5;" + b"a" * 2000 + b"\r\nhello\r\n", b"hello"),
    "extension": (b"5;a=b\r\nhello\r\n", b"hello"),
    "extension-without-value": (b"5;a\r\nhello\r\n", b"hello"),
    "extension-quoted": (b'5;a="b;c\\"d"\r\nhello\r\n', b"hello"),
    "extension-twice": (b"5;a=b;c=d\r\nhello\r\n", b"hello"),
    "extension-white-space": (b"5 ; a = b\r\nhello\r\n", b"hello"),
    "fake-end-inside": (b"c\r\n0\r\n\r\nGET / H\r\n", b"0\r\n\r\nGET / H"),
    "crlf-as-data": (b"2\r\n\r\n\r\n", b"\r\n"),
    "many": (b"1\r\nx\r\n" * 1000, b"x" * 1000),
}
BAD: Final = {
    "size-0x": b"0x5\r\nhello\r\n",
    "size-plus": b"+5\r\nhello\r\n",
    "size-minus": b"-5\r\nhello\r\n",
    "size-underscore": b"0_5\r\nhello\r\n",
    "size-empty": b"\r\nhello\r\n",
    "size-no-hex": b"g\r\nhello\r\n",
    "size-leading-space": b" 5\r\nhello\r\n",
    "size-comma": b"5,5\r\nhello\r\n",
    "size-nul": b"5\x00\r\nhello\r\n",
    "size-8-bit": b"\xb2\r\nhello\r\n",
    "size-17-digits": b"10000000000000005\r\nhello\r\n",
    "size-2-to-64-minus-1": b"FFFFFFFFFFFFFFFF\r\nhello\r\n",
    "data-too-long": b"5\r\nhelloX\r\n",
    "data-too-short": b"6\r\nhello\r\n",
    "data-no-crlf": b"5\r\nhello",
    "data-cr-only": b"5\r\nhello\r",
    "size-bare-cr": b"5\rhello\r\n",
    "extension-bare-lf": b"5;a\nhello\r\n",
    "extension-bare-cr": b"5;a\rb\r\nhello\r\n",
    "extension-nul": b"5;a=\x00\r\nhello\r\n",
    "extension-control": b"5;a=\x01\r\nhello\r\n",
    "extension-open-quote": b'5;a="\r\nhello\r\n',
    "extension-crlf-in-quotes": b'5;a="\r\n"\r\nhello\r\n',
    "extension-crlf-behind-lf": b"5;a\n\r\nhello\r\n",
    "extension-lf-in-value": b"5;a=b\nc\r\nhello\r\n",
    "size-minus-zero": b"-0\r\nhello\r\n",
    "size-0x0": b"0x0\r\nhello\r\n",
    "size-full-width": b"\xef\xbc\x95\r\nhello\r\n",
}
LAST: Final = {
    "two-zeros": b"00\r\n\r\n",
    "many-zeros": b"000000\r\n\r\n",
    "extension": b"0;a=b\r\n\r\n",
}
BAD_LAST: Final = {
    "lf-at-end": b"0\r\n\n",
    "lf-behind-size": b"0\n\r\n",
    "letters-behind": b"0x\r\n\r\n",
    "cr-at-end": b"0\r\n\rX",
}
BAD_TRAILERS: Final = {
    "no-colon": b"0\r\nX-Garbage\r\n\r\n",
    "space-before-colon": b"0\r\nX : y\r\n\r\n",
    "bare-lf": b"0\r\nX: y\nZ: z\r\n\r\n",
    "folded": b"0\r\nX: y\r\n z\r\n\r\n",
    "nul": b"0\r\nX: \x00\r\n\r\n",
    "control": b"0\r\nX: a\x01\r\n\r\n",
    "bare-cr": b"0\r\nX: a\rb\r\n\r\n",
    "request": b"0\r\nGET /x HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "none-and-no-end": b"0\r\n",
    "flood": b"0\r\n" + b"X: y\r\n" * 30000 + b"\r\n",
}
FORBIDDEN_TRAILERS: Final = (
    "Content-Length: 3",
    "Transfer-Encoding: chunked",
    "Host: evil.test",
    "Authorization: Basic eA==",
    "Cookie: a=b",
    "Connection: close",
    "X-Forwarded-For: 1.2.3.4",
)


def _body(name: str, data: bytes, body: bytes = b"hello") -> Case:
    why = "a legal chunked body arrives as the same octets (9112 7.1)"
    return Case(f"chunked/{name}", why, (HEAD + data,), (served(Got(body=body)),))


def _bad(name: str, data: bytes, *status: int, strict: bool = False) -> Case:
    why = "malformed chunked body: 400, and the upstream never sees a complete request (9112 7.1)"
    return Case(f"chunked/{name}", why, (HEAD + data,), (cut(*status),), strict=strict)


CASES: Final = (
    Case("chunked/one", "9112 7.1", (chunked(b"hello"),), (served(HELLO),)),
    Case("chunked/empty", "9112 7.1", (chunked(),), (served(Got(body=b"")),)),
    Case("chunked/get", "9110 9.3.1", (chunked(b"hello").replace(b"POST", b"GET"),), (served(HELLO),)),
    Case("chunked/dribbled", "any split into packets", (Dribble(chunked(b"he", b"llo")),), (served(HELLO),)),
    Case("chunked/1-mib-chunk", "9112 7.1", (chunked(MIB),), (served(Got(body=MIB)),)),
    *(_body(name, data + END, body) for name, (data, body) in GOOD.items()),
    *(_body(f"last-{name}", b"5\r\nhello\r\n" + end) for name, end in LAST.items()),
    Case(
        "chunked/then-request",
        "what follows the last chunk is the next request",
        (chunked(b"hello") + SMUGGLED,),
        (served(Got("POST / HTTP/1.1", body=b"hello"), Got("GET /smuggled HTTP/1.1")),),
    ),
    Case(
        "chunked/size-trailing-space",
        "not in the grammar, but old senders pad: refuse, or pass on normalised",
        (HEAD + b"5 \r\nhello\r\n" + END,),
        (served(HELLO), cut()),
    ),
    Case(
        "chunked/size-of-20-zeros",
        "over-long sizes may be refused (9112 7.1)",
        (HEAD + b"0" * 20 + b"5\r\nhello\r\n" + END,),
        (served(HELLO), cut()),
    ),
    Case(
        "chunked/extension-of-64-kib",
        "extensions are to be limited (9112 7.1.1)",
        (HEAD + b"5;a=" + b"b" * 65536 + b"\r\nhello\r\n" + END,),
        (served(HELLO), cut(400, 413, 431)),
    ),
    *(_bad(name, data + END + SMUGGLED, 400, 413) for name, data in BAD.items()),
    _bad("size-line-lf", b"5\nhello\r\n" + END + SMUGGLED, 400, strict=True),
    _bad("data-lf", b"5\r\nhello\n" + END + SMUGGLED, 400),
    _bad("extension-empty-name", b"5;=b\r\nhello\r\n" + END + SMUGGLED, 400, strict=True),
    *(_bad(f"last-{name}", b"5\r\nhello\r\n" + end + SMUGGLED, 400) for name, end in BAD_LAST.items()),
    *(_bad(f"trailer-{name}", b"5\r\nhello\r\n" + end + SMUGGLED, 400, 413, 431) for name, end in BAD_TRAILERS.items()),
    Case(
        "chunked/trailer",
        "trailers are dropped or passed as trailers, never made header fields (9110 6.5.1)",
        (chunked(b"hello", end=b"0\r\nX-Sum: 1\r\n\r\n"),),
        (served(Got(body=b"hello", lacks=("x-sum",))),),
    ),
    *(
        Case(
            f"chunked/trailer-{line.partition(':')[0].lower()}",
            "framing and routing fields in trailers are not passed on (9110 6.5.1)",
            (chunked(b"hello", end=b"0\r\n" + line.encode() + b"\r\n\r\n") + SMUGGLED,),
            (
                served(Got(body=b"hello", has={"host": "a.test"}), Got("GET /smuggled HTTP/1.1")),
                cut(),
            ),
        )
        for line in FORBIDDEN_TRAILERS
    ),
    Case(
        "chunked/too-large",
        "max_body_size holds for chunked bodies too",
        (HEAD, (b"80000\r\n" + b"x" * (1 << 19) + b"\r\n") * 5, END),
        (cut(413),),
    ),
    *(
        Case(
            f"chunked/truncated-{name}",
            "a body that breaks off is no request (9112 8)",
            (HEAD + data, end),
            (Outcome((), "cut", kept=None), Outcome((Answer((400, 408)),), "cut", kept=None)),
        )
        for name, data, end in (
            ("in-data-half-close", b"5\r\nhel", Do.HALF_CLOSE),
            ("in-data-close", b"5\r\nhel", Do.CLOSE),
            ("in-data-reset", b"5\r\nhel", Do.RESET),
            ("before-last-chunk", b"5\r\nhello\r\n", Do.HALF_CLOSE),
            ("inside-last-chunk", b"5\r\nhello\r\n0\r\n", Do.HALF_CLOSE),
            ("inside-trailers", b"5\r\nhello\r\n0\r\nX: y\r\n", Do.HALF_CLOSE),
        )
    ),
    Case(
        "chunked/truncated-on-its-way",
        "also once the upstream has got the beginning",
        (HEAD + b"5\r\nhello\r\n", Reached(b"hello"), Do.CLOSE),
        (Outcome((), "cut"),),
    ),
    Case(
        "chunked/malformed-on-its-way",
        "also once the upstream has got the beginning",
        (HEAD + b"5\r\nhello\r\n", Reached(b"hello"), b"zzz\r\n" + SMUGGLED),
        (cut(),),
    ),
    Case(
        "chunked/extension-without-end",
        "a size line that never ends: 400, not memory (9112 7.1.1)",
        (HEAD + b"5;" + b"a" * 300_000,),
        (cut(400, 413, 431),),
    ),
    Case(
        "chunked/trailer-without-end",
        "nor a trailer",
        (HEAD + b"0\r\nX: " + b"a" * 300_000,),
        (cut(400, 413, 431),),
    ),
    Case(
        "chunked/streamed",
        "chunks are passed on as they come, not collected",
        (HEAD + b"5\r\nhello\r\n", Reached(b"hello"), b"5\r\nworld\r\n", Reached(b"world"), END),
        (served(Got(body=b"helloworld")),),
    ),
)
