"""Cases: the request line, the four forms of target, Host, Max-Forwards, and the limits of a head.

RFC 9112 2.2, 3.1 to 3.3, RFC 9110 4.2, 7.2, 7.6.2.
"""

from __future__ import annotations

from typing import Final

from tests.conformance.cases import (
    SMUGGLED,
    Answer,
    Case,
    Dribble,
    Got,
    Outcome,
    get,
    post,
    refused,
    request,
    served,
)

UNTOUCHED: Final = {
    "query": "/x?a=b&c=d",
    "percent-encodings": "/a%2Fb%20c?q=%41%7e",
    "double-slashes": "//a//b",
    "dot-segments-inside": "/a/../b/./c",
    "question-marks": "/?a=b?c=/d",
    "sub-delimiters": "/a;b=c,d/!$&'()*+=:@",
    "empty-query": "/x?",
    "4-kib": "/" + "x" * 4096,
    "authority-like": "/http://b.test/",
}
BAD_LINES: Final = {
    "target-without-slash": b"GET foo HTTP/1.1",
    "target-query-only": b"GET ?x=1 HTTP/1.1",
    "target-asterisk-for-get": b"GET * HTTP/1.1",
    "target-fragment": b"GET /#frag HTTP/1.1",
    "target-space": b"GET /a b HTTP/1.1",
    "target-tab": b"GET /a\tb HTTP/1.1",
    "target-nul": b"GET /a\x00b HTTP/1.1",
    "target-control": b"GET /a\x01b HTTP/1.1",
    "target-delete": b"GET /a\x7fb HTTP/1.1",
    "target-bare-cr": b"GET /a\rb HTTP/1.1",
    "target-missing": b"GET HTTP/1.1",
    "target-empty": b"GET  HTTP/1.1",
    "target-escapes-root": b"GET /../x HTTP/1.1",
    "target-escapes-root-encoded": b"GET /a/%2e%2e/%2E./x HTTP/1.1",
    "tab-between": b"GET\t/ HTTP/1.1",
    "leading-space": b" GET / HTTP/1.1",
    "leading-tab": b"\tGET / HTTP/1.1",
    "trailing-word": b"GET / HTTP/1.1 x",
    "method-with-bracket": b"G(T / HTTP/1.1",
    "method-8-bit": b"G\xc9T / HTTP/1.1",
    "method-colon": b"GET: / HTTP/1.1",
    "no-version": b"GET /",
}
BAD_VERSIONS: Final = {
    "2.0": "HTTP/2.0",
    "0.9": "HTTP/0.9",
    "lower-case": "http/1.1",
    "1.10": "HTTP/1.10",
    "01.1": "HTTP/01.1",
    "comma": "HTTP/1,1",
    "letters-behind": "HTTP/1.1x",
    "no-minor": "HTTP/1",
    "other-protocol": "HTTQ/1.1",
    "space-inside": "HTTP/ 1.1",
}
BAD_HOSTS: Final = {
    "list": "a.test, b.test",
    "path": "a.test/evil",
    "letters-in-port": "a.test:80a",
    "userinfo": "user@a.test",
    "open-bracket": "[::1",
    "space": "a b.test",
    "query": "a.test?x",
    "fragment": "a.test#x",
    "backslash": "a.test\\evil",
    "control": "a.te\x01st",
    "8-bit": "a.t\xe9st",
    "angle": "<a.test>",
    "scheme": "http://a.test",
    "two-ports": "a.test:80:81",
    "port-70000": "a.test:70000",
    "port-alone": ":80",
    "port-minus": "a.test:-1",
}
GOOD_HOSTS: Final = {
    "port": "a.test:8080",
    "empty-port": "a.test:",
    "ipv4": "192.0.2.1:80",
    "ipv6": "[::1]:8080",
    "underscore": "a_b.test",
    "upper-case": "A.TEST",
    "trailing-dot": "a.test.",
}
ABSOLUTE: Final = {
    "path": ("http://b.test/x?y", "/x?y", "b.test"),
    "port": ("http://b.test:81/x", "/x", "b.test:81"),
    "no-path": ("http://b.test", "/", "b.test"),
    "query-only": ("http://b.test?x=1", "/?x=1", "b.test"),
    "upper-case-scheme": ("HTTP://b.test/x", "/x", "b.test"),
    "same-host": ("http://a.test/x", "/x", "a.test"),
    "ipv6": ("http://[::1]:81/x", "/x", "[::1]:81"),
}
NAMED: Final = "/x HTTP/1.1"


def _line(line: bytes) -> bytes:
    return line + b"\r\nHost: a.test\r\n\r\n" + SMUGGLED


