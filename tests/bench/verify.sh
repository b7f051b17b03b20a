#!/usr/bin/env bash
# How long `cutover verify` takes, and whether it finds what was planted: 1 000 000 traces, or 5 000 000 with SIZE=full.
#
#   cargo build --release && tests/bench/verify.sh
#
# It stands a rehearsal up, copies the traces with `cutover backfill`, plants 137 missing, 5 extra and 41 changed rows
# scattered over the table, and compares. Needs psql, curl and python3. Nothing is left behind.
set -euo pipefail
cd "$(dirname "$0")/../.."

case "${SIZE:-1000000}" in full) TRACES=5000000 ;; *) TRACES=${SIZE:-1000000} ;; esac
CUTOVER=${CUTOVER:-target/release/cutover}
# Whose `backfill` copies the traces.
COPIER=${COPIER:-$CUTOVER}
# So many are made one by one, the rest are their likes, with other ids and times.
BASE=20000
WORK=$(mktemp -d)
chmod 711 "$WORK" # PostgreSQL runs as another user where we are root
PSQL=$(command -v psql || ls /usr/lib/postgresql/*/bin/psql | tail -1)
cleanup() {
    [ -n "${PID:-}" ] && kill "$PID" 2>/dev/null && wait "$PID" 2>/dev/null
    rm -rf "$WORK"
}
trap cleanup EXIT

printf 'description = "by hand"\n[settings]\nbackfill = "off"\n' >"$WORK/off.toml"
"$CUTOVER" rehearse --no-tui --traces "$BASE" --rate 0 --projects 5 --scenario "$WORK/off.toml" --dir "$WORK/world" \
    >"$WORK/info.json" 2>"$WORK/rehearsal.log" &
PID=$!
until [ -s "$WORK/info.json" ]; do
    kill -0 "$PID" || { cat "$WORK/rehearsal.log"; exit 1; }
    sleep 1
done
field() { python3 -c "import json,sys; print(json.load(open('$WORK/info.json'))['$1'])"; }
PG=$(field postgres_url) CH=$(field clickhouse_url) CONFIG=$(field config)
CH_USER=$(python3 -c "import tomllib; print(tomllib.load(open('$CONFIG','rb'))['clickhouse']['user'])")
CH_KEY=$(python3 -c "import tomllib; print(tomllib.load(open('$CONFIG','rb'))['clickhouse']['password'])")
pg() { "$PSQL" "$PG" -qAtX -v ON_ERROR_STOP=1 -c "$1"; }
ch() { curl -sS --fail-with-body -H "X-ClickHouse-User: $CH_USER" -H "X-ClickHouse-Key: $CH_KEY" --data-binary "$1" "$CH/?database=default&mutations_sync=2&max_query_size=10000000"; }

echo "$TRACES traces: writing them into PostgreSQL" >&2
pg "SET synchronous_commit = off; INSERT INTO traces (id, project_id, \"timestamp\", name, user_id, metadata, release, version, public,
    bookmarked, tags, input, output, session_id, created_at, updated_at)
    SELECT gen_random_uuid()::text, project_id, \"timestamp\" - shift, name, user_id, metadata, release, version, public, bookmarked,
    tags, input, output, session_id, created_at - shift, updated_at - shift
    FROM (SELECT *, n * interval '61 seconds' AS shift FROM traces, generate_series(1, $TRACES / $BASE - 1) n) t
    ORDER BY created_at - shift"
echo "copying them" >&2
pg "UPDATE background_migrations SET finished_at = now() WHERE name LIKE '%1216%'" >/dev/null
"$COPIER" --config "$CONFIG" backfill run --table traces --yes >&2
pg "VACUUM ANALYZE traces"

# Before anything is planted: equal, once more with nothing new, and with a day that v2 wrote and nobody copied.
cat >"$WORK/run.py" <<'PY'
import json, os, subprocess, time

def run(cutover, config, *args):
    begun = time.monotonic()
    command = [cutover, "--config", config, "verify", "--table", "traces", "--json", *args]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    out = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1), out
    wall, cpu = time.monotonic() - begun, usage.ru_utime + usage.ru_stime
    return wall, usage.ru_maxrss / 1024, cpu, json.loads(out)
PY
closed() {
    PYTHONPATH=$WORK python3 - "$CUTOVER" "$CONFIG" "$1" <<'PY'
import sys
from run import run
cutover, config, what = sys.argv[1:]
wall, _, _, told = run(cutover, config, "--columns", "scalar")
table = told["tables"][0]
found = ", ".join(f"{count} {kind}" for kind, count in table["differences"].items() if count) or "no difference"
print(f"{what}: {wall:.2f} s, {table['remembered']:,} of {table['rows']:,} rows not read again, {found}")
PY
}
closed "scalars for the first time"
closed "again, nothing new"
# Old enough to be no longer on their way; PostgreSQL's statistics know of them as soon as the session ends.
pg "INSERT INTO traces (id, project_id, \"timestamp\", created_at, updated_at) SELECT 'new-' || n, (SELECT min(id) FROM projects),
    at + interval '1 day', at, at FROM (SELECT now() AT TIME ZONE 'UTC' - interval '90 seconds' AS at) a, generate_series(1, 1000) n"
closed "again, 1000 rows of one new day"
pg "DELETE FROM traces WHERE id LIKE 'new-%'"

# 183 rows, in an order that has nothing to do with their place.
mapfile -t IDS < <(pg "SELECT id FROM traces ORDER BY md5(id || 'x') LIMIT 183")
list() { printf "'%s'," "${IDS[@]:$1:$2}" | sed 's/,$//'; }
ch "ALTER TABLE traces DELETE WHERE id IN ($(list 0 137))"
# Written again with another value: what is not merged yet counts, too.
again() { ch "INSERT INTO traces SELECT * REPLACE ($3) FROM (SELECT * FROM traces WHERE id IN ($(list "$1" "$2")))"; }
again 137 15 "concat(name, '!') AS name"
again 152 10 "concat(ifNull(user_id, ''), '!') AS user_id"
again 162 6 "updated_at + toIntervalMillisecond(1) AS updated_at"
again 168 10 "'{\"changed\":true}' AS output"
ch "INSERT INTO traces SELECT * REPLACE (concat('extra-', id) AS id) FROM (SELECT * FROM traces WHERE id IN ($(list 178 5)))"

echo
PYTHONPATH=$WORK python3 - "$CUTOVER" "$CONFIG" "$TRACES" <<'PY'
import statistics, sys
from run import run
cutover, config, traces = sys.argv[1:]

print(f"{int(traces):,} traces, 137 missing, 5 extra, 41 changed rows (10 of them only in output); median of 3")
print(f"{'columns':<10}{'wall s':>8}{'client CPU s':>14}{'client MiB':>12}{'MB moved':>10}  found")
for columns in ("key", "scalar", "all"):
    runs = [run(cutover, config, "--columns", columns, "--fresh") for _ in range(3)]
    told = runs[0][3]
    table = told["tables"][0]
    found = ", ".join(f"{count} {kind}" for kind, count in table["differences"].items() if count)
    middle = [statistics.median(r[n] for r in runs) for n in range(3)]
    print(f"{columns:<10}{middle[0]:>8.2f}{middle[2]:>14.2f}{middle[1]:>12.0f}{table['received'] / 1e6:>10.1f}  {found}")
    wanted = {"key": (137, 5, 0), "scalar": (137, 5, 31), "all": (137, 5, 41)}[columns]
    got = tuple(table["differences"][kind] for kind in ("missing", "extra", "changed"))
    assert got == wanted, (got, wanted)
PY
cat <<'TEXT'

reladiff 0.6.0 on the same kind of machine and data, measured earlier and not in this run (it wants ClickHouse's native
port): 1M traces, keys 48.0 s at its defaults, 7.0 s at its best tuning; 8 columns 190 s and 29.2 s.
5M traces: keys 206 s and 27.9 s; 8 columns at its best tuning 147 s.
TEXT
