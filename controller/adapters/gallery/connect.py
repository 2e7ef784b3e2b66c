"""How a gallery's DSN becomes a client: which transport, which guarantees, and what went wrong.

clickhouse-connect takes the transport from the port, not from the scheme: `clickhouses://host:9440`
would send the password in clear. So the scheme decides here.
"""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, parse_qsl, urlencode, urlsplit, urlunsplit

import clickhouse_connect

from controller.errors import ControllerError

_INTERFACES: Final = {
    "clickhouse": "http",
    "clickhouse+http": "http",
    "http": "http",
    "clickhouses": "https",
    "clickhouse+https": "https",
    "https": "https",
}
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_NO_ACCESS: Final = (192, 193, 194, 516)
_NO_DATABASE: Final = 81
_CLUSTER_SETTINGS: Final = {
    # Without it a machine keeps the rows in a queue of its own and answers before they are stored.
    "distributed_foreground_insert": "1",
    # A row counts once most replicas have it, and is read from replicas only that have all such.
    "insert_quorum": "auto",
    "insert_quorum_parallel": "0",
    "select_sequential_consistency": "1",
}


class GalleryUnavailable(ControllerError):
    """The gallery cannot be opened, read or written."""


def connect(dsn: str, *, cluster: str | None = None) -> Any:
    """Return a client for `chdb:///path` or a server's DSN; raises `GalleryUnavailable`.

    `clickhouses://` is TLS; plain `clickhouse://` is for servers on this machine only. With a
    cluster an insert returns when most replicas of each row's machine have it; `?ch_NAME=VALUE`
    in the DSN sets or overrules a setting of ClickHouse.
    """
    parts = urlsplit(dsn)
    options: dict[str, Any] = {}
    if parts.scheme != "chdb":
        options["interface"] = _interface(parts)
    values = parse_qsl(parts.query)
    settings = dict(_CLUSTER_SETTINGS) if cluster is not None else {}
    settings |= {name[3:]: value for name, value in values if name.startswith("ch_")}
    rest = urlencode([pair for pair in values if not pair[0].startswith("ch_")])
    plain = urlunsplit(parts._replace(query=rest)) if parts.query else dsn
    try:
        return clickhouse_connect.get_client(dsn=plain, settings=settings, **options)
    except Exception as error:  # noqa: BLE001 - the driver raises many kinds
        raise unavailable(dsn, error) from None


def search_folder(dsn: str) -> Path:
    """Return where the search files of an embedded gallery lie; a server's have no such place."""
    if not dsn.startswith("chdb:///"):
        raise GalleryUnavailable(
            "gallery.search_dir: a gallery on a server needs a folder here for its search files"
        )
    return Path(dsn.removeprefix("chdb://") + "-search")


def unavailable(dsn: str, error: Exception) -> GalleryUnavailable:
    """Say what went wrong and what to do about it, without the DSN's password."""
    parts = urlsplit(dsn)
    reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    if parts.password:
        reason = reason.replace(parts.password, "***")
    return GalleryUnavailable(
        f"gallery.dsn ({parts.scheme}): cannot be opened ({reason}); {_mend(parts, error)}"
    )


def _interface(parts: SplitResult) -> str:
    interface = _INTERFACES.get(parts.scheme)
    if interface is None:
        raise GalleryUnavailable(
            f"gallery.dsn: unknown scheme {parts.scheme!r}; use chdb:///path, "
            "clickhouses://user:password@host:8443/database or, on this machine, clickhouse://"
        )
    if interface == "http" and (parts.hostname or "localhost") not in _LOOPBACK:
        raise GalleryUnavailable(
            f"gallery.dsn: {parts.scheme}:// is not encrypted and is for this machine only, not "
            f"{parts.hostname}; use clickhouses://"
        )
    if {"verify", "secure", "interface"} & parse_qs(parts.query).keys():
        raise GalleryUnavailable(
            "gallery.dsn: verify, secure and interface are not to be given; the scheme says "
            "whether there is TLS, and a certificate of your own is trusted by ?ca_cert=/path"
        )
    return interface


def _mend(parts: SplitResult, error: Exception) -> str:
    where = f"{parts.hostname or 'localhost'}:{parts.port or 'default port'}"
    if parts.scheme == "chdb":
        return "is another controller process using it?"
    if getattr(error, "code", None) in _NO_ACCESS:
        return "mend the user name or password in the DSN, or grant the user its database"
    if getattr(error, "code", None) == _NO_DATABASE:
        return "make that database on the server first"
    if getattr(error, "code", None) is not None:
        return "mend what the server names"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                "the server's certificate is not trusted for that name; add ?ca_cert=/path/ca.pem"
            )
        if isinstance(cause, ssl.SSLError):
            return f"{where} does not speak TLS; name the server's HTTPS port (often 8443)"
        if isinstance(cause, ConnectionRefusedError):
            return f"nothing listens at {where}; name the server's HTTP port (8123; TLS: 8443)"
    return f"is a ClickHouse server's HTTP port at {where}?"


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or any(one is other for other in seen):
            continue
        seen.append(one)
        yield one
        # urllib3 keeps what went wrong below it in `reason` or among the arguments.
        inner = [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]
        waiting += [other for other in inner if isinstance(other, BaseException)]
