"""What is wrong with the files that a configuration names, by the lines that a user sees."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import trustme

from tests.certificates import Authority
from wsproxy.check import check_files
from wsproxy.cli import main
from wsproxy.config.build import load


def findings(directory: Path, text: str) -> list[str]:
    return [str(finding) for finding in check_files(load(text, "a.ini", {}, str(directory)))]


def tls(certificate: str, key: str) -> str:
    return f"[frontend]\nport = 0\ntls_certificate = {certificate}\ntls_key = {key}\n[http]\nserver1 = a:1\n"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    authority = Authority(tmp_path)
    authority.issue("a.example")
    authority.issue("b.example")
    authority.issue("old.example", not_after=datetime(2020, 1, 2, tzinfo=UTC))
    assert authority.certificate.exists()
    (tmp_path / "text").write_text("hello")
    return tmp_path


def test_good_files(directory: Path) -> None:
    assert findings(directory, tls("1.pem\n  2.pem", "1.key\n  2.key")) == []


@pytest.mark.parametrize(
    ("certificate", "key", "expected"),
    [
        ("0.pem", "1.key", "3:19: {0}/0.pem cannot be read: no such file or directory"),
        ("1.pem", "0.key", "4:11: {0}/0.key cannot be read: no such file or directory"),
        (".", "1.key", "3:19: {0} cannot be read: is a directory"),
        ("text", "1.key", "3:19: {0}/text holds no PEM certificate"),
        ("1.pem", "text", "4:11: {0}/text holds no PEM private key"),
        ("1.pem", "1.pem", "4:11: {0}/1.pem holds no PEM private key"),
        ("1.pem", "2.key", "4:11: {0}/2.key is not the key of {0}/1.pem"),
        ("1.pem\n  2.pem", "1.key\n  1.key", "6:3: {0}/1.key is not the key of {0}/2.pem"),
        ("3.pem", "3.key", "3:19: {0}/3.pem has expired (2020-01-02)"),
    ],
)
def test_certificates_and_keys(directory: Path, certificate: str, key: str, expected: str) -> None:
    assert findings(directory, tls(certificate, key)) == ["a.ini:" + expected.format(directory)]


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(directory: Path) -> None:
    from cryptography.hazmat.primitives import serialization as form

    key = form.load_pem_private_key((directory / "1.key").read_bytes(), None)
    locked = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"secret"))
    (directory / "locked.key").write_bytes(locked)
    expected = f"a.ini:4:11: {directory}/locked.key is encrypted (write it without a passphrase)"
    assert findings(directory, tls("1.pem", "locked.key")) == [expected]


def test_a_broken_key(directory: Path) -> None:
    (directory / "broken.key").write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (line,) = findings(directory, tls("1.pem", "broken.key"))
    assert line.startswith(f"a.ini:4:11: {directory}/broken.key cannot be used with {directory}/1.pem (tls: ")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("server1 = https://a\ntls_ca = ca.pem", []),
        ("server1 = https://a", []),
        ("server1 = a:1", []),
        ("server1 = https://a\ntls_ca = 0", ["5:10: {0}/0 cannot be read: no such file or directory"]),
        ("server1 = https://a\ntls_ca = text", ["5:10: {0}/text holds no PEM certificate"]),
        ("server1 = https://a\nserver2 = https://b\ntls_ca = text", ["6:10: {0}/text holds no PEM certificate"]),
        (
            "server1 = https://a\nserver1_tls_verify = no",
            ["5:22: https://a: anybody may pose as this server (tls_verify = no)"],
        ),
    ],
)
def test_authorities(directory: Path, keys: str, expected: list[str]) -> None:
    text = f"[frontend]\nport = 0\n[http]\n{keys}"
    assert findings(directory, text) == [f"a.ini:{line.format(directory)}" for line in expected]


def test_check_tells_errors_and_warnings_apart(directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = directory / "proxy.ini"
    path.write_text(tls("1.pem", "2.key"))
    assert main([str(path), "--check"]) == 2
    output = capsys.readouterr()
    assert (output.out, output.err) == ("", f"{path}:4:11: {directory}/2.key is not the key of {directory}/1.pem\n")
    path.write_text(tls("3.pem", "3.key"))
    assert main([str(path), "--check"]) == 0
    output = capsys.readouterr()
    assert output.out.startswith(f"{path}: ok")
    assert output.err == f"{path}:3:19: {directory}/3.pem has expired (2020-01-02) (a warning)\n"


def test_files_that_hold_chains(directory: Path) -> None:
    leaf = trustme.CA().create_child_ca().issue_cert("a.example")
    for part in leaf.cert_chain_pems:
        part.write_to_path(str(directory / "chain.pem"), append=True)
    leaf.private_key_pem.write_to_path(str(directory / "chain.key"))
    assert findings(directory, tls("chain.pem", "chain.key")) == []


def test_error_pages(directory: Path) -> None:
    text = "[frontend]\nport = 0\nerror_page = 404 = text.html\n  503 = a.txt\n[http]\nserver1 = a:1\n"
    (directory / "text.html").write_text("gone")
    assert findings(directory, text) == [f"a.ini:4:3: {directory}/a.txt cannot be read: no such file or directory"]


@pytest.mark.parametrize(
    ("access", "reason"),
    [
        ("here/access.log", ""),
        ("there/access.log", "there is no directory {directory}/there"),
        ("here", "it is a directory"),
        ("x" * 300, "file name too long"),
        ("stdout", ""),
        ("off", ""),
    ],
)
def test_an_access_log_that_cannot_be_written_is_found_before_the_start(
    access: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    text = f"[frontend]\nport = 0\n[http]\nserver1 = 127.0.0.1:1\n[log]\naccess = {access}\n"
    found = [str(finding) for finding in check_files(load(text, "a.ini", {}, str(tmp_path)))]
    expected = f"a.ini:6:10: {tmp_path / access} cannot be written: {reason.format(directory=tmp_path)}"
    assert found == ([expected] if reason else [])
    assert not list((tmp_path / "here").iterdir()), "looking makes no file"


def test_directory_of_files(directory: Path) -> None:
    text = "[frontend]\nport = 0\n[static:a]\ndirectory = {}\n"
    assert findings(directory, text.format(".")) == []
    assert findings(directory, text.format("lost")) == [
        f"a.ini:4:13: {directory}/lost cannot be served: there is no such directory"
    ]
    assert findings(directory, text.format("text")) == [
        f"a.ini:4:13: {directory}/text cannot be served: it is not a directory"
    ]
    assert findings(directory, text.format("x" * 300)) == [
        f"a.ini:4:13: {directory}/{'x' * 300} cannot be served: file name too long"
    ]
