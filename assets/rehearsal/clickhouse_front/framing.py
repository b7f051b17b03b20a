"""How bytes are wrapped on ClickHouse's HTTP interface: request bodies and compressed answers.

One rule: everything here is about framing; nothing knows SQL or the engine.
pyarrow comes with chdb (it requires it), so its LZ4 and ZSTD codecs cost no further dependency.
"""

import re
import struct
import zlib

import pyarrow

READ_SIZE = 1 << 18
LZ4, ZSTD, NONE = 0x82, 0x90, 0x02


class BadFrame(Exception):
    """The body is not framed as its headers say."""


def body_chunks(headers, source):
    """The raw body: `Content-Length` or chunked transfer coding, in pieces of at most READ_SIZE."""
    if "chunked" in headers.get("Transfer-Encoding", "").lower():
        while True:
            line = source.readline(1 << 12)
            try:
                left = int(line.split(b";")[0], 16)
            except ValueError:
                raise BadFrame("chunked body: bad chunk size %r" % line[:40]) from None
            if left == 0:
                while source.readline(1 << 12) not in (b"\r\n", b"\n", b""):
                    pass
                return
            yield from _exactly(source, left)
            source.readline(4)
    else:
        yield from _exactly(source, int(headers.get("Content-Length") or 0))


def _exactly(source, left):
    while left:
        piece = source.read(min(left, READ_SIZE))
        if not piece:
            raise BadFrame("the body ended %d bytes early" % left)
        left -= len(piece)
        yield piece


def decoded(chunks, encoding, native):
    """Undoes `Content-Encoding` and then, for `decompress=1`, ClickHouse's own block framing."""
    encoding = encoding.strip().lower()
    if encoding in ("gzip", "x-gzip", "deflate"):
        chunks = _inflated(chunks, 47 if "gzip" in encoding else 15)
    elif encoding in ("lz4", "zstd"):
        chunks = _arrow_decoded(chunks, encoding)
    elif encoding not in ("", "identity"):
        raise BadFrame("Content-Encoding %s is not offered: use gzip, deflate, lz4 or zstd" % encoding)
    return native_blocks(chunks) if native else chunks


def _inflated(chunks, window):
    inflater = zlib.decompressobj(window)
    try:
        for piece in chunks:
            yield inflater.decompress(piece)
        yield inflater.flush()
    except zlib.error as why:
        raise BadFrame("the compressed body is damaged: %s" % why) from None


def _arrow_decoded(chunks, codec):
    try:
        yield pyarrow.CompressedInputStream(pyarrow.BufferReader(b"".join(chunks)), codec).read()
    except OSError as why:
        raise BadFrame("the compressed body is damaged: %s" % why) from None


def native_blocks(chunks):
    """`decompress=1`: blocks of 16 bytes CityHash128, method, sizes, data.

    This is what the `clickhouse` crate sends for an INSERT. The checksum guards a network; between two
    processes of one machine it is not verified (CityHash128 in Python would cost more than the INSERT).
    """
    have = b""
    for piece in chunks:
        have += piece
        while len(have) >= 25:
            method, packed, plain = struct.unpack_from("<BII", have, 16)
            if len(have) < 16 + packed:
                break
            yield _block(method, have[25 : 16 + packed], plain)
            have = have[16 + packed :]
    if have:
        raise BadFrame("a compressed block ends early: %d bytes left" % len(have))


def _block(method, data, plain):
    if method == NONE:
        return data
    if method not in (LZ4, ZSTD):
        raise BadFrame("compression method 0x%02x is not offered: use LZ4 or ZSTD" % method)
    try:
        codec = pyarrow.Codec("lz4_raw" if method == LZ4 else "zstd")
        return codec.decompress(data, plain, asbytes=True)
    except OSError as why:
        raise BadFrame("a compressed block is damaged: %s" % why) from None


class Encoder:
    """Compresses an answer as the client's `Accept-Encoding` asks; `name` is None for plain bytes."""

    def __init__(self, accept):
        offered = [word.split(";")[0].strip().lower() for word in accept.split(",")]
        self.name = next((name for name in ("lz4", "zstd", "gzip", "deflate") if name in offered), None)
        self._frames = pyarrow.Codec(self.name) if self.name in ("lz4", "zstd") else None
        window = {"gzip": 31, "deflate": 15}.get(self.name)
        self._deflater = zlib.compressobj(3, zlib.DEFLATED, window) if window else None

    def push(self, data):
        """One piece of the answer, complete in itself: LZ4 and ZSTD frames may follow one another."""
        if self._frames:
            return self._frames.compress(data, asbytes=True) if data else b""
        if self._deflater:
            return self._deflater.compress(data) + self._deflater.flush(zlib.Z_SYNC_FLUSH)
        return data

    def finish(self):
        """The end mark, where the coding has one."""
        return self._deflater.flush() if self._deflater else b""


def form_fields(content_type, body):
    """The fields of a multipart/form-data body, as the `clickhouse` crate sends query parameters."""
    found = re.search(r'boundary="?([^";]+)"?', content_type)
    if not found:
        raise BadFrame("multipart/form-data without a boundary")
    fields = {}
    for part in body.split(b"--" + found.group(1).encode())[1:]:
        if part.startswith(b"--"):
            return fields
        head, _, value = part.partition(b"\r\n\r\n")
        name = re.search(rb'name="([^"]*)"', head)
        if not name or b"filename=" in head:
            raise BadFrame("multipart/form-data: only plain fields are offered, no external tables")
        fields[name.group(1).decode()] = value[:-2].decode()
    raise BadFrame("multipart/form-data without its closing boundary")