CASES: Final = (
    *(
        Case(
            f"targets/{name}",
            "the target is passed on as it is",
            (get(target=target),),
            (served(Got(f"GET {target} HTTP/1.1")),),
        )
        for name, target in UNTOUCHED.items()
    ),
    *(
        Case(f"targets/{name}", "malformed request line: 400 (9112 3)", (_line(line),), (refused(400),))
        for name, line in BAD_LINES.items()
    ),
    Case(
        "targets/several-spaces",
        "single spaces in a request line (9112 3)",
        (_line(b"GET  /  HTTP/1.1"),),
        (refused(400),),
        strict=True,
    ),
    *(
        Case(
            f"targets/version-{name}",
            "no version this proxy speaks: 505, or 400 (9110 15.6.6)",
            (_line(b"GET / " + version.encode()),),
            (refused(400, 505),),
        )
        for name, version in BAD_VERSIONS.items()
    ),
    Case(
        "targets/version-1.2",
        "a later minor version is read as 1.1 (9110 2.5), or refused",
        (get().replace(b"1.1", b"1.2"),),
        (served(Got("GET / HTTP/1.1")), refused(400, 505)),
    ),
    *(
        Case(
            f"targets/{name}",
            "no URI characters: refused, or passed untouched to the server that has to judge (9112 3.2)",
            (b"GET " + target + b" HTTP/1.1\r\nHost: a.test\r\n\r\n",),
            (served(Got(f"GET {target.decode('latin-1')} HTTP/1.1")), refused(400)),
        )
        for name, target in (
            ("8-bit", b"/caf\xc3\xa9"),
            ("bad-percent", b"/%zz"),
            ("brackets", b'/<a>"{b}|^`'),
            ("backslash", b"/a\\..\\b"),
        )
    ),
    Case("targets/over-long", "414 (9112 3)", (get(target="/" + "x" * 9000),), (refused(414),)),
    *(
        Case(
            f"targets/absolute-{name}",
            "its authority replaces Host, origin-form goes on (9112 3.2.2)",
            (get(target=target),),
            (served(Got(f"GET {origin} HTTP/1.1", has={"host": host})),),
        )
        for name, (target, origin, host) in ABSOLUTE.items()
    ),
    Case(
        "targets/absolute-userinfo",
        "a trap for readers: refuse, or strip (9110 4.2.4)",
        (get(target="http://a.test:80@b.test/"),),
        (refused(400), served(Got("GET / HTTP/1.1", has={"host": "b.test"}))),
    ),
    Case(
        "targets/absolute-without-host",
        "HTTP/1.1 without Host: 400, whatever the target (9112 3.2)",
        (request("GET http://b.test/ HTTP/1.1", host=None),),
        (refused(400),),
    ),
    Case("targets/absolute-empty-authority", "9110 4.2.1: invalid", (get(target="http:///x"),), (refused(400),)),
    Case(
        "targets/absolute-ftp",
        "no gateway to other schemes",
        (get(target="ftp://b.test/x"),),
        (refused(400, 404, 421, 501), served(Got(f"GET {NAMED}", has={"host": "b.test"}))),
    ),
    Case(
        "targets/absolute-https-on-plain-port",
        "refused (421, 7.4 of 9110), or served by its authority",
        (get(target="https://b.test/x"),),
        (refused(400, 421), served(Got(f"GET {NAMED}", has={"host": "b.test"}), kept=None)),
    ),
    Case(
        "targets/options-asterisk", "9112 3.2.4", (request("OPTIONS * HTTP/1.1"),), (served(Got("OPTIONS * HTTP/1.1")),)
    ),
    Case(
        "targets/options-absolute-no-path",
        "the last proxy sends `*` (9112 3.2.4)",
        (request("OPTIONS http://b.test HTTP/1.1"),),
        (served(Got("OPTIONS * HTTP/1.1", has={"host": "b.test"})),),
    ),
    Case("targets/connect", "no tunnels: 501", (request("CONNECT b.test:443 HTTP/1.1") + SMUGGLED,), (refused(501),)),
    *(
        Case(
            f"targets/method-{method.lower()}-{'lower' if method.islower() else 'upper'}",
            "methods are case-sensitive tokens, unknown ones are the server's to judge (9110 9.1)",
            (request(f"{method} /x HTTP/1.1"),),
            (served(Got(f"{method} {NAMED}")), *other),
        )
        for method, other in (("PROPFIND", ()), ("M-SEARCH", ()), ("get", (refused(400, 405, 501),)), ("QUERY", ()))
    ),
    Case("targets/http2-preface", "9113 3.4", (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",), (refused(400, 405, 501, 505),)),
    Case(
        "targets/tls-hello",
        "no HTTP at all",
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) + b"\r\n\r\n",),
        (refused(400), Outcome((), upstream=(), kept=False)),
    ),
    Case(
        "targets/empty-lines-before",
        "9112 2.2: SHOULD ignore one",
        (b"\r\n" + get(),),
        (served(Got("GET / HTTP/1.1")),),
    ),
    Case(
        "targets/1000-empty-lines-before",
        "bounded patience",
        (b"\r\n" * 1000 + get(),),
        (refused(400), served(Got("GET / HTTP/1.1")), Outcome((), upstream=(), kept=False)),
    ),
    # Host
    Case("targets/host-missing", "400 (9112 3.2)", (request("GET / HTTP/1.1", host=None),), (refused(400),)),
    Case("targets/host-twice", "400 (9112 3.2)", (get("Host: b.test"),), (refused(400),)),
    Case("targets/host-twice-equal", "400 (9112 3.2)", (get("host: a.test"),), (refused(400),)),
    Case(
        "targets/host-space-before-colon",
        "9112 5.1",
        (request("GET / HTTP/1.1", "Host : a.test", host=None),),
        (refused(400),),
    ),
    Case(
        "targets/host-folded", "9112 5.2", (request("GET / HTTP/1.1", b"Host:\r\n a.test", host=None),), (refused(400),)
    ),
    Case("targets/host-second-folded", "9112 5.2", (get(b"X: y\r\n Host: b.test"),), (refused(400),)),
    Case(
        "targets/host-empty",
        "legal where the authority is empty, which no http URI has (9110 4.2.1, 7.2)",
        (request("GET / HTTP/1.1", host=""),),
        (refused(400), served(Got("GET / HTTP/1.1"), kept=None)),
    ),
    *(
        Case(
            f"targets/host-bad-{name}",
            "Host = uri-host [ : port ] (9112 3.2)",
            (request("GET / HTTP/1.1", host=host),),
            (refused(400),),
        )
        for name, host in BAD_HOSTS.items()
    ),
    *(
        Case(
            f"targets/host-{name}",
            "a legal Host (9110 7.2)",
            (request("GET / HTTP/1.1", host=host),),
            (served(Got(has={"host": host})),),
        )
        for name, host in GOOD_HOSTS.items()
    ),
    Case(
        "targets/host-white-space-around",
        "9112 5.1",
        (request("GET / HTTP/1.1", "Host:\t a.test \t", host=None),),
        (served(Got(has={"host": "a.test"})),),
    ),
    Case(
        "targets/host-last",
        "any order",
        (request("GET / HTTP/1.1", "X: y", "Host: a.test", host=None),),
        (served(Got(has={"host": "a.test"})),),
    ),
    Case(
        "targets/1.0-without-host",
        "served; the upstream's reader asks for one Host (9112 3.2)",
        (request("GET /x HTTP/1.0", host=None),),
        (served(Got(), kept=False),),
    ),
    Case(
        "targets/1.0-with-host",
        "9112 3.2",
        (request("GET /x HTTP/1.0"),),
        (served(Got(has={"host": "a.test"}), kept=False),),
    ),
    # Max-Forwards
    Case(
        "targets/max-forwards-options-0",
        "the proxy is the final recipient (9110 7.6.2)",
        (request("OPTIONS / HTTP/1.1", "Max-Forwards: 0"),),
        (Outcome((Answer((200, 204)),), upstream=(), kept=True),),
    ),
    Case(
        "targets/max-forwards-trace-0",
        "likewise; a TRACE may be refused, but not forwarded",
        (request("TRACE / HTTP/1.1", "Max-Forwards: 0"),),
        (Outcome((Answer((200, 405, 501)),), upstream=()),),
    ),
    Case(
        "targets/max-forwards-options-5",
        "decremented (9110 7.6.2)",
        (request("OPTIONS / HTTP/1.1", "Max-Forwards: 5"),),
        (served(Got(has={"max-forwards": "4"})),),
    ),
    # limits
    Case(
        "targets/90-fields", "within 100", (get(*(f"X-{i}: y" for i in range(90))),), (served(Got(has={"x-89": "y"})),)
    ),
    Case("targets/200-fields", "431 (6585 5)", (get(*(f"X-{i}: y" for i in range(200))),), (refused(431, 400),)),
    Case("targets/8-kib-field", "long, legal", (get("X: " + "y" * 7900),), (served(Got(has={"x": "y" * 7900})),)),
    Case("targets/64-kib-field", "431 (6585 5)", (get("X: " + "y" * 65536),), (refused(431, 400),)),
    Case("targets/endless-name", "431", (b"GET / HTTP/1.1\r\nHost: a.test\r\n" + b"X" * 70000,), (refused(431, 400),)),
    Case("targets/endless-method", "no request", (b"G" * 70000,), (refused(400, 414, 431, 501),)),
    Case("targets/dribbled", "any split into packets", (Dribble(get(target="/x")),), (served(Got(f"GET {NAMED}")),)),
    Case(
        "targets/slow-head",
        "a head has 2 s in all here: 408 (9110 15.5.9)",
        (b"GET / HTTP/1.1\r\nHos",),
        (refused(408), Outcome((), upstream=(), kept=False)),
    ),
    Case(
        "targets/nothing",
        "a client that says nothing gets nothing, or 408",
        (),
        (Outcome((), upstream=(), kept=None), refused(408)),
    ),
    Case(
        "targets/post-to-host-with-port",
        "whole authority goes on",
        (post(b"x").replace(b"a.test", b"a.test:81"),),
        (served(Got(has={"host": "a.test:81"})),),
    ),
)
