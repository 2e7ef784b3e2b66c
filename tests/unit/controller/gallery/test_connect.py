"""Which DSNs are taken, before anything is sent anywhere."""

import pytest

from controller.adapters.gallery.connect import GalleryUnavailable, connect, search_folder


@pytest.mark.parametrize(
    ("dsn", "mend"),
    [
        ("clickhouse://gallery.example:8123/sightline", "use clickhouses://"),
        ("clickhouse+http://10.1.2.3/sightline", "use clickhouses://"),
        ("clickhouses://gallery.example/sightline?verify=false", "ca_cert"),
        ("clickhouse://localhost/sightline?secure=true", "scheme says"),
        ("clickhouse+native://localhost/sightline", "unknown scheme"),
        ("/srv/gallery", "unknown scheme"),
    ],
)
def test_a_dsn_that_would_send_in_clear_or_means_nothing_is_refused(dsn: str, mend: str) -> None:
    with pytest.raises(GalleryUnavailable, match=mend):
        connect(dsn)


def test_search_files_lie_beside_an_embedded_gallery_and_nowhere_by_default_for_a_server() -> None:
    assert str(search_folder("chdb:///srv/gallery")) == "/srv/gallery-search"
    with pytest.raises(GalleryUnavailable, match=r"gallery\.search_dir"):
        search_folder("clickhouse://user:password@localhost/sightline")
