"""ClickHouse's HTTP interface for a rehearsal, in front of the engine in this process.

Usage: front.py CONFIG.json   (passwords come from the file, never from the arguments)

One rule: answer as ClickHouse 26.9 answers, or say "not implemented" in its words; never pretend.
One thread per connection, one engine connection per request or per session; the engine releases Python's lock while it
works, so a reader is never held up by a long query. The process ends when its standard input closes:
the rehearsal that started it is gone.
"""

import base64
import hmac
import http.server
import json
import os
import secrets
import signal
import sys
import threading
import time
import traceback
import urllib.parse

import engine
import framing
import sessions
from engine import Refused

# Parameters of the HTTP handler itself; every other one is a setting.
RESERVED = frozenset(
    "query database default_format user password query_id quota_key compress decompress buffer_size "
    "wait_end_of_query session_id session_timeout session_check close_session stacktrace role "
    "client_protocol_version".split()
)
# ClickHouse's mapping of exception codes to HTTP statuses (src/Server/HTTP/exceptionCodeToHTTPStatus.cpp).
STATUS = {
    **dict.fromkeys((192, 193, 497, 516), 403),
    **dict.fromkeys((46, 47, 50, 60, 73, 81, 115), 404),
    **dict.fromkeys((6, 26, 27, 36, 38, 41, 53, 62, 69, 70, 72, 117, 130, 131, 161, 456, 457), 400),
    **dict.fromkeys((159,), 408),
    **dict.fromkeys((48,), 501),
    **dict.fromkeys((209, 439), 503),
}
CONTENT_TYPE = {
    "JSON": "application/json; charset=UTF-8",
    "JSONEachRow": "application/x-ndjson; charset=UTF-8",
    "JSONCompactEachRow": "application/x-ndjson; charset=UTF-8",
    "TabSeparated": "text/tab-separated-values; charset=UTF-8",
    "CSV": "text/csv; charset=UTF-8; header=absent",
    "CSVWithNames": "text/csv; charset=UTF-8; header=present",
}
LARGEST_STATEMENT = 256 << 20
HELD_BACK = 1 << 20


