"""Cases: where a request ends. Content-Length, Transfer-Encoding, and every disguise of the two that is known.

RFC 9112 6 and 11.2, RFC 9110 5.5 and 8.6; smuggling research (CL.TE, TE.CL, TE.TE, CL.0).
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
    chunked,
    get,
    post,
    refused,
    request,
    served,
)

HELLO: Final = Got(body=b"hello", lacks=("transfer-encoding",))
MIB: Final = b"0123456789abcdef" * 65536
CHUNKED_HELLO: Final = b"5\r\nhello\r\n0\r\n\r\n"

BAD_LENGTHS: Final = {
    "differing-list": "5, 6",
    "minus": "-5",
    "hex": "0x5",
    "letters": "5a",
    "empty": "",
    "two-numbers": "5 5",
    "underscore": "1_0",
    "arabic-digits": "\u0665".encode().decode("latin-1"),
    "superscript": "\xb2",
    "2-to-63": "9223372036854775808",
    "2-to-64-plus-5": "18446744073709551621",
    "hundred-digits": "5" * 100,
    "fraction": "5.0",
    "parameter": "5;a=b",
    "quoted": '"5"',
    "vertical-tab": "\x0b5",
    "list-with-empty": "5,",
}
BAD_CODINGS: Final = {
    "gzip": "gzip",
    "identity": "identity",
    "gzip-chunked": "gzip, chunked",
    "chunked-gzip": "chunked, gzip",
    "chunked-twice": "chunked, chunked",
    "chunked-identity": "chunked, identity",
    "identity-chunked": "identity, chunked",
    "prefixed": "xchunked",
    "cut-off": "chunke",
    "parameter": "chunked;q=1",
    "quoted": '"chunked"',
    "inner-tab": "chun\tked",
    "space-separated": "chunked gzip",
    "empty": "",
}
BAD_LINES: Final = {
    "te-vertical-tab-before": b"Transfer-Encoding: \x0bchunked",
    "te-vertical-tab-behind": b"Transfer-Encoding: chunked\x0b",
    "te-form-feed": b"Transfer-Encoding:\x0cchunked",
    "te-nul-behind": b"Transfer-Encoding: chunked\x00",
    "te-nul-in-name": b"Transfer-Encoding\x00: chunked",
    "te-nbsp": b"Transfer-Encoding:\xa0chunked",
    "te-tab-before-colon": b"Transfer-Encoding\t: chunked",
    "te-leading-space": b" Transfer-Encoding: chunked",
    "te-leading-tab": b"\tTransfer-Encoding: chunked",
    "te-folded": b"Transfer-Encoding:\r\n chunked",
    "te-folded-into-other": b"X: a\r\n Transfer-Encoding: chunked",
    "te-behind-bare-lf": b"X: a\nTransfer-Encoding: chunked",
    "te-behind-bare-cr": b"X: a\rTransfer-Encoding: chunked",
    "te-behind-lf-cr": b"X: a\n\rTransfer-Encoding: chunked",
    "te-no-colon": b"Transfer-Encoding chunked",
    "te-name-with-space": b"Foo Transfer-Encoding: chunked",
    "te-two-lines": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "te-then-identity": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "cl-space-before-colon": b"Content-Length : 5",
    "cl-nul-in-name": b"Content-Length\x00: 5",
    "cl-folded": b"Content-Length:\r\n 5",
    "empty-name": b": 5",
    "line-without-colon": b"garbage",
    "name-with-brackets": b"(x): y",
    "name-with-8-bit": b"Caf\xe9: y",
    "nul-in-value": b"X: a\x00b",
    "cr-at-end-of-value": b"X: a\r",
}


def _both(first: str, second: str) -> bytes:
    return request("POST / HTTP/1.1", first, second, body=CHUNKED_HELLO + SMUGGLED)


REFUSED: Final = (
    Case(
        "framing/cl-then-te",
        "both in one request: smuggling (9112 6.1)",
        (_both("Content-Length: 5", "Transfer-Encoding: chunked"),),
        (refused(),),
    ),
    Case("framing/te-then-cl", "9112 6.1", (_both("Transfer-Encoding: chunked", "Content-Length: 5"),), (refused(),)),
    Case("framing/te-and-cl-0", "9112 6.1", (_both("Content-Length: 0", "Transfer-Encoding: chunked"),), (refused(),)),
    Case(
        "framing/te-identity-and-cl",
        "9112 6.1",
        (_both("Content-Length: 5", "Transfer-Encoding: identity"),),
        (refused(400, 501),),
    ),
    Case(
        "framing/two-lengths",
        "differing Content-Length lines (9112 6.3)",
        (_both("Content-Length: 5", "Content-Length: 6"),),
        (refused(),),
    ),
    Case(
        "framing/two-lengths-second-0",
        "9112 6.3",
        (_both("Content-Length: 5", "Content-Length: 0"),),
        (refused(),),
    ),
    Case(
        "framing/length-and-spaced-length",
        "9112 5.1",
        (_both("Content-Length: 5", "Content-Length : 6"),),
        (refused(),),
    ),
    Case(
        "framing/te-on-http-1.0",
        "a transfer coding on HTTP/1.0 is faulty framing (9112 6.1)",
        (request("POST / HTTP/1.0", "Transfer-Encoding: chunked", body=CHUNKED_HELLO + SMUGGLED),),
        (refused(400, 501),),
    ),
    Case(
        "framing/te-on-http-1.0-kept",
        "9112 6.1",
        (
            request(
                "POST / HTTP/1.0",
                "Connection: keep-alive",
                "Transfer-Encoding: chunked",
                body=CHUNKED_HELLO + SMUGGLED,
            ),
        ),
        (refused(400, 501),),
    ),
    Case(
        "framing/length-plus",
        "Content-Length = 1*DIGIT (9110 8.6)",
        (request("POST / HTTP/1.1", "Content-Length: +5", body=b"hello" + SMUGGLED),),
        (refused(),),
        strict=True,
    ),
    Case(
        "framing/te-space-before-colon",
        "9112 5.1: MUST reject with 400",
        (request("POST / HTTP/1.1", "Transfer-Encoding : chunked", body=CHUNKED_HELLO + SMUGGLED),),
        (refused(),),
        strict=True,
    ),
    Case(
        "framing/folded-field",
        "obs-fold in a request: 400 (9112 5.2)",
        (get(b"X: a\r\n b"),),
        (refused(),),
        strict=True,
    ),
    Case(
        "framing/bare-lf-lines",
        "bare LF line ends: two readers, two requests (9112 2.2)",
        (b"GET / HTTP/1.1\nHost: a.test\n\n",),
        (refused(),),
        strict=True,
    ),
    Case(
        "framing/control-character-in-value",
        "CTL in a field value is invalid (9110 5.5)",
        (get(b"X: a\x01b"),),
        (refused(),),
        strict=True,
    ),
    Case("framing/delete-character-in-value", "9110 5.5", (get(b"X: a\x7fb"),), (refused(),)),
    *(
        Case(
            f"framing/length-{name}",
            "malformed Content-Length (9110 8.6, 9112 6.3)",
            (request("POST / HTTP/1.1", f"Content-Length: {value}", body=b"hello" + SMUGGLED),),
            (refused(400, 413) if name in ("2-to-63", "2-to-64-plus-5", "hundred-digits") else refused(),),
        )
        for name, value in BAD_LENGTHS.items()
    ),
    *(
        Case(
            f"framing/te-{name}",
            "a transfer coding other than chunked (9112 6.1, 6.3)",
            (request("POST / HTTP/1.1", f"Transfer-Encoding: {value}", body=CHUNKED_HELLO + SMUGGLED),),
            (refused(400, 501),),
        )
        for name, value in BAD_CODINGS.items()
    ),
    *(
        Case(
            f"framing/{name}",
            "a malformed field line (9112 5, 9110 5.5)",
            (request("POST / HTTP/1.1", line, body=CHUNKED_HELLO + SMUGGLED),),
            (refused(400, 501),),
        )
        for name, line in BAD_LINES.items()
    ),
)

SAME_LENGTH: Final = (refused(), served(HELLO, Got("GET /smuggled HTTP/1.1")))
"""Equal values may be taken for one (9110 8.6), never passed on as two: the upstream's reader would complain."""

