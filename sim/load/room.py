"""Whether this machine lets one tool hold so many connections: files and ports."""

import ipaddress
import resource
from pathlib import Path
from typing import Final

from sim.errors import SimError

SPARE_FILES: Final = 64
"""Files that a process needs beside its sockets."""
_PORT_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_DEFAULT_RANGE: Final = (32_768, 60_999)
_USABLE: Final = 0.9
_MAX_SOURCES: Final = 250


def allow_files(connections: int) -> None:
    """Raise this process's soft limit to its hard one; `SimError` if that is too small."""
    needed = connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard or hard == resource.RLIM_INFINITY:
        wanted = max(needed, soft) if hard == resource.RLIM_INFINITY else hard
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    check_files(needed, soft)


def check_files(needed: int, limit: int) -> None:
    """Raise `SimError` if a process may not open as many files as it needs."""
    if limit < needed:
        raise SimError(
            f"RLIMIT_NOFILE: a process may open {limit} files, {needed} are needed; raise the hard "
            "limit (`ulimit -Hn`, LimitNOFILE= in systemd) or use more --processes"
        )


def port_range(path: Path = _PORT_RANGE) -> tuple[int, int]:
    """Return the first and last port that the system gives to outgoing connections."""
    try:
        first, last = path.read_text(encoding="ascii").split()
        return int(first), int(last)
    except (OSError, ValueError):
        return _DEFAULT_RANGE


def source_addresses(
    connections: int, host: str, given: tuple[str, ...] = (),
    ports: tuple[int, int] | None = None,
) -> tuple[str, ...]:  # fmt: skip
    """Return the local addresses to connect from, none if the system's own choice is enough.

    One address has as many connections to one broker as there are ports (28,000 by default, of
    which nine tenths are counted on). On loopback 127.0.0.2 and so on are added as needed;
    elsewhere `given` must be enough, or `SimError` says so.
    """
    first, last = ports or port_range()
    each = int((last - first + 1) * _USABLE)
    if connections <= each * max(len(given), 1):
        return given
    wanted = -(-connections // each)
    if given or not is_loopback(host) or wanted > _MAX_SOURCES:
        raise SimError(
            f"ip_local_port_range: {first}-{last} gives one address {each} connections to one "
            f"broker, {connections} are wanted; give {wanted} of this machine's addresses with "
            "--source, widen the range with sysctl, or use another machine for the rest"
        )
    return tuple(f"127.0.0.{number}" for number in range(2, 2 + wanted))


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