class Front(http.server.ThreadingHTTPServer):
    """The listening socket, the engine and the users."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, config):
        self.engine = engine.Engine(config["path"], config["engine_config"])
        self.sessions = sessions.Sessions(self.engine)
        self.users = {user["name"]: user for user in config["users"]}
        super().__init__((config["host"], config["port"]), Handler)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            traceback.print_exc()


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    timeout = 600

    def log_message(self, *_):
        """Requests are not logged: their URLs may hold passwords."""

    def do_GET(self):
        self.answer()

    def do_POST(self):
        self.answer()

    def do_HEAD(self):
        self.plain(200, b"Ok.\n")

    def answer(self):
        url = urllib.parse.urlsplit(self.path)
        if url.path in ("/ping", "/replicas_status"):
            return self.plain(200, b"Ok.\n")
        params = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        if self.command == "GET" and "query" not in params:
            return self.plain(200, b"Ok.\n")
        self.headed = False
        self.query_id = params.get("query_id") or engine.fresh_id()
        self.tag = secrets.token_hex(8)
        self.encoder = framing.Encoder("")
        if params.get("enable_http_compression", "1") != "0":
            self.encoder = framing.Encoder(self.headers.get("Accept-Encoding", ""))
        self.body = framing.body_chunks(self.headers, self.rfile)
        try:
            self.perform(params)
        except Refused as why:
            self.refuse(why)
        except framing.BadFrame as why:
            self.refuse(Refused("Code: 27. DB::Exception: %s. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)" % why))

    def perform(self, params):
        user = self.authenticate(params)
        if params.get("compress", "0") == "1":
            raise not_implemented("compress=1; ask with Accept-Encoding: lz4")
        session = params.get("session_id")
        if session and self.command == "GET":
            raise not_implemented("GET in a session; use POST")
        body = framing.decoded(
            self.body, self.headers.get("Content-Encoding", ""), params.get("decompress", "0") == "1"
        )
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            params.update(framing.form_fields(kind, b"".join(body)))
            body = iter(())
        server = self.server
        with server.sessions.enter(user["name"], params) if session else server.engine.open() as request:
            self.prepare(request, user, params)
            self.execute(request, params, body)
        if session and params.get("close_session") == "1":
            server.sessions.leave(user["name"], session)

    def authenticate(self, params):
        """The user by header pair, Basic or URL, in ClickHouse's order."""
        name, password = params.get("user", "default"), params.get("password", "")
        basic = self.headers.get("Authorization", "")
        if "X-ClickHouse-User" in self.headers:
            name = self.headers["X-ClickHouse-User"]
            password = self.headers.get("X-ClickHouse-Key", "")
        elif basic.startswith("Basic "):
            try:
                name, _, password = base64.b64decode(basic[6:]).decode().partition(":")
            except ValueError:
                name, password = "", ""
        user = self.server.users.get(name)
        expected = user["password"] if user else ""
        if not hmac.compare_digest(password.encode(), expected.encode()) or user is None:
            raise Refused(
                "Code: 516. DB::Exception: %s: Authentication failed: password is incorrect, or there is no "
                "user with such name. (AUTHENTICATION_FAILED)" % name
            )
        return user

    def prepare(self, request, user, params):
        """The user's profile, then read-only mode, then the request's own settings."""
        if request.fresh:
            for name, value in user["settings"].items():
                request.set(name, value)
            readonly = user["readonly"] or (2 if self.command == "GET" else 0)
            if readonly:
                request.set("readonly", str(readonly))
            request.settle()
        database = params.get("database") or self.headers.get("X-ClickHouse-Database")
        if database:
            request.use(database)
        for name, value in params.items():
            if name not in RESERVED and not name.startswith("param_"):
                request.set(name, value)

    def execute(self, request, params, body):
        # As ClickHouse, which counts neither who asks nor the settings.
        self.started = time.monotonic_ns()
        statement = params.get("query", "").encode()
        head = engine.insert_head(statement) if statement else None
        if head is None:
            statement, body = first_part(statement, body)
            head = engine.insert_head(statement)
        if head:
            sql, fmt, data = head
            result = request.insert(sql, fmt, chain(data, body))
            return self.whole("TabSeparated", b"", summary(result, self.started, written=True))
        for piece in body:
            statement += piece
            if len(statement) > LARGEST_STATEMENT:
                raise Refused("Code: 62. DB::Exception: Max query size exceeded. (SYNTAX_ERROR)")
        sql = statement.decode()
        if not sql.strip():
            raise Refused("Code: 62. DB::Exception: Empty query. (SYNTAX_ERROR)")
        request.refuse_several(sql)
        wanted = self.headers.get("X-ClickHouse-Format") or params.get("default_format") or "TabSeparated"
        fmt = engine.output_format(sql, wanted)
        bound = {name[6:]: value for name, value in params.items() if name.startswith("param_")}
        if params.get("wait_end_of_query") == "1" or not engine.can_stream(sql, fmt):
            result = request.run(sql, fmt, bound)
            return self.whole(fmt, result.bytes(), summary(result, self.started))
        self.stream(request.stream(sql, fmt, bound), fmt)

    def stream(self, pieces, fmt):
        """As ClickHouse, holds the first MiB back, so that most errors still get a status of their own."""
        held, result = b"", None
        try:
            for data, result in pieces:
                held += data
                if len(held) >= HELD_BACK:
                    if not self.headed:
                        self.head(fmt, summary(result, self.started))
                    self.chunk(self.encoder.push(held))
                    held = b""
            if not self.headed:
                return self.whole(fmt, held, summary(result, self.started))
            self.chunk(self.encoder.push(held) if held else b"")
        except Refused as why:
            if not self.headed:
                raise
            return self.interrupt(why)
        except OSError:
            self.close_connection = True  # the client left; closing `pieces` cancels the query
            return None
        finally:
            pieces.close()
        self.chunk(self.encoder.finish())
        self.wfile.write(b"0\r\n\r\n")
        return self.wfile.flush()

    def whole(self, fmt, data, totals):
        """A whole answer."""
        self.head(fmt, totals)
        if data:
            self.chunk(self.encoder.push(data))
        self.chunk(self.encoder.finish())
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def head(self, fmt, totals):
        self.drain()
        self.headed = True
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE.get(fmt, "application/octet-stream"))
        self.send_header("X-ClickHouse-Format", fmt)
        self.send_header("X-ClickHouse-Exception-Tag", self.tag)
        self.send_header("X-ClickHouse-Summary", json.dumps(totals, separators=(",", ":")))
        if self.encoder.name:
            self.send_header("Content-Encoding", self.encoder.name)
        self.send_header("Transfer-Encoding", "chunked")
        self.marks()

    def marks(self):
        self.send_header("X-ClickHouse-Server-Display-Name", "rehearsal")
        self.send_header("X-ClickHouse-Query-Id", self.query_id)
        self.send_header("X-ClickHouse-Timezone", "UTC")
        self.end_headers()

    def chunk(self, data):
        if data:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
            self.wfile.flush()

    def refuse(self, why):
        """An error before the first byte of an answer."""
        text = self.worded(why)
        try:
            self.drain()
        except (framing.BadFrame, OSError):
            self.close_connection = True
        self.send_response(STATUS.get(why.code, 500))
        self.send_header("Content-Type", "text/plain; charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-ClickHouse-Exception-Code", str(why.code))
        self.marks()
        self.wfile.write(text)
        self.wfile.flush()

    def interrupt(self, why):
        """An error after it: the tagged trailer of ClickHouse >= 25.11, then the connection ends."""
        text, tag = self.worded(why), self.tag.encode()
        trailer = b"\r\n__exception__\r\n%b\r\n%b%d %b\r\n__exception__\r\n" % (tag, text, len(text), tag)
        self.chunk(self.encoder.push(trailer))
        self.chunk(self.encoder.finish())
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        self.close_connection = True

    def worded(self, why):
        text = str(why).strip()
        if "(version" not in text:
            text += " (version %s)" % self.server.engine.version
        return text.encode() + b"\n"

    def drain(self):
        """Reads what the client still sends, so that the connection can serve its next request."""
        for _ in self.body:
            pass

    def plain(self, status, text):
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
        self.wfile.flush()


