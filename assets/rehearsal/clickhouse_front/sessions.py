"""Sessions of ClickHouse's HTTP interface (`session_id`): a connection that outlives its request.

One rule: as in ClickHouse, what the URL of a request sets ends with that request; what its statement set or
created (SET, USE, temporary tables) stays until nobody has asked for the session for `session_timeout`.
"""

import threading
import time

from engine import Refused, Request

# default_session_timeout and max_session_timeout of ClickHouse, seconds.
TIMEOUT, LONGEST = 60, 3600


class Sessions:
    """The sessions of all users, by user and name."""

    def __init__(self, engine):
        self._engine = engine
        self._lock = threading.Lock()
        self._known = {}

    def enter(self, user, params):
        """The session that a request names; its own for as long as the request lasts."""
        name = params["session_id"]
        timeout = lasting(params.get("session_timeout", ""))
        with self._lock:
            self._forget_late()
            session = self._known.get((user, name))
            if session is None:
                if params.get("session_check") == "1":
                    raise Refused("Code: 372. DB::Exception: Session %s not found. (SESSION_NOT_FOUND)" % name)
                session = self._known[(user, name)] = Session(self._engine.connect())
            if session.busy:
                raise Refused(
                    "Code: 373. DB::Exception: Session %s is locked by a concurrent client. (SESSION_IS_LOCKED)" % name
                )
            session.busy, session.timeout = True, timeout
            return session

    def leave(self, user, name):
        """Closes a session that its request has ended (`close_session=1`)."""
        with self._lock:
            session = self._known.pop((user, name), None)
        if session:
            session.close()

    def _forget_late(self):
        now = time.monotonic()
        for key, session in list(self._known.items()):
            if not session.busy and now - session.left > session.timeout:
                del self._known[key]
                session.close()


class Session(Request):
    """One session; a request enters and leaves it as it does a connection of its own."""

    def __init__(self, connection):
        super().__init__(connection)
        self.busy, self.left, self.timeout = False, time.monotonic(), TIMEOUT
        self._undo = None

    def __exit__(self, *_):
        try:
            for statement in reversed(self._undo or ()):
                self.run(statement)
        finally:
            self._undo = []
            self.left, self.busy = time.monotonic(), False

    @property
    def fresh(self):
        return self._undo is None

    def settle(self):
        """The profile is set: from now on changes by a URL are undone."""
        self._undo = []

    def set(self, name, value):
        if not self.fresh:
            found = self.run("SELECT changed, value FROM system.settings WHERE name = {n:String}", params={"n": name})
            changed, _, old = found.bytes().decode().rstrip("\n").partition("\t")
            # TSV escapes as SQL does: the text can stand between quotes again.
            self._undo.append("SET %s = '%s'" % (name, old) if changed == "1" else "SET %s = DEFAULT" % name)
        super().set(name, value)

    def use(self, database):
        if not self.fresh:
            old = self.run("SELECT currentDatabase()").bytes().decode().rstrip("\n")
            self._undo.append("USE `%s`" % old)
        super().use(database)


def lasting(text):
    """`session_timeout` in seconds."""
    if not text:
        return TIMEOUT
    if not text.isdigit():
        raise Refused("Code: 374. DB::Exception: Invalid session timeout: '%s'. (INVALID_SESSION_TIMEOUT)" % text)
    if int(text) > LONGEST:
        raise Refused(
            "Code: 374. DB::Exception: Session timeout '%s' is larger than max_session_timeout: %d. Maximum session "
            "timeout could be modified in configuration file. (INVALID_SESSION_TIMEOUT)" % (text, LONGEST)
        )
    return int(text)
