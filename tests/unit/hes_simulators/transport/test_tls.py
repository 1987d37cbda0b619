"""Certificates of the fleet's own: who verifies whom, and what is kept in the folder."""

from __future__ import annotations

import ssl
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from hes_simulators.tls import CertificateFolder

ADDRESS = IPv4Address("127.16.0.1")


def shake_hands(
    client: ssl.SSLContext, server: ssl.SSLContext, name: str | None = None
) -> ssl.SSLObject:
    """TLS in memory; the client's end."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    done = [False, False]
    for _ in range(10):
        for number, end in enumerate((ours, theirs)):
            try:
                end.do_handshake()
                done[number] = True
            except ssl.SSLWantReadError:
                pass
        if all(done):
            return ours
    raise AssertionError("no end of it")


def test_who_trusts_the_authority_trusts_the_meter_at_its_address(tmp_path: Path) -> None:
    folder = CertificateFolder(tmp_path / "tls")
    server = folder.meter_context("HES00000001", ADDRESS, server=True)
    client = ssl.create_default_context(cafile=str(folder.authority))
    found = shake_hands(client, server, "127.16.0.1").getpeercert()
    assert found is not None
    assert found["subject"] == ((("commonName", "HES00000001"),),)
    assert ("IP Address", "127.16.0.1") in found["subjectAltName"]
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(client, server, "127.16.0.2")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(ssl.create_default_context(), server, "127.16.0.1")


def test_a_meter_that_calls_wants_a_head_end_of_its_authority(tmp_path: Path) -> None:
    folder, other = CertificateFolder(tmp_path / "a"), CertificateFolder(tmp_path / "b")
    meter = folder.meter_context("HES00000001", ADDRESS, server=False)
    here = IPv4Address("127.0.0.1")
    head_end = folder.context(folder.issue("head-end", (here,)), server=True)
    head_end.verify_mode = ssl.CERT_REQUIRED
    head_end.load_verify_locations(folder.authority)
    shake_hands(meter, head_end)  # both have shown who they are
    stranger = other.context(other.issue("head-end", (here,)), server=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(meter, stranger)


def test_the_folder_is_kept(tmp_path: Path) -> None:
    first = CertificateFolder(tmp_path)
    certificate = first.issue("HES00000001", (ADDRESS,)).read_bytes()
    again = CertificateFolder(tmp_path)
    assert again.authority.read_bytes() == first.authority.read_bytes()
    assert again.issue("HES00000001", (ADDRESS,)).read_bytes() == certificate
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.key")} == {0o600}
    assert not list(tmp_path.glob("*.new"))


def test_contexts_are_kept_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hes_simulators.tls._MOST_CONTEXTS", 2)
    folder = CertificateFolder(tmp_path)
    contexts = [folder.meter_context(f"HES{n}", ADDRESS, server=True) for n in range(3)]
    assert folder.meter_context("HES2", ADDRESS, server=True) is contexts[2]
    assert folder.meter_context("HES0", ADDRESS, server=True) is not contexts[0]
