"""Cases: which fields pass and which do not, both ways. Connection and what it nominates, forwarding fields, order.

RFC 9110 5.3, 7.6.1, 7.8, 10.1.4.
"""

from __future__ import annotations

from typing import Final

from tests.conformance.cases import Answer, Case, Got, Outcome, after, answer, get, post, refused, request, served

REMOVED: Final = {
    "connection-nominates": (("Connection: X-Foo", "X-Foo: 1"), ("x-foo",)),
    "connection-list": (("Connection: X-Foo ,  X-Bar", "X-Foo: 1", "X-Bar: 2"), ("x-foo", "x-bar")),
    "connection-list-with-empty": (("Connection: , X-Foo,,", "X-Foo: 1"), ("x-foo",)),
    "connection-several-lines": (
        ("Connection: X-Foo", "X-Foo: 1", "Connection: X-Bar", "X-Bar: 2"),
        ("x-foo", "x-bar"),
    ),
    "connection-case": (("connection: x-FOO", "X-Foo: 1"), ("x-foo",)),
    "connection-nominates-twice-present": (("X-Foo: 1", "Connection: X-Foo", "X-Foo: 2"), ("x-foo",)),
    "connection-tabs": (("Connection:\tX-Foo\t", "X-Foo: 1"), ("x-foo",)),
    "connection-nominates-authorization": (
        ("Connection: Authorization", "Authorization: Basic eA=="),
        ("authorization",),
    ),
    "keep-alive": (("Keep-Alive: timeout=5",), ("keep-alive",)),
    "proxy-connection": (("Proxy-Connection: keep-alive",), ("proxy-connection",)),
    "te-gzip": (("TE: gzip", "Connection: TE"), ()),
    "proxy-authorization": (("Proxy-Authorization: Basic eA==",), ("proxy-authorization",)),
    "upgrade-h2c": (
        ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
        ("upgrade", "http2-settings"),
    ),
    "upgrade-websocket-no-route": (
        (
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: " + "A" * 22 + "==",
        ),
        ("upgrade",),
    ),
    "upgrade-not-nominated": (("Upgrade: h2c",), ("upgrade",)),
    "underscore-name": (("X_Forwarded_For: 1", "Remote_User: root"), ("x_forwarded_for", "remote_user")),
}
KEPT: Final = {
    "empty-value": ({"x-empty": ""}, ("X-Empty:",)),
    "8-bit-value": ({"x-name": "caf\xe9 \xff"}, ("X-Name: caf\xe9 \xff",)),
    "tab-in-value": ({"x-tab": "a\tb"}, ("X-Tab: a\tb",)),
    "white-space-around": ({"x-space": "a b"}, ("X-Space: \t a b \t ",)),
    "colons-in-value": ({"x-colons": "a:b::c"}, ("X-Colons: a:b::c",)),
    "quoted-commas": ({"x-list": '"a,b" , c'}, ('X-List: "a,b" , c',)),
    "repeated": ({"x-two": "1, 2"}, ("X-Two: 1", "X-Other: 3", "X-Two: 2")),
    "cookies": ({"cookie": "a=b; c=d"}, ("Cookie: a=b; c=d",)),
    "odd-name": ({"x!#$%&'*+.^`|~9": "y"}, ("X!#$%&'*+.^`|~9: y",)),
    "accept-encoding": ({"accept-encoding": "gzip;q=0, br"}, ("Accept-Encoding: gzip;q=0, br",)),
    "conditional": ({"if-none-match": 'W/"x"', "range": "bytes=0-4"}, ('If-None-Match: W/"x"', "Range: bytes=0-4")),
    "traceparent": (
        {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
        ("traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",),
    ),
    "authorization": ({"authorization": "Bearer x.y.z"}, ("Authorization: Bearer x.y.z",)),
}
NOT_ANSWERED: Final = {
    "nominated": (("Connection: X-Foo", "X-Foo: 1"), ("x-foo",)),
    "nominated-several-lines": (("Connection: X-Foo", "Connection: X-Bar", "X-Foo: 1", "X-Bar: 1"), ("x-foo", "x-bar")),
    "keep-alive": (("Connection: keep-alive", "Keep-Alive: timeout=5, max=10"), ("keep-alive",)),
    "proxy-connection": (("Proxy-Connection: close",), ("proxy-connection",)),
    "upgrade": (("Upgrade: h2c", "Connection: Upgrade"), ("upgrade",)),
    "proxy-authenticate": (("Proxy-Authenticate: Basic",), ("proxy-authenticate",)),
}
ANSWERED: Final = {
    "set-cookie-apart": (
        {"set-cookie": "a=1; Expires=Wed, 01 Jan 2031 00:00:00 GMT, b=2"},
        ("Set-Cookie: a=1; Expires=Wed, 01 Jan 2031 00:00:00 GMT", "Set-Cookie: b=2"),
    ),
    "date-server": ({"date": "Mon, 01 Jan 2024 00:00:00 GMT"}, ("Date: Mon, 01 Jan 2024 00:00:00 GMT",)),
    "location": ({"location": "http://b.test:9000/x"}, ("Location: http://b.test:9000/x",)),
    "empty-value": ({"x-empty": ""}, ("X-Empty:",)),
    "8-bit-value": ({"x-name": "caf\xe9"}, ("X-Name: caf\xe9",)),
    "content-encoding": (
        {"content-encoding": "gzip", "etag": 'W/"x"', "vary": "Accept"},
        ("Content-Encoding: gzip", 'ETag: W/"x"', "Vary: Accept"),
    ),
    "long-value": ({"x-long": "y" * 6000}, ("X-Long: " + "y" * 6000,)),
    "www-authenticate": ({"www-authenticate": "Basic, NTLM"}, ("WWW-Authenticate: Basic", "WWW-Authenticate: NTLM")),
}

CASES: Final = (
    *(
        Case(
            f"hop-by-hop/request-{name}",
            "not passed on (9110 7.6.1)",
            (get(*fields),),
            (served(Got(lacks=lacks), kept=None),),
        )
        for name, (fields, lacks) in REMOVED.items()
    ),
    *(
        Case(
            f"hop-by-hop/request-keeps-{name}",
            "passed on as it is (9110 5.3, 5.5)",
            (get(*fields),),
            (served(Got(has=has)),),
        )
        for name, (has, fields) in KEPT.items()
    ),
    *(
        Case(
            f"hop-by-hop/answer-{name}",
            "not passed on (9110 7.6.1)",
            (get(),),
            (served(Got(), lacks=lacks),),
            (after(answer(*fields)),),
        )
        for name, (fields, lacks) in NOT_ANSWERED.items()
    ),
    *(
        Case(
            f"hop-by-hop/answer-keeps-{name}",
            "passed on as it is (9110 5.3, 5.5)",
            (get(),),
            (served(Got(), has=has, body=b"ok"),),
            (after(answer(*fields)),),
        )
        for name, (has, fields) in ANSWERED.items()
    ),
    Case(
        "hop-by-hop/connection-nominates-host",
        "the request still needs its Host (the upstream's reader asks for it)",
        (get("Connection: Host"),),
        (served(Got(has={"host": "a.test"})), refused(400)),
    ),
    *(
        Case(
            f"hop-by-hop/connection-nominates-{name.lower()}",
            "a client must not strip what the proxy itself adds",
            (get(f"Connection: {name}"),),
            (served(Got(has={name: value})),),
        )
        for name, value in (("X-Forwarded-For", "127.0.0.1"), ("X-Forwarded-Proto", "http"))
    ),
    *(
        Case(
            f"hop-by-hop/forged-{name.lower()}",
            "from a peer that is not trusted it is overwritten",
            (get(f"{name}: {forged}"),),
            (served(Got(has={name: value})),),
        )
        for name, forged, value in (
            ("X-Forwarded-For", "1.2.3.4", "127.0.0.1"),
            ("X-Forwarded-Proto", "https", "http"),
            ("X-Forwarded-Host", "evil.test", "a.test"),
        )
    ),
    Case(
        "hop-by-hop/forged-x-forwarded-for-twice",
        "however often it is there",
        (get("X-Forwarded-For: 1.2.3.4", "x-forwarded-for: 5.6.7.8"),),
        (served(Got(has={"x-forwarded-for": "127.0.0.1"})),),
    ),
    Case(
        "hop-by-hop/close-and-keep-alive",
        "close wins (9112 9.3)",
        (get("Connection: keep-alive, close"),),
        (served(Got(), kept=False),),
    ),
    Case(
        "hop-by-hop/close-is-answered",
        "a server that closes says so (9112 9.6)",
        (get("Connection: close"),),
        (served(Got(), has={"connection": "close"}, kept=False),),
    ),
    Case(
        "hop-by-hop/close-in-odd-case",
        "options are case-insensitive (9110 7.6.1)",
        (get("Connection: ClOsE"),),
        (served(Got(), kept=False),),
    ),
    Case(
        "hop-by-hop/connection-garbage",
        "no token: refused or ignored",
        (get('Connection: "x y", (z)'),),
        (served(Got(), kept=None), refused(400)),
    ),
    Case(
        "hop-by-hop/te-trailers",
        "a proxy speaks for itself: dropped, or sent with Connection: TE (9110 10.1.4)",
        (get("TE: trailers", "Connection: TE"),),
        (served(Got(lacks=("te",))), served(Got(has={"te": "trailers", "connection": "TE"}))),
    ),
    Case(
        "hop-by-hop/206",
        "partial content passes (9110 15.3.7)",
        (get("Range: bytes=0-1"),),
        (Outcome((Answer((206,), has={"content-range": "bytes 0-1/9"}, body=b"ok"),), (Got(),), kept=True),),
        (after(answer("Content-Range: bytes 0-1/9", status="206 Partial Content")),),
    ),
    Case(
        "hop-by-hop/response-names-length",
        "an upstream must not talk the proxy out of Content-Length",
        (get(),),
        (served(Got(), body=b"ok"), Outcome((Answer((502,)),), kept=None)),
        (after(answer("Connection: Content-Length")),),
    ),
    Case(
        "hop-by-hop/upgrade-with-body",
        "without a WebSocket route an ordinary POST (9110 7.8)",
        (post(b"hello", "Connection: Upgrade", "Upgrade: websocket"),),
        (served(Got("POST / HTTP/1.1", body=b"hello", lacks=("upgrade",)), kept=None),),
    ),
    Case(
        "hop-by-hop/upgrade-1.0",
        "Upgrade on HTTP/1.0 is ignored (9110 7.8)",
        (request("GET / HTTP/1.0", "Connection: Upgrade", "Upgrade: websocket"),),
        (served(Got(lacks=("upgrade",)), kept=False),),
    ),
)
