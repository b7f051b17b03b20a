#!/usr/bin/env python3
"""What `verify.sh` measures: one comparison of ours, or the table of ours beside reladiff's.

    verify.py first|again|new-day|unmerged|merged CUTOVER FOLDER

One rule: every answer is held against what was planted; a quick wrong answer is an error of ours and a remark of theirs.
CPU is that of the processes themselves, from /proc and wait4: client, all of PostgreSQL, ClickHouse with its front.
"""

import http.client
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
import tomllib
import urllib.parse

WHAT, CUTOVER, FOLDER = sys.argv[1:]
INFO = json.load(open(FOLDER + "/info.json"))
CLICKHOUSE = tomllib.load(open(INFO["config"], "rb"))["clickhouse"]
TICKS = os.sysconf("SC_CLK_TCK")
# What reladiff can compare without a false alarm: not `name` (NULL there is '' in v3), no flags, arrays or JSON.
COLUMNS = "project_id timestamp user_id session_id release version created_at updated_at".split()
TUNED = "--bisection-factor 64 --bisection-threshold 100000 -j 4".split()
# Longer than this nobody waits for it.
PATIENCE = int(os.environ.get("PATIENCE", "2400"))


def stat(pid):
    """Parent, own CPU seconds and those of the children that ended."""
    with open("/proc/%s/stat" % pid) as file:
        fields = file.read().rsplit(")", 1)[1].split()
    user, system, gone_user, gone_system = map(int, fields[11:15])
    return int(fields[1]), (user + system) / TICKS, (gone_user + gone_system) / TICKS


def tree_cpu(root):
    """CPU seconds of a process, its children, and those of them that have ended."""
    total = sum(stat(root)[1:])
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            parent, own, _ = stat(pid)
        except OSError:
            continue
        total += own if parent == root else 0
    return total


