"""A gallery on a server: what happens when the server, the network or the DSN is not as hoped."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from controller.adapters.gallery import Gallery, GalleryUnavailable
from controller.services.ports import GalleryRow
from tests.integration.gallery.places import PASSWORD, Endpoint
from wire.ids import uuid7

DAY_US = 86_400_000_000
START_US = 20_415 * DAY_US


@dataclass
class Server:
    """An endpoint of one test, and the file that makes it die after its next insert."""

    endpoint: Endpoint
    lose_answer: Path
    folder: Path

    def open(self, search: str = "search", dsn: str = "") -> Gallery:
        return Gallery.open(dsn or self.endpoint.dsn(), self.folder / search)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Serve an engine of this test's own."""
    lose = tmp_path / "lose-answer"
    endpoint = Endpoint(tmp_path / "engine", ("--lose-answer", str(lose)))
    endpoint.start()
    yield Server(endpoint, lose, tmp_path)
    endpoint.kill()


def rows(first: int, after: int) -> list[GalleryRow]:
    return [
        GalleryRow(
            id=uuid7(unix_ms=START_US // 1000 + i, random_bytes=i.to_bytes(10, "big")),
            agent_id="box", camera_id=f"cam-{i % 3}", epoch=START_US // DAY_US, shard=i % 2,
            start_us=START_US + i * 1000, end_us=START_US + i * 1000 + 9, time_uncertainty_s=0.5,
            space_id="space", variant="float", template=bytes([i % 128]) * 192,
            mask_state="masked", mask_probability=0.9, quality=0.5, face_count=2,
        )
        for i in range(first, after)
    ]  # fmt: skip


def test_a_server_that_comes_back_needs_no_new_start_of_the_controller(server: Server) -> None:
    gallery = server.open()
    gallery.insert(rows(0, 40))
    server.endpoint.kill()
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        gallery.insert(rows(40, 80))
    assert gallery.count() == 40  # what was not acknowledged is not there, what was can be searched
    server.endpoint.start()
    gallery.insert(rows(40, 80))
    assert (gallery.count(), gallery.verify()) == (80, [])
    gallery.close()


def test_rows_whose_answer_was_lost_are_given_again_and_count_once(server: Server) -> None:
    gallery = server.open()
    gallery.insert(rows(0, 40))
    server.lose_answer.touch()
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        gallery.insert(rows(40, 80))
    server.endpoint.start()
    gallery.insert(rows(40, 80))
    assert (gallery.count(), gallery.verify()) == (80, [])
    gallery.close()


def test_a_restart_after_a_lost_answer_finds_the_rows_and_counts_them_once(server: Server) -> None:
    first = server.open()
    server.lose_answer.touch()
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        first.insert(rows(0, 40))
    server.endpoint.start()
    gallery = server.open()
    assert gallery.count() == 40
    gallery.insert(rows(20, 60))  # the agents send again what they got no word of
    assert (gallery.count(), gallery.verify()) == (60, [])
    gallery.close()


def test_a_new_machine_makes_its_search_files_from_the_server(server: Server) -> None:
    gallery = server.open()
    gallery.insert(rows(0, 100))
    gallery.close()
    elsewhere = server.open("another machine's folder")
    assert (elsewhere.count(), elsewhere.verify()) == (100, [])
    elsewhere.close()


def test_search_files_of_another_server_are_noticed_and_can_be_made_anew(server: Server) -> None:
    gallery = server.open()
    gallery.insert(rows(0, 100))
    gallery.close()
    empty = Endpoint(server.folder / "other engine")
    empty.start()
    try:
        moved = server.open(dsn=empty.dsn())
        assert moved.verify()[0].endswith("0 durable, 50 searchable")
        assert (moved.rebuild(), moved.verify()) == (0, [])
        moved.close()
    finally:
        empty.kill()


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        ({"password": "not it"}, "mend the user name or password"),
        ({"database": "absent"}, "make that database on the server first"),
        ({"scheme": "clickhouses"}, "does not speak TLS"),
    ],
)
def test_a_wrong_dsn_says_what_to_mend_and_not_the_password(
    server: Server, change: dict[str, str], mend: str
) -> None:
    server.endpoint.scheme = change.pop("scheme", "clickhouse")
    with pytest.raises(GalleryUnavailable, match=r"gallery\.dsn") as raised:
        server.open(dsn=server.endpoint.dsn(**change))
    assert mend in str(raised.value)
    assert change.get("password", PASSWORD) not in str(raised.value)


def test_no_server_at_all_names_the_place_and_the_usual_ports(tmp_path: Path) -> None:
    with pytest.raises(GalleryUnavailable, match=r"nothing listens at 127.0.0.1:1; .*8123"):
        Gallery.open("clickhouse://127.0.0.1:1/default", tmp_path)


def test_a_certificate_is_checked_and_can_be_trusted_by_name(tmp_path: Path) -> None:
    certificate = own_certificate(tmp_path)
    endpoint = Endpoint(tmp_path / "engine", ("--certificate", str(certificate)))
    endpoint.scheme = "clickhouses"
    endpoint.start()
    try:
        with pytest.raises(GalleryUnavailable, match=r"not trusted.*ca_cert"):
            Gallery.open(endpoint.dsn(), tmp_path / "search")
        gallery = Gallery.open(f"{endpoint.dsn()}?ca_cert={certificate}", tmp_path / "search")
        gallery.insert(rows(0, 40))
        assert (gallery.count(), gallery.verify()) == (40, [])
        gallery.close()
    finally:
        endpoint.kill()


def own_certificate(folder: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gallery")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "certificate.pem"
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
