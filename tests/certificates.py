"""Certificates for tests, good and bad, made by the code of `concord certs`."""

import datetime as dt
import itertools
from pathlib import Path

from concord.cli.authority import Authority as Signer
from concord.cli.authority import Validity, found
from wire import TlsConfig


class Authority:
    """Signs certificates into files of a folder, for whatever names and times it is told."""

    def __init__(self, folder: Path, name: str, signer: Signer | None = None) -> None:
        self.folder = folder
        self.name = name
        self.path = folder / f"{name}.pem"
        self._signer = signer or found("blue", validity())
        self._numbers = itertools.count()
        folder.mkdir(exist_ok=True)
        self.path.write_bytes(self._signer.certificate)

    def issue(self, *uris: str, file: str = "", begins_in: int = -10, ends_in: int = 1) -> TlsConfig:
        """A certificate with these URIs among its names; its times are days from now."""
        issued = self._signer.issue(uris, validity(begins_in, ends_in))
        stem = file or f"{self.name}-{next(self._numbers)}"
        certificate, key = self.folder / f"{stem}.crt", self.folder / f"{stem}.key"
        certificate.write_bytes(issued.certificate)
        key.write_bytes(issued.key)
        return TlsConfig(str(certificate), str(key), str(self.path))


def validity(begins_in: int = -10, ends_in: int = 1) -> Validity:
    """From so many days from now until so many."""
    now = dt.datetime.now(dt.UTC)
    return Validity(now + dt.timedelta(days=begins_in), now + dt.timedelta(days=ends_in))