def not_implemented(what):
    return Refused("Code: 48. DB::Exception: The rehearsal does not offer %s. (NOT_IMPLEMENTED)" % what)


def first_part(statement, body):
    """Enough of the statement to know an INSERT: the URL's part, a newline, the first 64 KiB of the body."""
    have = statement + b"\n" if statement else b""
    for piece in body:
        have += piece
        if len(have) >= 1 << 16:
            break
    return have, body


def chain(first, rest):
    yield first
    yield from rest


def summary(result, started, written=False):
    """`X-ClickHouse-Summary`: for a streamed answer what was known when the answer began."""
    rows = {"read_rows": 0, "read_bytes": 0, "written_rows": 0, "written_bytes": 0, "total_rows_to_read": 0}
    if result is not None and written:
        rows.update(written_rows=result.rows_written(), written_bytes=result.bytes_written())
        rows.update(read_rows=result.rows_written(), read_bytes=result.bytes_written())
    elif result is not None:
        rows.update(read_rows=result.storage_rows_read(), read_bytes=result.storage_bytes_read())
    result_rows = result.rows_read() if result is not None and not written else rows["written_rows"]
    rows.update(result_rows=result_rows, elapsed_ns=time.monotonic_ns() - started)
    return {name: str(value) for name, value in rows.items()}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        front = Front(json.load(file))
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end, args=(front,)).start())
    threading.Thread(target=watch_parent, args=(front,), daemon=True).start()
    front.serve_forever(poll_interval=0.1)


def watch_parent(front):
    """Standard input is a pipe from the rehearsal: its end means the rehearsal's end."""
    while os.read(0, 4096):
        pass
    end(front)


def end(front):
    """Closes the engine so that nothing is left half written; a query still running is not waited for."""
    threading.Timer(3.0, os._exit, args=(1,)).start()
    front.socket.close()
    front.engine.close()
    os._exit(0)


if __name__ == "__main__":
    main()
