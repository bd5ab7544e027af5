"""A server's own URLs in an answer, as its client has to spell them: redirects, and where cookies are valid.

Pure. The server may stand below a path of its own (`http://host/base`) and the client may use a prefix that is taken
off on the way; `path` maps one to the other. What leads elsewhere is left as it is.
"""

from __future__ import annotations

import re
from typing import Final

from wsproxy.http.messages import ResponseHead
from wsproxy.http.variables import host_of

_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}

# RFC 3986 appendix B, over one value: scheme, authority, path, the rest.
_reference: Final = re.compile(rb"(?:([A-Za-z][A-Za-z0-9+.\-]*):)?(?://([^/?#]*))?([^?#]*)(.*)").fullmatch
_refresh: Final = re.compile(rb"(?is)(\s*[0-9.]+\s*[;,]\s*(?:url\s*=\s*)?)([\"']?)(.*?)(\2\s*)").fullmatch
_cookie_attribute: Final = re.compile(rb"(?i);[ \t]*(domain|path)[ \t]*=[ \t]*([^;]*)")
_may_hold_urls: Final = re.compile(rb"\n(?i:location|content-location|refresh|set-cookie): ").search
_redirect_line: Final = re.compile(rb"(?im)^(location|content-location|refresh): ([^\r]*)\r\n")
_cookie_line: Final = re.compile(rb"(?im)^(set-cookie): ([^\r]*)\r\n")


class OwnUrls:
    """The URLs of one server.

    scheme, authority: how it is reached, the authority b"" for a unix socket. base: the path before all that it is
    asked for; prefix: what clients have there instead; neither ends in a slash. asked: the Host that it was sent.
    """

    def __init__(self, scheme: bytes, authority: bytes, base: bytes, prefix: bytes, asked: bytes) -> None:
        self._scheme = scheme
        self._authority = _plain(scheme, authority)
        self._host = host_of(self._authority)
        self._base = base
        self._prefix = prefix
        self._asked = asked.lower()

    def path(self, path: bytes) -> bytes | None:
        """What a client asks for to get a path of the server; None for one that it cannot get."""
        base = self._base
        if path != base and not path.startswith(base + b"/"):
            return None
        mapped = self._prefix + path[len(base) :] or b"/"
        return b"/" + mapped.lstrip(b"/") if mapped.startswith(b"//") else mapped  # `//host` would lead elsewhere

    def reference(self, written: bytes) -> bytes:
        """A URL or a part of one, as the client has to read it."""
        match = _reference(written)
        if match is None:
            return written
        scheme, authority, path, rest = match.groups(b"")
        if match[2] is None:
            mapped = self.path(path) if path.startswith(b"/") and match[1] is None else None
            return written if mapped is None else mapped + rest
        scheme = scheme.lower()
        mapped = self.path(path or b"/")
        if mapped is None:
            return written
        if self._authority and scheme in (b"", self._scheme) and _plain(self._scheme, authority) == self._authority:
            return mapped + rest
        if self._asked and scheme in (b"", b"http", b"https") and authority.lower() == self._asked:
            return written[: match.start(3)] + mapped + rest
        return written

    def refresh(self, written: bytes) -> bytes:
        """The value of a Refresh."""
        match = _refresh(written)
        if match is None:
            return written
        return match[1] + match[2] + self.reference(match[3]) + match[4]

    def cookie(self, written: bytes) -> bytes:
        """The value of a Set-Cookie. One for the server's host becomes one for the host that the client uses."""
        if written[:7].lower() == b"__host-":  # whose Path is `/`, or no browser takes it
            return written
        return _cookie_attribute.sub(self._attribute, written)

    def _attribute(self, match: re.Match[bytes]) -> bytes:
        value = match[2].strip()
        if match[1].lower() == b"domain":
            host = value.lstrip(b".").lower()
            is_own = bool(host) and (host == self._host or self._host.endswith(b"." + host))
            return b"" if is_own else match[0]
        mapped = self._cookie_path(value)
        return match[0] if mapped is None else match[0][: match.start(2) - match.start()] + mapped

    def _cookie_path(self, path: bytes) -> bytes | None:
        folder = path.rstrip(b"/")
        if path.startswith(b"/") and (self._base == folder or self._base.startswith(folder + b"/")):
            return self._prefix or b"/"  # all that can be asked for stands below it
        return self.path(path)


def with_own_redirects(head: ResponseHead, urls: OwnUrls) -> bytes:
    """The fields of an answer with Location, Content-Location and Refresh as the client has to read them."""

    def line(match: re.Match[bytes]) -> bytes:
        is_refresh = match[1].lower() == b"refresh"
        return b"%b: %b\r\n" % (match[1], urls.refresh(match[2]) if is_refresh else urls.reference(match[2]))

    return _redirect_line.sub(line, head.fields)


def with_own_cookies(head: ResponseHead, urls: OwnUrls) -> bytes:
    """The fields of an answer with cookies that the client sends back."""
    return _cookie_line.sub(lambda match: b"%b: %b\r\n" % (match[1], urls.cookie(match[2])), head.fields)


def may_hold_urls(head: ResponseHead) -> bool:
    """Whether there is anything to rewrite at all."""
    return _may_hold_urls(b"\n" + head.fields) is not None


def _plain(scheme: bytes, authority: bytes) -> bytes:
    """One spelling of an authority: lower case, without the scheme's own port."""
    return authority.lower().removesuffix(_DEFAULT_PORTS.get(scheme, b"\n"))
