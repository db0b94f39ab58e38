"""What `concord certs` makes is what wire/ accepts, and what it must never do: overwrite, or show a key."""

import json
import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from concord.cli import main
from concord.cli.certs import ROLES
from wire import Role, TlsConfig
from wire.tls import Identity, load_credentials


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "certs"


def certs(folder: Path, *words: str) -> int:
    return main(["certs", *words, "--dir", str(folder)])


def refusal(folder: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    try:
        code = certs(folder, *words)
    except SystemExit as end:
        code = int(str(end.code))
    said = capsys.readouterr().err
    assert said.startswith("concord: ")
    assert said.count("\n") == 1
    return code, said


def files(folder: Path, stem: str) -> TlsConfig:
    return TlsConfig(str(folder / f"{stem}.crt"), str(folder / f"{stem}.key"), str(folder / "ca.crt"))


def loaded(folder: Path, stem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{stem}.crt").read_bytes())


def test_the_roles_are_those_that_wire_knows() -> None:
    assert set(ROLES) == set(Role)


def test_init_makes_a_whole_cluster_that_wire_accepts(folder: Path) -> None:
    assert certs(folder, "init", "--cluster", "blue", "--nodes", "n1,n2", "--gateways", "g1", "--admins", "ops") == 0
    expected = {"node-n1": (Role.NODE, "n1"), "node-n2": (Role.NODE, "n2"), "gateway-g1": (Role.GATEWAY, "g1")}
    for stem, (role, name) in (expected | {"admin-ops": (Role.ADMIN, "ops")}).items():
        assert load_credentials(files(folder, stem)).identity == Identity("blue", role, name)
    assert len(list(folder.iterdir())) == 10


def test_certificates_are_added_to_an_authority_that_is_there_and_know_its_cluster(folder: Path) -> None:
    assert certs(folder, "ca", "--cluster", "green") == 0
    assert certs(folder, "node", "n1", "n2") == 0
    assert certs(folder, "gateway", "g") == 0
    assert certs(folder, "admin", "a") == 0
    assert load_credentials(files(folder, "node-n2")).identity == Identity("green", Role.NODE, "n2")
    assert load_credentials(files(folder, "admin-a")).identity == Identity("green", Role.ADMIN, "a")


def test_a_key_is_for_its_owner_alone_whatever_the_umask(folder: Path) -> None:
    before = os.umask(0)
    try:
        certs(folder, "init")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert {mode for name, mode in modes.items() if name.endswith(".key")} == {0o600}
    assert {mode for name, mode in modes.items() if name.endswith(".crt")} == {0o644}


@pytest.mark.parametrize(
    "words", [["init"], ["ca"], ["node", "n9", "n1"], ["gateway", "gateway1"], ["admin", "admin"]], ids=str
)
def test_nothing_is_overwritten_and_a_refused_command_makes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    certs(folder, "init")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, said = refusal(folder, capsys, *words)
    assert code == 1
    assert "is not overwritten" in said
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_keys_are_p256_and_a_leaf_serves_both_ends_and_signs_nothing(folder: Path) -> None:
    certs(folder, "init", "--hosts", "node1.example,10.0.0.1,::1")
    leaf, authority = loaded(folder, "node-n1"), loaded(folder, "ca")
    for certificate in (leaf, authority):
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert authority.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0
    usages = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {usage._name for usage in usages} == {"serverAuth", "clientAuth"}
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["concord://concord/node/n1"]
    assert names.get_values_for_type(x509.DNSName) == ["node1.example"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.1", "::1"]
    assert load_credentials(files(folder, "node-n1")).identity.id == "n1"


def test_the_strictest_check_of_the_standard_library_is_passed(folder: Path) -> None:
    certs(folder, "init")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    context.load_verify_locations(folder / "ca.crt")
    served = load_credentials(files(folder, "node-n1"))
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    served.server.verify_mode = ssl.CERT_NONE
    server = served.server.wrap_bio(to_server, to_client, server_side=True)
    client = context.wrap_bio(to_client, to_server)
    for side in (client, server):
        with pytest.raises(ssl.SSLWantReadError):
            side.do_handshake()
    client.do_handshake()  # raises when the server's certificate does not pass


def test_a_certificate_is_good_for_the_days_asked_for_and_never_longer_than_its_authority(folder: Path) -> None:
    certs(folder, "ca", "--ca-days", "30")
    certs(folder, "node", "short", "--days", "7")
    certs(folder, "node", "long", "--days", "400")
    short, long, authority = loaded(folder, "node-short"), loaded(folder, "node-long"), loaded(folder, "ca")
    assert (short.not_valid_after_utc - short.not_valid_before_utc).days == 7
    assert long.not_valid_after_utc == authority.not_valid_after_utc


def test_what_was_made_is_said_as_a_table_with_what_to_do_next(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    certs(folder, "init", "--cluster", "blue")
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines()]
    assert ["node", "n2", f"{folder}/node-n2.crt", f"{folder}/node-n2.key"] in [row[:4] for row in rows]
    assert f"Keep {folder}/ca.key away" in shown
    assert f"concord node --id n1 --cluster blue --tls-cert {folder}/node-n1.crt" in shown
    assert "PRIVATE" not in shown


def test_what_was_made_is_said_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certs(folder, "init", "--nodes", "n1", "--json")
    report = json.loads(capsys.readouterr().out)
    assert report["cluster"] == "concord"
    assert [(each["role"], each["id"]) for each in report["made"]] == [
        ("ca", "concord"),
        ("node", "n1"),
        ("gateway", "gateway1"),
        ("admin", "admin"),
    ]
    assert all(Path(each["certificate"]).is_file() and Path(each["key"]).is_file() for each in report["made"])


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["king", "k"],
        ["node"],
        ["node", "a/b"],
        ["node", ""],
        ["init", "--cluster", "a/b"],
        ["init", "--nodes", "n1,n 2"],
        ["node", "n1", "--days", "0"],
        ["node", "n1", "--hosts", "a b"],
    ],
    ids=str,
)
def test_wrong_use_is_one_line_and_code_2(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert refusal(folder, capsys, *words)[0] == 2
    assert not folder.exists()


def test_without_an_authority_the_command_says_how_to_make_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = refusal(folder, capsys, "node", "n1")
    assert code == 1
    assert "concord certs init" in said


@pytest.mark.parametrize("content", ["", "garbage", "another authority's"])
def test_a_directory_that_holds_no_sound_authority_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    certs(folder, "ca")
    certs(tmp_path / "other", "ca")
    other = (tmp_path / "other" / "ca.key").read_text()
    (folder / "ca.key").write_text(other if content.startswith("another") else content)
    code, said = refusal(folder, capsys, "node", "n1")
    assert code == 1
    assert str(folder / "ca.key") in said


def test_without_cryptography_the_command_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "cryptography.py").write_text("raise ImportError('not here')")
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "concord.cli", "certs", "init", "--dir", str(tmp_path / "certs")],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root / 'sdk'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "install Concord with its extra 'certs'" in done.stderr
    assert done.stderr.count("\n") == 1
