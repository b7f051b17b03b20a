"""The ClickHouse engine in this process (chdb), one connection per request.

One rule: a request never shares a connection, so settings, database and read-only mode end with it; only a
session, which asks for that, keeps one.
Opening one costs 0.1 ms; one more is held for as long as the process lives, because the engine shuts
down with its last connection.
"""

import re
import secrets

from chdb import _chdb

QUOTED = r"`[^`]+`|\"[^\"]+\"|\w+"
# `INSERT INTO [TABLE] name [(columns)] [SETTINGS ...] {FORMAT name | VALUES | end}`: what carries data in
# the request. Anything else that begins with INSERT (INSERT ... SELECT) is a plain statement.
INSERT = re.compile(
    rf"""\s*(INSERT\s+INTO\s+(?:TABLE\s+)?(?:{QUOTED})(?:\s*\.\s*(?:{QUOTED}))?
    (?:\s*\([^()]*(?:\([^()]*\)[^()]*)*\))?(?:\s+SETTINGS\s+[^()]*?)?)
    \s*(?:\bFORMAT\s+(\w+)[ \t\r\f]*;?\n?|\b(VALUES)\b|;?\s*$)""".encode(),
    re.IGNORECASE | re.VERBOSE,
)
TAIL_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*(?:SETTINGS\s[^']*(?:'[^']*'[^']*)*)?;?\s*$", re.IGNORECASE)
# Formats whose pieces can follow one another: chdb formats every streamed piece as a whole document.
STREAMED = re.compile(
    r"(TabSeparated|TSV|CSV|RowBinary|JSONCompactEachRow|JSONCompactStringsEachRow)(WithNames(AndTypes)?)?"
    r"|JSONEachRow|JSONStringsEachRow|JSONLines|NDJSON|TSVRaw|TabSeparatedRaw|LineAsString|RawBLOB|Native|Values"
)


class Refused(Exception):
    """An error as ClickHouse words it: `Code: N. DB::Exception: ...`."""

    def __init__(self, text):
        super().__init__(text)
        found = re.search(r"Code: (\d+)", text)
        self.code = int(found.group(1)) if found else 1002


class Engine:
    """The store of one directory."""

    def __init__(self, path, config_file):
        self._where = "%s?config-file=%s" % (path, config_file)
        self._keeper = _chdb.connect(self._where)
        self.version = self._keeper.query("SELECT version()", "TSV", params={}).bytes().decode().strip()

    def open(self):
        """A connection for one request."""
        return Request(self.connect())

    def connect(self):
        """A connection."""
        return _chdb.connect(self._where)

    def close(self):
        """Lets the engine write what it still holds."""
        self._keeper.close()


class Request:
    """One connection with the settings of one request."""

    def __init__(self, connection):
        self._connection = connection

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Its settings and temporary tables end."""
        self._connection.close()

    @property
    def fresh(self):
        """Whether the user's profile is still to be set."""
        return True

    def settle(self):
        """The profile is set."""

    def set(self, name, value):
        """`SET name = value`, the name checked so that it cannot carry SQL."""
        if not re.fullmatch(r"\w+", name):
            raise Refused("Code: 115. DB::Exception: Unknown setting '%s'. (UNKNOWN_SETTING)" % name)
        self.run("SET %s = '%s'" % (name, value.replace("\\", "\\\\").replace("'", "\\'")))

    def use(self, database):
        """`USE database`."""
        self.run("USE `%s`" % database.replace("\\", "\\\\").replace("`", "\\`"))

    def run(self, sql, output="TabSeparated", params=None):
        """Runs a statement to its end; the whole answer is in memory."""
        return _checked(self._connection.query, sql, output, params=params or {})

    def refuse_several(self, sql):
        """Over HTTP one request is one statement."""
        if _checked(self._connection.classify_query, sql)["statement_count"] > 1:
            raise Refused(
                "Code: 62. DB::Exception: Syntax error (Multi-statements are not allowed). (SYNTAX_ERROR)"
            )

    def insert(self, sql, fmt, chunks):
        """Streams `chunks` into an INSERT; what was not finished is cancelled."""
        handle = _checked(self._connection.send_insert, sql, fmt)
        done = False
        try:
            for piece in chunks:
                if piece:
                    _checked(self._connection.insert_append, handle, piece)
            done = True
            return _checked(self._connection.insert_done, handle)
        finally:
            if not done:
                self._connection.insert_cancel(handle)

    def stream(self, sql, output, params):
        """The pieces of an answer: `(bytes, result)`, the header of the format only once."""
        handle = _checked(self._connection.send_query, sql, output, params=params)
        done, first = False, True
        try:
            while True:
                piece = _checked(self._connection.streaming_fetch_result, handle)
                data = piece.bytes() if piece is not None else b""
                if data:
                    yield (data if first else data[header_length(output, data) :]), piece
                if piece is None or piece.rows_read() == 0:
                    done = True
                    return
                first = False
        except Refused:
            done = True
            raise
        finally:
            if not done:
                self._connection.streaming_cancel_query(handle)


def _checked(call, *args, **kwargs):
    try:
        return call(*args, **kwargs)
    except RuntimeError as why:
        raise Refused(str(why)) from None


def insert_head(text):
    """`(statement, format, data)` when `text` begins an INSERT whose rows come with the request."""
    found = INSERT.match(text)
    if not found:
        return None
    statement, fmt, _ = found.groups()
    return statement.decode(), (fmt or b"Values").decode(), text[found.end() :]


def output_format(sql, default):
    """The format the answer will have: the statement's own FORMAT wins over the request's default."""
    found = TAIL_FORMAT.search(sql)
    return found.group(1) if found else default


def can_stream(sql, fmt):
    """Whether the engine streams this statement, and pieces of this format can follow one another."""
    return bool(re.match(r"\s*(SELECT|WITH)\b|\s*\(", sql, re.IGNORECASE) and STREAMED.fullmatch(fmt))


def header_length(fmt, data):
    """Bytes of the header that chdb repeats in every streamed piece of a ...WithNames format."""
    if "WithNames" not in fmt:
        return 0
    typed = fmt.endswith("AndTypes")
    if fmt.startswith("RowBinary"):
        columns, at = _varint(data, 0)
        for _ in range(columns * (2 if typed else 1)):
            size, at = _varint(data, at)
            at += size
        return at
    at = data.index(b"\n") + 1
    return data.index(b"\n", at) + 1 if typed else at


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def fresh_id():
    """A query id where the client gave none."""
    text = secrets.token_hex(16)
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))
