"""A small ClickHouse HTTP endpoint over chDB, for tests on machines without a ClickHouse server.

It answers as the server's HTTP interface does (ping, statements in the body or the URL, `param_*`,
settings in the URL, compressed bodies both ways, error codes in headers), and runs every statement
on the real engine. It differs from a server in this: one statement at a time, no sessions, no
`client_protocol_version`; a cluster is this one machine, so that `ON CLUSTER` simply runs and
replicated tables are plain ones (chDB makes them, but never lets them become active).
"""

import argparse
import base64
import gzip
import os
import re
import signal
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame

DECODE = {"lz4": lz4.frame.decompress, "gzip": gzip.decompress}
ENCODE = {"lz4": lz4.frame.compress, "gzip": gzip.compress}
TRANSPORT = {
    "buffer_size", "client_protocol_version", "compress", "database", "decompress",
    "enable_http_compression", "http_headers_progress_interval_ms", "query", "query_id",
    "quota_key", "role", "send_progress_in_http_headers", "session_check", "session_id",
    "session_timeout", "wait_end_of_query",
}  # fmt: skip
INSERT = re.compile(rb"\s*INSERT\s+INTO\b[^\n]*\bFORMAT\s+(\w+)\s*\n", re.IGNORECASE)
ON_CLUSTER = re.compile(r" ON CLUSTER '\w+'")
REPLICATED = re.compile(r"Replicated(\w*MergeTree)\('[^']*', '[^']*'(?:, )?")
CLUSTER = """<clickhouse><tcp_port>9000</tcp_port><remote_servers><{name}><shard>
<internal_replication>true</internal_replication>
<replica><host>127.0.0.1</host><port>9000</port></replica></shard></{name}></remote_servers>
<macros><shard>1</shard><replica>one</replica></macros></clickhouse>"""
REFUSED = (
    "Code: 516. DB::Exception: {}: Authentication failed: password is incorrect, or there is no "
    "user with such name. (AUTHENTICATION_FAILED)"
)


class Engine:
    """The chDB engine of this process."""

    def __init__(self, folder: Path, cluster: str, lose: Path | None) -> None:
        self.where, self.lose = str(folder), lose
        if cluster:
            config = folder.with_suffix(".xml")
            config.write_text(CLUSTER.format(name=cluster))
            self.where += f"?config-file={config}"
        self.lock = threading.Lock()
        self.open = chdb.connect(self.where)  # keeps the engine while no statement runs

    def run(self, values: dict[str, str], body: bytes) -> bytes:
        """Run one statement with a request's database, settings and parameters."""
        with self.lock:
            handle = chdb.connect(self.where)
            try:
                if "database" in values:
                    handle.query(f"USE `{values['database']}`")
                for name, value in values.items():
                    if name not in TRANSPORT and not name.startswith("param_"):
                        handle.query(f"SET {name} = '{value}'")
                return self._statement(handle, values, body)
            finally:
                handle.close()

    def _statement(self, handle: Any, values: dict[str, str], body: bytes) -> bytes:
        found = INSERT.match(body)
        if found:
            self._insert(handle, body[: found.start(1)].decode(), found[1].decode(),
                         body[found.end() :])  # fmt: skip
            return b""
        sql = ON_CLUSTER.sub("", "\n".join(filter(None, (values.get("query"), body.decode()))))
        sql = REPLICATED.sub(r"\1(", sql)
        parameters = {name[6:]: v for name, v in values.items() if name.startswith("param_")}
        return bytes(handle.query(sql, "TabSeparated", params=parameters).bytes() or b"")

    def _insert(self, handle: Any, statement: str, form: str, rows: bytes) -> None:
        with NamedTemporaryFile(suffix=".rows") as file:
            file.write(rows)
            file.flush()
            into = re.sub(r"\bFORMAT\s*$", "", statement, flags=re.IGNORECASE)
            handle.query(f"{into} FROM INFILE '{file.name}' FORMAT {form}")
        if self.lose is not None and self.lose.exists():
            self.lose.unlink()
            os.kill(os.getpid(), signal.SIGKILL)  # stored, and nobody is told


class Handler(BaseHTTPRequestHandler):
    """One request: access, body, statement, answer."""

    protocol_version = "HTTP/1.1"
    engine: Engine
    user: str
    password: str

    def do_GET(self) -> None:
        if urlsplit(self.path).path == "/ping":
            self._answer(200, b"Ok.\n")
        else:
            self.do_POST()

    def do_POST(self) -> None:
        body = self._body()
        values = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        if not self._may():
            self._fail(403, REFUSED.format(self.user))
            return
        try:
            result = self.engine.run(values, body)
        except Exception as error:  # noqa: BLE001 - whatever the engine says is the answer
            self._fail(500, str(error))
            return
        self._answer(200, result, compressed=values.get("enable_http_compression") == "1")

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            body = b"".join(parts)
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        encoding = self.headers.get("Content-Encoding", "")
        return DECODE[encoding](body) if encoding else body

    def _may(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        return base64.b64decode(given) == f"{self.user}:{self.password}".encode()

    def _fail(self, status: int, message: str) -> None:
        found = re.search(r"Code: (\d+)", message)
        self._answer(status, message.encode(), code=found[1] if found else "1002")

    def _answer(
        self, status: int, body: bytes, *, code: str = "", compressed: bool = False
    ) -> None:
        self.send_response(status)
        accepted = [e.strip() for e in self.headers.get("Accept-Encoding", "").split(",")]
        encoding = next((e for e in accepted if e in ENCODE), "") if compressed and body else ""
        if encoding:
            body = ENCODE[encoding](body)
            self.send_header("Content-Encoding", encoding)
        if code:
            self.send_header("X-ClickHouse-Exception-Code", code)
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.send_header("X-ClickHouse-Summary", "{}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the tests read what matters from the answers."""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("folder", type=Path)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--user", default="sightline")
    options.add_argument("--password", default="open sesame")
    options.add_argument("--certificate", type=Path, help="PEM with the key; then it is HTTPS")
    options.add_argument("--cluster", default="", help="a cluster of this name, of this machine")
    options.add_argument("--lose-answer", type=Path,
                         help="once this file is there, the next insert is stored and then "
                              "the endpoint dies before it answers")  # fmt: skip
    given = options.parse_args()
    Handler.engine = Engine(given.folder, given.cluster, given.lose_answer)
    Handler.user, Handler.password = given.user, given.password
    server = ThreadingHTTPServer(("127.0.0.1", given.port), Handler)
    if given.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given.certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