SERVED: Final = (
    Case("framing/length", "a body by length", (post(b"hello"),), (served(HELLO),)),
    *(
        Case(f"framing/length-{name}", why, (request("POST / HTTP/1.1", line, body=b"hello"),), (served(HELLO),))
        for name, line, why in (
            ("no-space", "Content-Length:5", "OWS is optional (9112 5)"),
            ("tabs", "Content-Length:\t5\t", "OWS may be tabs (9110 5.6.3)"),
            ("spaces", "Content-Length:   5   ", "OWS on both sides (9112 5.1)"),
            ("upper-case", "CONTENT-LENGTH: 5", "names are case-insensitive (9110 5.1)"),
        )
    ),
    Case(
        "framing/length-leading-zeros",
        "1*DIGIT (9110 8.6)",
        (request("POST / HTTP/1.1", "Content-Length: 0005", body=b"hello"),),
        (served(HELLO), refused()),
    ),
    Case(
        "framing/length-twice-equal",
        "9110 8.6",
        (request("POST / HTTP/1.1", "Content-Length: 5", "Content-Length: 5", body=b"hello" + SMUGGLED),),
        SAME_LENGTH,
    ),
    Case(
        "framing/length-list-equal",
        "9110 8.6",
        (request("POST / HTTP/1.1", "Content-Length: 5, 5", body=b"hello" + SMUGGLED),),
        SAME_LENGTH,
    ),
    Case("framing/length-0", "an empty body (9112 6.3)", (post(b""),), (served(Got(body=b"")),)),
    Case(
        "framing/post-without-body",
        "neither field: no body, what follows is the next request (9112 6.3)",
        (request("POST / HTTP/1.1") + SMUGGLED,),
        (served(Got("POST / HTTP/1.1", body=b""), Got("GET /smuggled HTTP/1.1")),),
    ),
    *(
        Case(
            f"framing/{method.lower()}-with-body",
            "a body has no method of its own (9110 9.3)",
            (request(f"{method} / HTTP/1.1", "Content-Length: 5", body=b"hello"),),
            (served(Got(f"{method} / HTTP/1.1", body=b"hello")),),
        )
        for method in ("GET", "DELETE", "OPTIONS", "PATCH", "PUT")
    ),
    Case(
        "framing/request-inside-body",
        "CL.0: the body of a GET is a body (9112 6.3)",
        (request("GET / HTTP/1.1", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED),),
        (served(Got("GET / HTTP/1.1", body=SMUGGLED)),),
    ),
    Case(
        "framing/body-of-all-bytes",
        "bodies are octets (9110 6.4)",
        (post(bytes(range(256)) + b"\r\n\r\n" + bytes(8)),),
        (served(Got(body=bytes(range(256)) + b"\r\n\r\n" + bytes(8))),),
    ),
    Case("framing/body-of-1-mib", "a large body", (post(MIB),), (served(Got(body=MIB)),)),
    Case("framing/dribbled", "any split into packets", (Dribble(post(b"hello"), 1),), (served(HELLO),)),
    Case(
        "framing/head-and-body-apart",
        "any split into packets",
        (Dribble(post(b"hello"), len(post(b"hello")) - 5),),
        (served(HELLO),),
    ),
    Case(
        "framing/too-large",
        "max_body_size: 413 before the body is read (9110 15.5.14)",
        (request("POST / HTTP/1.1", f"Content-Length: {3 << 20}"),),
        (refused(413),),
    ),
    Case(
        "framing/te-upper-case",
        "coding names are case-insensitive (9112 7)",
        (chunked(b"hello").replace(b"chunked", b"CHUNKED"),),
        (served(Got(body=b"hello")),),
    ),
    Case(
        "framing/te-odd-case-no-space",
        "9110 5.1",
        (chunked(b"hello").replace(b"Transfer-Encoding: ", b"tRANSFER-eNCODING:"),),
        (served(Got(body=b"hello")),),
    ),
    *(
        Case(
            f"framing/te-list-with-empty-{name}",
            "empty list elements may be ignored (9110 5.6.1.2), or distrusted",
            (chunked(b"hello").replace(b" chunked", value),),
            (served(Got(body=b"hello")), refused(400, 501)),
        )
        for name, value in (("before", b" , chunked"), ("behind", b" chunked,"))
    ),
    Case(
        "framing/te-underscore",
        "Transfer_Encoding is no framing field, and a CGI-like server would take it for one: dropped",
        (request("POST / HTTP/1.1", "Content-Length: 5", "Transfer_Encoding: chunked", body=b"hello"),),
        (served(Got(body=b"hello", lacks=("transfer_encoding",))),),
    ),
    Case(
        "framing/cl-underscore",
        "Content_Length likewise",
        (request("GET / HTTP/1.1", "Content_Length: 100") + SMUGGLED,),
        (served(Got(body=b"", lacks=("content_length",)), Got("GET /smuggled HTTP/1.1")),),
    ),
    Case(
        "framing/te-with-prefix-name",
        "X-Transfer-Encoding is an ordinary field",
        (post(b"hello", "X-Transfer-Encoding: chunked"),),
        (served(Got(body=b"hello", has={"x-transfer-encoding": "chunked"})),),
    ),
    Case(
        "framing/connection-nominates-length",
        "a client must not talk the proxy out of Content-Length (9110 7.6.1)",
        (post(SMUGGLED, "Connection: Content-Length"),),
        (served(Got("POST / HTTP/1.1", body=SMUGGLED)), refused()),
    ),
    Case(
        "framing/connection-nominates-te",
        "nor out of Transfer-Encoding",
        (chunked(SMUGGLED).replace(b"\r\n\r\n", b"\r\nConnection: Transfer-Encoding\r\n\r\n", 1),),
        (served(Got("POST / HTTP/1.1", body=SMUGGLED)), refused()),
    ),
    Case(
        "framing/truncated-by-half-close",
        "a body that ends early is no request (9112 8)",
        (request("POST / HTTP/1.1", "Content-Length: 50", body=b"hello"), Do.HALF_CLOSE),
        (Outcome((), "cut", kept=False), Outcome((Answer((400, 408)),), "cut", kept=False)),
    ),
)

CASES: Final = REFUSED + SERVED
