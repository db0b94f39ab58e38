"""A cluster's certificate authority: makes keys and signs the certificates by which its processes know one another.

Every certificate has its owner's name as the URI `concord://<cluster>/<role>/<id>`; that, and not a host name, is what the
other side compares, since a node keeps its identity when it moves. Nodes call one another and are called, so each
certificate is good for both ends of a connection. The authority signs leaves only (`path_length` 0), and its
own certificate remembers the cluster, so that nobody has to say it twice.

Keys are ECDSA on P-256: small, quick in a TLS 1.3 handshake, and known to every TLS library.
"""

import datetime as dt
import ipaddress
from collections.abc import Sequence

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW = dt.timedelta(minutes=5)  # a certificate is good at once on a machine whose clock is behind


class AuthorityError(Exception):
    """The files are not those of an authority. The text says what is wrong with them."""


class Validity(msgspec.Struct, frozen=True):
    """From when until when a certificate is good."""

    begins: dt.datetime
    ends: dt.datetime


class Issued(msgspec.Struct, frozen=True):
    """A certificate and its private key, both PEM, and when the certificate ends."""

    certificate: bytes
    key: bytes
    ends: dt.datetime


def valid_for(days: int) -> Validity:
    """From now on, for so many days."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return Validity(now - CLOCK_SKEW, now + dt.timedelta(days=days))


def identity_uri(cluster: str, role: str, name: str) -> str:
    """How a certificate names its owner."""
    return f"concord://{cluster}/{role}/{name}"


class Authority:
    """Signs certificates.

    Attributes:
        cluster: the cluster that it was made for.
    """

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key
        organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        self.cluster = str(organizations[0].value) if organizations else ""

    @property
    def ends(self) -> dt.datetime:
        """When it ends, and with it everything that it signed."""
        return self._certificate.not_valid_after_utc

    @property
    def certificate(self) -> bytes:
        """Its own certificate (PEM), which every process of the cluster needs."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key(self) -> bytes:
        """Its private key (PEM), which no process needs."""
        return _pem(self._key)

    def issue(
        self, uris: Sequence[str], validity: Validity, *, hosts: Sequence[str] = (), subject: str = "concord"
    ) -> Issued:
        """Make a key and sign a certificate for the owner named by `uris`; `hosts` are names and addresses besides."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_subject(subject, self.cluster), self._certificate.subject, key.public_key(), validity)
        names = [x509.UniformResourceIdentifier(uri) for uri in uris] + [_host_name(host) for host in hosts]
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(certificate.public_bytes(serialization.Encoding.PEM), _pem(key), validity.ends)


def found(cluster: str, validity: Validity) -> Authority:
    """A new authority for a cluster."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"Concord authority of {cluster}"[:64], cluster)
    builder = (
        _builder(subject, subject, key.public_key(), validity)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def read(certificate: bytes, key: bytes) -> Authority:
    """The authority in two PEM files.

    Raises:
        AuthorityError: they are not PEM, do not belong together, or were not made by `found`.
    """
    try:
        loaded = x509.load_pem_x509_certificate(certificate)
        signer = serialization.load_pem_private_key(key, password=None)
        loaded.verify_directly_issued_by(loaded)
    except (ValueError, TypeError, InvalidSignature) as error:
        raise AuthorityError(f"not the PEM files of an authority: {error}") from error
    if not isinstance(signer, ec.EllipticCurvePrivateKey) or signer.public_key() != loaded.public_key():
        raise AuthorityError("the key belongs to another certificate")
    authority = Authority(loaded, signer)
    if not authority.cluster:
        raise AuthorityError("its certificate names no cluster (as organization)")
    return authority


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(validity.begins)
        .not_valid_after(validity.ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _subject(name: str, cluster: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )


def _host_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
