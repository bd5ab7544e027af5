"""The fuzz targets by name, and the bytes that mutations of each like to put in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz.http_targets import fuzz_chunked, fuzz_request, fuzz_response
from tests.fuzz.text_targets import fuzz_accept, fuzz_forwarded, fuzz_ini, fuzz_proxy_header
from tests.fuzz.websocket_targets import fuzz_closing, fuzz_frames, fuzz_relay

CORPUS: Final = Path(__file__).parent / "corpus"

_HTTP: Final = (
    b"\r\n", b"\r", b"\n", b": ", b":", b" ", b"\t", b",", b";", b"\x00", b"\x7f", b"\xff", b"_", b"\r\n\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 05\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: a\r\n",
    b"Connection: close, x\r\n", b"Upgrade: websocket\r\n", b"Expect: 100-continue\r\n", b"Trailer: a\r\n",
    b"Max-Forwards: 0\r\n", b"HTTP/1.0", b"HTTP/1.1", b"http://b/", b"*", b"#", b"%2e", b"/../", b"chunked",
    b"X-A: b\r\n",
)  # fmt: skip
_CHUNKED: Final = (
    b"0\r\n\r\n", b"5\r\nhello\r\n", b"\r\n", b"\r", b"\n", b";", b"=", b'"', b"\\", b"0", b"f", b"F", b"+",
    b"-", b"0x", b"_", b" ", b"A: b\r\n", b"ffffffffffffffff", b"7fffffffffffffff",
)  # fmt: skip
_FRAMES: Final = (
    b"\x81\x00", b"\x82\x7e\x00\x01x", b"\x01\x01a", b"\x80\x01b", b"\x89\x00", b"\x8a\x00",
    b"\x8a\x05\x07mark", b"\x88\x00", b"\x88\x02\x03\xe8", b"\x88\x82\0\0\0\0\x03\xe8", b"\x81\x81\0\0\0\0a",
    b"\x7f\x80\0\0\0\0\0\0\0", b"\x81\xfe\0\0",
)  # fmt: skip
_INI: Final = (
    b"[frontend]\n", b"[http]\n", b"[http:a]\n", b"[websocket]\n", b"[group:a]\n", b"[log]\n", b"port = 80\n",
    b"\n ", b"\n", b"server1 = a:1\n", b"server1_addr=", b"command = x <sock>\n", b"group = a\n", b" = ", b"=",
    b'"', b"${HOME}", b"${", b"${A:-b}", b"#", b" #", b";", b"\\", b"\xef\xbb\xbf", b"\r\n", b"\xff", b"\x00",
    b"1h", b"64k", b"5/s", b"unix:/x", b"https://", b"error_page = 404 = a.html\n", b"path_prefix = /x\n",
    b"host = *.b\n", b"max_workers = 0\n",
)  # fmt: skip
_FORWARDED: Final = (
    b"\n", b", ", b",", b"for=", b"For=", b'"', b"[", b"]", b":", b";", b"10.0.0.2", b"::1", b"[::1]:80",
    b"unknown", b"_x", b"https", b"::ffff:10.0.0.1", b"fe80::1%eth0", b"proto=http", b"host=a", b"1.2.3.4:5",
)  # fmt: skip
_PROXY: Final = (
    b"PROXY ", b"TCP4 ", b"TCP6 ", b"UNKNOWN", b"\r\n", b"1.2.3.4 ", b"::1 ", b"65535", b" ", b"0",
    b"\r\n\r\n\0\r\nQUIT\n", b"\x21\x11\0\x0c", b"\x21\x21\0\x24", b"\x20\0\0\0", b"\xff\xff", b"\n",
)  # fmt: skip
_ACCEPT: Final = (
    b"text/html", b"text/plain", b"application/json", b"*/*", b"text/*", b";q=", b"0.5", b"1.0", b"0", b",",
    b";", b"=", b" ",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """check: raises where an invariant does not hold. tokens: what its inputs are made of."""

    name: str
    check: Callable[[bytes], None]
    tokens: tuple[bytes, ...]

    def corpus(self) -> list[bytes]:
        """The inputs in the tree: shapes worth starting from, and whatever once broke something."""
        return [path.read_bytes() for path in sorted((CORPUS / self.name).iterdir())]


TARGETS: Final = {
    target.name: target
    for target in (
        Target("request", fuzz_request, _HTTP),
        Target("response", fuzz_response, _HTTP),
        Target("chunked", fuzz_chunked, _CHUNKED),
        Target("frames", fuzz_frames, _FRAMES),
        Target("relay", fuzz_relay, _FRAMES),
        Target("closing", fuzz_closing, _FRAMES),
        Target("ini", fuzz_ini, _INI),
        Target("forwarded", fuzz_forwarded, _FORWARDED),
        Target("proxy_header", fuzz_proxy_header, _PROXY),
        Target("accept", fuzz_accept, _ACCEPT),
    )
}
