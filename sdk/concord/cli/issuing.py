"""What `concord certs` does: the authority of a cluster and the certificates of its processes, as files in one directory.

    ca.crt, ca.key                the authority
    node-n1.crt, node-n1.key      one pair for each process; gateway-…, admin-… likewise

Nothing is ever overwritten: a second authority under the same name would lock out every process that trusts the first.
Private keys are for their owner's eyes (mode 0600) from the first byte on. No certificate outlives its authority.
"""

import argparse
import datetime as dt
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from concord.cli.authority import Authority, AuthorityError, Validity, found, identity_uri, read, valid_for
from concord.cli.certs import ROLES
from concord.cli.console import CliError, table
from concord.cli.files import write_new
from concord.cli.output import print_json

AUTHORITY = "ca"
SECRET, PUBLIC = 0o600, 0o644


class Owner(msgspec.Struct, frozen=True):
    """Who a certificate is for; the authority's own has the role `ca` and the cluster as id."""

    role: str
    id: str

    @property
    def stem(self) -> str:
        """Name of its files, without what they end in."""
        return AUTHORITY if self.role == AUTHORITY else f"{self.role}-{self.id}"


class Made(msgspec.Struct, frozen=True):
    """One certificate: whose, in which files, and when it ends."""

    role: str
    id: str
    certificate: str
    key: str
    ends: dt.datetime


class Report(msgspec.Struct, frozen=True):
    """What `--json` prints."""

    cluster: str
    made: list[Made]


def begin(options: argparse.Namespace) -> int:
    """Make an authority, and a certificate for each owner named."""
    directory = Path(options.dir)
    authority_itself = Owner(AUTHORITY, options.cluster)
    owners = [Owner(role, name) for role in ROLES for name in getattr(options, f"{role}s")]
    _refuse_to_overwrite(directory, [authority_itself, *owners])
    authority = found(options.cluster, valid_for(options.ca_days))
    made = [_write(directory, authority_itself, authority.certificate, authority.key, authority.ends)]
    made += [_issue(authority, directory, owner, options) for owner in owners]
    return _tell(authority.cluster, directory, made, as_json=options.json)


def add(options: argparse.Namespace) -> int:
    """Make certificates that the authority in the directory signs."""
    directory = Path(options.dir)
    authority = _load(directory)
    owners = [Owner(options.role, name) for name in dict.fromkeys(options.ids)]
    _refuse_to_overwrite(directory, owners)
    made = [_issue(authority, directory, owner, options) for owner in owners]
    return _tell(authority.cluster, directory, made, as_json=options.json)


def _load(directory: Path) -> Authority:
    certificate, key = directory / "ca.crt", directory / "ca.key"
    try:
        return read(certificate.read_bytes(), key.read_bytes())
    except FileNotFoundError as error:
        raise CliError(f"there is no authority: {error.filename}", "concord certs init, or say --dir") from error
    except OSError as error:
        raise CliError(f"{error.filename}: {error.strerror}") from error
    except AuthorityError as error:
        raise CliError(f"{certificate} and {key}: {error}") from error


def _refuse_to_overwrite(directory: Path, owners: Iterable[Owner]) -> None:
    """Look before anything is made, so that a refused command leaves nothing behind."""
    for owner in owners:
        for path in _paths(directory, owner):
            if path.exists():
                raise CliError(f"{path} is there and is not overwritten", "move it away, or use another --dir")


def _paths(directory: Path, owner: Owner) -> tuple[Path, Path]:
    return directory / f"{owner.stem}.crt", directory / f"{owner.stem}.key"


def _issue(authority: Authority, directory: Path, owner: Owner, options: argparse.Namespace) -> Made:
    wanted = valid_for(options.days)
    uri = identity_uri(authority.cluster, owner.role, owner.id)
    issued = authority.issue(
        [uri], Validity(wanted.begins, min(wanted.ends, authority.ends)), hosts=options.hosts, subject=owner.id
    )
    return _write(directory, owner, issued.certificate, issued.key, issued.ends)


def _write(directory: Path, owner: Owner, certificate: bytes, key: bytes, ends: dt.datetime) -> Made:
    certificate_path, key_path = _paths(directory, owner)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_new(key_path, key, SECRET)
        write_new(certificate_path, certificate, PUBLIC)
    except OSError as error:
        raise CliError(f"{error.filename}: {error.strerror}", "choose another --dir") from error
    return Made(owner.role, owner.id, str(certificate_path), str(key_path), ends)


def _tell(cluster: str, directory: Path, made: Sequence[Made], *, as_json: bool) -> int:
    if as_json:
        print_json(Report(cluster, list(made)))
        return 0
    rows = [[each.role, each.id, each.certificate, each.key, f"{each.ends:%Y-%m-%d}"] for each in made]
    listed = table(["ROLE", "ID", "CERTIFICATE", "KEY", "GOOD UNTIL"], rows, sys.stdout)
    sys.stdout.write(f"{listed}\n" + "\n".join(_next_steps(cluster, directory, made)) + "\n")
    return 0


def _next_steps(cluster: str, directory: Path, made: Sequence[Made]) -> Iterable[str]:
    roles = {each.role: each for each in reversed(made)}
    if AUTHORITY in roles:
        yield f"Keep {roles[AUTHORITY].key} away from the cluster: whoever has it can make a certificate for anyone."
    yield f"Give each process its own two files and {directory / 'ca.crt'}:"
    for role in ("node", "gateway"):
        if role in roles:
            files = {"cert": roles[role].certificate, "key": roles[role].key, "ca": str(directory / "ca.crt")}
            flags = " ".join(f"--tls-{name} {shlex.quote(path)}" for name, path in files.items())
            named = f"--id {roles[role].id} " if role == "node" else ""
            yield f"  concord {role} {named}--cluster {cluster} {flags} …"
    if AUTHORITY in roles and len(roles) == 1:
        yield f"  concord certs node n1 n2 n3 --dir {shlex.quote(str(directory))}"
    yield "A process takes new files for its next connection without a restart."