def servers():
    """The process ids of PostgreSQL and of the ClickHouse front, children of the rehearsal."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open("/proc/%s/cmdline" % pid, "rb").read().decode(errors="replace").split("\0")
        except OSError:
            continue
        if not any(word.startswith(FOLDER) for word in words):
            continue
        if os.path.basename(words[0]) == "postgres":
            found["pg"] = int(pid)
        elif "front" in words[-2] or any("front.py" in word for word in words):
            found["ch"] = int(pid)
    return found


SERVERS = servers()


def measure(command, **more):
    """Runs a program; gives its output and what it cost: wall, CPU of client, PostgreSQL, ClickHouse, peak MiB."""
    before = {name: tree_cpu(pid) for name, pid in SERVERS.items()}
    begun = time.monotonic()
    with open(FOLDER + "/out", "w+b") as out:
        child = subprocess.Popen(command, stdout=out, **more)
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() - begun > PATIENCE:
                child.kill()
                os.wait4(child.pid, 0)
                return None, {"wall": PATIENCE, "more": True}
            time.sleep(0.005)
        cost = {"wall": time.monotonic() - begun, "client": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss / 1024}
        child.returncode = os.waitstatus_to_exitcode(status)
        cost.update({name: tree_cpu(pid) - before[name] for name, pid in SERVERS.items()})
        cost["code"] = child.returncode
        out.seek(0)
        return out.read().decode(), cost


def ours(*args):
    command = [CUTOVER, "--config", INFO["config"], "verify", "--table", "traces", "--json", *args]
    text, cost = measure(command)
    assert cost["code"] in (0, 1), text
    told = json.loads(text)
    return told, told["tables"][0], cost


def planted():
    """The ids by what was done to them."""
    out = {}
    for line in open(FOLDER + "/planted"):
        kind, row = line.split()
        out.setdefault(kind, set()).add(row)
    return out


def expected(columns):
    """The ids that a comparison of these columns has to name, by kind."""
    rows = planted()
    changed = {"key": [], "peer": ["other"], "scalar": ["name", "other"], "all": ["name", "other", "output"]}[columns]
    return {"missing": rows["missing"], "extra": rows["extra"], "changed": set().union(*(rows[k] for k in changed))}


def ours_checked(columns, times):
    """The median run; the very ids that were planted, or it is an error."""
    runs = []
    for _ in range(times):
        told, table, cost = ours("--columns", columns, "--fresh")
        found = {kind: {f["id"] for f in told["findings"] if f["difference"] == kind} for kind in ("missing", "extra", "changed")}
        assert told["findings_complete"] and found == expected(columns), (columns, table["differences"])
        assert len(told["findings"]) == sum(map(len, found.values())), table["differences"]
        cost["mb"], cost["rows"] = table["received"] / 1e6, table["rows"]
        runs.append(cost)
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def keep(name, value):
    """For whoever asked for the numbers as JSON."""
    if path := os.environ.get("RATES"):
        have = json.load(open(path)) if os.path.exists(path) and os.path.getsize(path) else {}
        have[name] = value
        json.dump(have, open(path, "w"), indent=1)


def counts(found):
    return "%d missing, %d extra, %d changed" % tuple(len(found[k]) for k in ("missing", "extra", "changed"))


def line(who, what, cost, found, times=""):
    wall = "> %d" % cost["wall"] if cost.get("more") else "%.2f" % cost["wall"]
    cpu = ["%.2f" % cost[key] if key in cost else "-" for key in ("client", "pg", "ch")]
    print("%-34s%-12s%9s%9s%9s%9s%7s%8s  %s" % (who, what, wall, *cpu, "%.0f" % cost["mib"] if "mib" in cost else "-", times, found))


def single(text):
    _, table, cost = ours("--columns", "scalar")
    found = ", ".join("%d %s" % (n, kind) for kind, n in table["differences"].items() if n) or "no difference"
    print("%s: %.2f s, %s of %s rows not read again, %s" % (text, cost["wall"], f"{table['remembered']:,}", f"{table['rows']:,}", found))
    keep(WHAT, {**cost, "rows": table["rows"]})


class Front:
    """The native protocol for reladiff, in a process of its own."""

    def __enter__(self):
        here = os.path.dirname(os.path.abspath(__file__))
        command = [sys.executable, here + "/native_front.py", CLICKHOUSE["url"]]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.child.stdout.readline())
        return self

    def __exit__(self, *_):
        self.child.stdin.close()
        self.child.wait(10)

    def cost(self):
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline())

    def overhead(self, times=300):
        """Milliseconds a small query takes, over HTTP and through this front."""
        from clickhouse_driver import Client

        native = Client("127.0.0.1", port=self.port, user=CLICKHOUSE["user"], password=CLICKHOUSE["password"])
        url = urllib.parse.urlsplit(CLICKHOUSE["url"])
        direct = http.client.HTTPConnection(url.hostname, url.port)
        head = {"X-ClickHouse-User": CLICKHOUSE["user"], "X-ClickHouse-Key": CLICKHOUSE["password"], "X-ClickHouse-Format": "Native"}

        def http_query():
            direct.request("POST", "/", "SELECT 1", head)
            direct.getresponse().read()

        out = []
        for query in (http_query, lambda: native.execute("SELECT 1")):
            query()
            begun = time.monotonic()
            for _ in range(times):
                query()
            out.append((time.monotonic() - begun) / times * 1000)
        return out


def peer(front, columns, more):
    """A run of reladiff: cost, what it named, and what the front took of it."""
    where = "clickhouse://%s:%s@127.0.0.1:%d/default" % (CLICKHOUSE["user"], CLICKHOUSE["password"], front.port)
    command = [shutil.which("reladiff", path=os.path.dirname(sys.executable)), INFO["postgres_url"], "traces", where, "traces"]
    # Sorting the result fails where a column is NULL on one side.
    command += ["-k", "id", "--json", "--skip-sort-results", *more]
    for column in columns:
        command += ["-c", column]
    before = front.cost()
    with open(FOLDER + "/reladiff.log", "wb") as log:
        text, cost = measure(command, stderr=log, env={**os.environ, "COLUMNS": "100000"})
    after = front.cost()
    cost["front"] = {key: after[key] - before[key] for key in after}
    if text is None:
        return cost, None
    signs = {}
    for row in text.splitlines():
        sign, fields = json.loads(row)
        signs.setdefault(fields[0], set()).add(sign)
    kinds = {"missing": {"-"}, "extra": {"+"}, "changed": {"+", "-"}}
    return cost, {kind: {row for row, seen in signs.items() if seen == want} for kind, want in kinds.items()}


def wrong(found, wanted):
    """What a result has too much and too little, in words."""
    if found is None:
        return "not finished"
    false = sum(len(found[kind] - wanted[kind]) for kind in wanted)
    unseen = sum(len(wanted[kind] - found[kind]) for kind in wanted)
    told = counts(found)
    return told if not false and not unseen else "%s: %d WRONG, %d NOT SEEN" % (told, false, unseen)


def heading():
    print("%-34s%-12s%9s%9s%9s%9s%7s%8s  %s" % ("", "columns", "wall s", "CPU s", "PG CPU", "CH CPU", "MiB", "", "found"))


def beside(ours_by):
    """reladiff at its defaults and at its best tuning, on the very same databases."""
    with Front() as front:
        direct, through = front.overhead()
        print("reladiff 0.6.0, unmodified, through a front that turns ClickHouse's native protocol into its HTTP one:")
        print("a small query takes %.2f ms through it, %.2f ms over HTTP directly" % (through, direct))
        keep("front", {"http_ms": direct, "native_ms": through})
        heading()
        for what, columns, own in (("key", [], "key"), ("8 columns", COLUMNS, "scalar")):
            for name, more in (("defaults (-j1)", []), ("tuned (64, 100000, -j4)", TUNED)):
                cost, found = peer(front, columns, more)
                times = cost["wall"] / ours_by[own]["wall"]
                wanted = expected("key" if own == "key" else "peer")
                line("reladiff " + name, what, cost, wrong(found, wanted), "%.1fx" % times)
                print("%-34s%-12s the front: %d queries, %.1f MB, %.2f CPU s" % ("", "", cost["front"]["queries"], cost["front"]["bytes"] / 1e6, cost["front"]["cpu"]))
                pg = cost.get("pg", 0) / ours_by[own]["pg"] if ours_by[own]["pg"] else 0
                keep("reladiff %s, %s" % (what, "defaults" if not more else "tuned"), {**cost, "times": times, "pg_times": pg, "found": wrong(found, wanted)})
        # With the column that most of its users would name, too.
        cost, found = peer(front, ["name"], TUNED)
        line("reladiff tuned, with NULLs", "name", cost, wrong(found, {**expected("key"), "changed": planted()["name"]}))
        print("(a trace without a name is NULL in v2 and '' in v3, which is no difference)")


def merged():
    ours_by = {columns: ours_checked(columns, 3) for columns in ("key", "scalar", "all")}
    rows = next(iter(ours_by.values()))["rows"]
    print("\n%s traces; 137 missing, 5 extra, 41 changed (15 name, 10 user_id, 6 updated_at, 10 output); ours: median of 3" % f"{rows:,}")
    heading()
    for columns, cost in ours_by.items():
        line("cutover verify", {"key": "key", "scalar": "12 columns", "all": "12 + JSON"}[columns], cost, counts(expected(columns)))
        keep("ours " + columns, cost)
    print()
    try:
        import reladiff  # noqa: F401
    except ImportError:
        print("reladiff is not installed here: ours alone. PEERS=1 installs it into target/bench/venv.")
        return
    beside(ours_by)


def unmerged():
    """Unmerged versions of a row change no answer."""
    for columns in ("key", "scalar", "all"):
        keep("unmerged " + columns, ours_checked(columns, 1))
    print("every planted id and no other, with versions of rows that are not merged yet")


if __name__ == "__main__":
    sentences = {"first": "scalars for the first time", "again": "again, nothing new", "new-day": "again, 1000 rows of one new day"}
    single(sentences[WHAT]) if WHAT in sentences else {"unmerged": unmerged, "merged": merged}[WHAT]()
