"""Certificates for tests: an authority, and what it signs, also with dates that are over."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = timedelta(days=1)


class Authority:
    """A certificate authority in a folder; `file` is what its clients trust."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        until = datetime.now(UTC) + 30 * _DAY
        own = self._builder(self._name, self._key, until).add_extension(
            x509.BasicConstraints(True, None), critical=True
        )
        own = own.add_extension(_usage(sign=True), critical=True)
        self.file = _write(folder / "ca.pem", own.sign(self._key, hashes.SHA256()).public_bytes(_PEM))

    def issue(self, name: str, *, days: int = 10, file: str = "") -> tuple[Path, Path]:
        """(certificate, key) of `name`, valid at 127.0.0.1 and localhost; `days` < 0: expired so long ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        places = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
        builder = self._builder(_name(name), key, datetime.now(UTC) + days * _DAY)
        builder = builder.add_extension(x509.SubjectAlternativeName(places), critical=False)
        signed = builder.sign(self._key, hashes.SHA256())
        stem = file or name.replace("/", "-")
        private = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return (
            _write(self.folder / f"{stem}.pem", signed.public_bytes(_PEM)),
            _write(self.folder / f"{stem}.key", private),
        )

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, until: datetime) -> x509.CertificateBuilder:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(until - 60 * _DAY)
            .not_valid_after(until)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(identifier, critical=False)
        )


_PEM = serialization.Encoding.PEM


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, sign, sign, False, False)


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    path.chmod(0o600)
    return path
