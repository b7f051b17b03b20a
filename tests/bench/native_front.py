#!/usr/bin/env python3
"""ClickHouse's native TCP protocol in front of a ClickHouse that only speaks HTTP: for peers that know no HTTP.

    native_front.py HTTP_URL        prints its port on the first line, ends when its standard input does

One rule: it adds nothing and takes nothing away. Every query goes on as it came, `FORMAT Native`; the blocks of the
answer are passed on byte for byte, each in the packet that the protocol wants around it. What it costs is printed at
the end (queries, bytes, its own CPU), so that nobody takes it for the time of the peer or of the server.

It speaks revision 54058 (ClickHouse 1.1), which every client still understands: uncompressed, without settings, and
for SELECT only.
"""

import http.client
import json
import os
import resource
import socket
import socketserver
import struct
import sys
import threading
import urllib.parse

REVISION = 54058
HELLO, QUERY, DATA, CANCEL, PING = range(5)
S_HELLO, S_DATA, S_EXCEPTION, S_PONG, S_END = 0, 1, 2, 4, 5
# Field 1: no overflow row; field 2: bucket -1; end. The HTTP interface leaves it out.
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"
FIXED = {
    **dict.fromkeys(("Int8", "UInt8", "Bool", "Nothing"), 1),
    **dict.fromkeys(("Int16", "UInt16", "Date", "BFloat16"), 2),
    **dict.fromkeys(("Int32", "UInt32", "Float32", "Date32", "DateTime", "IPv4"), 4),
    **dict.fromkeys(("Int64", "UInt64", "Float64", "DateTime64"), 8),
    **dict.fromkeys(("Int128", "UInt128", "UUID", "IPv6"), 16),
    **dict.fromkeys(("Int256", "UInt256"), 32),
}
totals, lock = {"queries": 0, "bytes": 0}, threading.Lock()


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def string(text):
    data = text.encode()
    return varint(len(data)) + data


class Reader:
    """Bytes as they come from the peer."""

    def __init__(self, file):
        self.file = file

    def take(self, n):
        data = self.file.read(n)
        if len(data) < n:
            raise EOFError
        return data

    def varint(self):
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def string(self):
        return self.take(self.varint()).decode()


def read_varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def after_strings(data, at, rows):
    """Where `rows` strings end. A length below 128 is one byte, as nearly all are."""
    for _ in range(rows):
        size = data[at]
        at += 1
        if size > 0x7F:
            size, at = read_varint(data, at - 1)
        at += size
    return at


def after_column(data, at, kind, rows):
    """Where a column's data end."""
    name, _, inner = kind.partition("(")
    if name == "Nullable":
        return after_column(data, at + rows, inner[:-1], rows)
    if name == "String":
        return after_strings(data, at, rows)
    if name == "FixedString":
        return at + rows * int(inner[:-1])
    if name == "Array":
        return after_column(data, at + 8 * rows, inner[:-1], struct.unpack_from("<Q", data, at + 8 * rows - 8)[0] if rows else 0)
    if name.startswith("Enum"):
        return at + rows * int(name[4:]) // 8
    if name == "Decimal":
        digits = int(inner.split(",")[0])
        return at + rows * (4 if digits < 10 else 8 if digits < 19 else 16 if digits < 39 else 32)
    if name in FIXED:
        return at + rows * FIXED[name]
    raise ValueError("the native front cannot tell how long a column of type %s is" % kind)


def blocks(data):
    """The blocks that an answer holds, one after the other."""
    at, view = 0, memoryview(data)
    while at < len(data):
        begin = at
        columns, at = read_varint(data, at)
        rows, at = read_varint(data, at)
        for _ in range(columns):
            size, at = read_varint(data, at)
            at += size
            size, at = read_varint(data, at)
            kind = data[at : at + size].decode()
            at = after_column(data, at + size, kind, rows)
        yield view[begin:at]


class Session(socketserver.StreamRequestHandler):
    """One connection of a peer, and one to the server, kept."""

    disable_nagle_algorithm = True

    def handle(self):
        self.reader = Reader(self.rfile)
        try:
            while True:
                kind = self.reader.varint()
                if kind == HELLO:
                    self.hello()
                elif kind == PING:
                    self.send(varint(S_PONG))
                elif kind == QUERY:
                    self.query()
                elif kind != CANCEL:
                    return
        except (EOFError, ConnectionError):
            pass

    def send(self, *parts):
        for part in parts:
            self.connection.sendall(part)

    def hello(self):
        take = self.reader
        take.string(), take.varint(), take.varint(), take.varint()
        self.database, self.user, self.key = take.string(), take.string(), take.string()
        url = self.server.upstream
        self.upstream = http.client.HTTPConnection(url.hostname, url.port)
        self.upstream.connect()
        self.upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.send(varint(S_HELLO) + string("ClickHouse") + varint(26) + varint(9) + varint(REVISION) + string("UTC"))

    def read_query(self):
        """A Query packet and the empty block after it."""
        take = self.reader
        take.string()
        if take.take(1) != b"\0":
            take.string(), take.string(), take.string(), take.take(1)
            take.string(), take.string(), take.string(), take.varint(), take.varint(), take.varint()
        if take.string():
            raise ValueError("the native front passes no settings on")
        take.varint()
        if take.varint():
            raise ValueError("the native front does not compress")
        text = take.string()
        if take.varint() != DATA:
            raise ValueError("a block was expected after the query")
        take.string(), take.take(len(BLOCK_INFO))
        if take.varint() or take.varint():
            raise ValueError("the native front takes no rows")
        return text

    def query(self):
        try:
            sql = self.read_query()
            answer = self.ask(sql)
            for block in blocks(answer):
                self.send(varint(S_DATA) + string("") + BLOCK_INFO, block)
        except (ValueError, http.client.HTTPException, RuntimeError) as why:
            nothing = string("DB::Exception") + string(str(why)) + string("") + b"\0"
            return self.send(varint(S_EXCEPTION) + struct.pack("<i", 1002) + nothing)
        with lock:
            totals["queries"] += 1
            totals["bytes"] += len(answer)
        self.send(varint(S_END))

    def ask(self, sql):
        headers = {"X-ClickHouse-User": self.user, "X-ClickHouse-Key": self.key, "X-ClickHouse-Format": "Native"}
        where = "/?database=" + urllib.parse.quote(self.database or "default")
        self.upstream.request("POST", where, sql.encode(), headers)
        answer = self.upstream.getresponse()
        data = answer.read()
        if answer.status != 200:
            raise RuntimeError(data.decode(errors="replace").strip())
        return data


class Front(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


def main():
    front = Front(("127.0.0.1", 0), Session)
    front.upstream = urllib.parse.urlsplit(sys.argv[1])
    threading.Thread(target=front.serve_forever, daemon=True).start()
    print(front.server_address[1], flush=True)
    while os.read(0, 4096):
        # A line asks what it cost so far.
        usage = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps({**totals, "cpu": usage.ru_utime + usage.ru_stime}), flush=True)


if __name__ == "__main__":
    main()
