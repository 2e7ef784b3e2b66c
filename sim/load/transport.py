"""Non-blocking TCP and TLS sockets on one epoll: thousands of them in one thread."""

import contextlib
import errno
import select
import socket
import ssl
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sim.errors import SimError

RECEIVE_BYTES: Final = 16_384
MAX_OUT_BYTES: Final = 512 * 1024
"""Bytes that wait for a slow broker on one connection; beyond it nothing more is handed over."""
_READ: Final = select.EPOLLIN
_WRITE: Final = select.EPOLLIN | select.EPOLLOUT
_ABORT: Final = struct.pack("ii", 1, 0)
_LATER: Final = (errno.EINPROGRESS, errno.EAGAIN, errno.EWOULDBLOCK)


class TransportLost(Exception):
    """The connection is gone; a new one may be tried."""


class TlsRefused(SimError):
    """The broker's certificate, or ours, was refused: trying again would not help."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the broker is; `sources`: local addresses to spread connections over, if any."""

    family: int
    address: tuple[str, int]
    server_name: str
    sources: tuple[str, ...] = ()
    tls: ssl.SSLContext | None = None


class Poller:
    """An epoll that gives back whoever registered the socket."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._owners: dict[int, object] = {}

    def watch(self, fd: int, owner: object) -> None:
        """Watch a new socket until it can be written (it is connecting)."""
        self._owners[fd] = owner
        self._epoll.register(fd, _WRITE)

    def listen(self, fd: int, owner: object) -> None:
        """Watch something that is only read, for example a pipe."""
        self._owners[fd] = owner
        self._epoll.register(fd, _READ)

    def change(self, fd: int, *, writing: bool) -> None:
        """Watch for reading, and for room to write if asked."""
        self._epoll.modify(fd, _WRITE if writing else _READ)

    def forget(self, fd: int) -> None:
        """Stop watching; call before the socket is closed."""
        self._owners.pop(fd, None)
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)

    def poll(self, wait_s: float) -> Iterator[object]:
        """Wait at most `wait_s` and give the owner of each socket that something happened to."""
        for fd, _mask in self._epoll.poll(wait_s, 4_096):
            owner = self._owners.get(fd)
            if owner is not None:
                yield owner

    def close(self) -> None:
        """Give the epoll back."""
        self._epoll.close()


class Transport:
    """One socket: `advance` until it is open, then `receive` and `send`, at the end `close`.

    What a full socket does not take waits in `_out` and goes when epoll says so.
    """

    __slots__ = ("_out", "_poller", "_shaking", "_sock", "_target", "_writing", "open")

    def __init__(self, target: Target, poller: Poller, owner: object, number: int) -> None:
        self._target, self._poller = target, poller
        self._out = bytearray()
        self.open = False
        self._shaking = False
        self._writing = True
        self._sock: socket.socket = socket.socket(target.family, socket.SOCK_STREAM)
        try:
            self._begin(number)
        except OSError as error:
            self._sock.close()
            raise TransportLost(error.strerror or str(error)) from None
        poller.watch(self._sock.fileno(), owner)

    @property
    def has_room(self) -> bool:
        """Whether more may be handed over."""
        return len(self._out) < MAX_OUT_BYTES

    def advance(self) -> bool:
        """Go on with connecting; true once it is open. Raises `TransportLost`, `TlsRefused`."""
        if not self._shaking:
            fault = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if fault:
                raise TransportLost(errno.errorcode.get(fault, str(fault)))
            if not self._established():
                return False
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._wrap()
        self.open = self._handshake()
        return self.open

    def receive(self) -> bytes:
        """Return what has come, at most 16 KiB, b"" if nothing has; raises `TransportLost`."""
        try:
            data = self._sock.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            raise TransportLost(error.strerror or str(error)) from None
        if not data:
            raise TransportLost("closed by the broker")
        return data

    def was_last(self, data: bytes) -> bool:
        """Whether nothing more can have come with what `receive` gave (TLS may hold more)."""
        return len(data) < RECEIVE_BYTES and self._target.tls is None

    def send(self, data: bytes) -> None:
        """Send now or as soon as the socket takes it; ask `has_room` first."""
        self._out += data
        self.flush()

    def flush(self) -> None:
        """Send what waits, as far as the socket takes it; raises `TransportLost`."""
        while self._out:
            try:
                sent = self._sock.send(self._out)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except OSError as error:
                raise TransportLost(error.strerror or str(error)) from None
            del self._out[:sent]
        self._want_write(bool(self._out))

    def close(self, *, abort: bool = False) -> None:
        """Close; `abort` resets the connection as a power cut would look to the broker."""
        self.open = False
        fd = self._sock.fileno()
        if fd >= 0:
            self._poller.forget(fd)
        with contextlib.suppress(OSError):
            if abort:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
        with contextlib.suppress(OSError):
            self._sock.close()

    def _begin(self, number: int) -> None:
        self._sock.setblocking(False)
        sources = self._target.sources
        if sources:
            # The port is chosen at connect: one port may then serve several source addresses.
            option = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
            self._sock.setsockopt(socket.IPPROTO_IP, option, 1)
            self._sock.bind((sources[number % len(sources)], 0))
        fault = self._sock.connect_ex(self._target.address)
        if fault and fault not in _LATER:
            raise OSError(fault, errno.errorcode.get(fault, str(fault)))

    def _established(self) -> bool:
        try:
            self._sock.getpeername()
        except OSError:
            return False
        return True

    def _wrap(self) -> None:
        self._shaking = True
        if self._target.tls is not None:
            self._sock = self._target.tls.wrap_socket(
                self._sock, server_hostname=self._target.server_name, do_handshake_on_connect=False
            )

    def _handshake(self) -> bool:
        if isinstance(self._sock, ssl.SSLSocket):
            try:
                self._sock.do_handshake()
            except ssl.SSLWantReadError:
                self._want_write(False)
                return False
            except ssl.SSLWantWriteError:
                self._want_write(True)
                return False
            except (ssl.SSLEOFError, ConnectionError) as error:
                raise TransportLost(str(error)) from None
            except ssl.SSLError as error:
                why = error.reason or str(error)
                raise TlsRefused(
                    f"broker TLS: {why}; check --ca-file, the host's name and the certificates"
                ) from None
        self._want_write(False)
        return True

    def _want_write(self, wanted: bool) -> None:
        if wanted != self._writing:
            self._writing = wanted
            self._poller.change(self._sock.fileno(), writing=wanted)
