"""
Certificates of a fleet's own making, and TLS by them.

Owns a folder: `ca.pem` and `ca.key`, the authority; `meter.key`, which all meters share; a
certificate for each meter that ever spoke TLS, valid for its loopback address, with the serial as
common name; and `head-end.pem` for whoever plays the other side in a test. They protect nothing
real. Nothing here verifies names: a meter knows the head-end by the authority alone.
"""

from __future__ import annotations

import fcntl
import os
import ssl
from collections import OrderedDict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID: Final = timedelta(days=3650)
_BEFORE: Final = timedelta(days=1)
_MOST_CONTEXTS: Final = 512


class CertificateFolder:
    """
    The certificates in one folder; made with the authority where they are missing.

    Raises: OSError: the folder cannot be written. ValueError: a file holds something else.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._contexts: OrderedDict[tuple[str, bool], ssl.SSLContext] = OrderedDict()
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two fleets may share a folder
            self._authority_key = _key(folder / "ca.key")
            self._meter_key = _key(folder / "meter.key")
            self._authority = self._make_authority()

    @property
    def authority(self) -> Path:
        """The file with the authority's certificate, for whoever verifies the meters."""
        return self.folder / "ca.pem"

    def issue(self, name: str, addresses: Iterable[IPv4Address]) -> Path:
        """
        The certificate `name`.pem with the meters' key (`meter.key`), made where it is missing.

        Args: name: its common name. addresses: that it is valid for.
        """
        path = self.folder / f"{name}.pem"
        if not path.exists():
            alternatives: list[x509.GeneralName] = [x509.DNSName(f"{name.lower()}.invalid")]
            alternatives += [x509.IPAddress(address) for address in addresses]
            builder = (
                _builder(name, self._authority.subject, self._meter_key.public_key())
                .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
                .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                .add_extension(_BOTH_SIDES, critical=False)
            )
            _write(path, _pem(builder.sign(self._authority_key, hashes.SHA256())))
        return path

    def meter_context(self, serial: str, address: IPv4Address, *, server: bool) -> ssl.SSLContext:
        """
        TLS of one meter, as the side that is called or the one that calls.

        Who calls verifies the head-end by the authority; who is called verifies nobody.
        """
        context = self._contexts.pop((serial, server), None)
        if context is None:
            certificate = self.issue(serial, (address,))
            context = self.context(certificate, server=server)
        self._contexts[serial, server] = context
        if len(self._contexts) > _MOST_CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    def context(self, certificate: Path, *, server: bool) -> ssl.SSLContext:
        """TLS 1.2 or later with a certificate that was issued here."""
        protocol = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
        context = ssl.SSLContext(protocol)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = False
        if not server:
            context.load_verify_locations(self.authority)
        context.load_cert_chain(certificate, self.folder / "meter.key")
        return context

    def _make_authority(self) -> x509.Certificate:
        if self.authority.exists():
            return x509.load_pem_x509_certificate(self.authority.read_bytes())
        public = self._authority_key.public_key()
        builder = (
            _builder("Simulated meters", _name("Simulated meters"), public)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
        )
        made = builder.sign(self._authority_key, hashes.SHA256())
        _write(self.authority, _pem(made))
        return made


_BOTH_SIDES: Final = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)
_SIGNS_CERTIFICATES: Final = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _builder(
    name: str, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)  # certificates live by the machine's time, whatever the fleet's is
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _VALID)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The key in a file, made where it is missing."""
    if path.exists():
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{path} holds another kind of key")
        return found
    made = ec.generate_private_key(ec.SECP256R1())
    _write(
        path,
        made.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    return made


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, octets: bytes) -> None:
    """Whole or not at all, for the owner's eyes."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
    beside.replace(path)
