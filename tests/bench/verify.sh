#!/usr/bin/env bash
# How long `cutover verify` takes and whether it finds what was planted, beside reladiff 0.6.0 where that is installed.
#
#   cargo build --release && tests/bench/verify.sh              1 000 000 traces; SIZE=full: 5 000 000; SIZE=N: N (of 20 000)
#   PEERS=1 tests/bench/verify.sh                               installs reladiff into target/bench/venv first
#
# It stands a rehearsal up, copies the traces with `cutover backfill`, plants 137 missing, 5 extra and 41 changed rows
# scattered over the table, and compares: ours and reladiff's on the same databases, one after the other, in this run.
# Needs psql, curl and python3; without python3 or reladiff it says so and prints ours alone. Nothing is left behind.
# RATES=FILE writes the numbers as JSON, too.
set -euo pipefail
cd "$(dirname "$0")/../.."

case "${SIZE:-1000000}" in full) TRACES=5000000 ;; *) TRACES=${SIZE:-1000000} ;; esac
CUTOVER=${CUTOVER:-target/release/cutover}
VENV=${VENV:-target/bench/venv}
command -v python3 >/dev/null || { echo "verify.sh: python3 is missing: it runs the ClickHouse engine, and reladiff" >&2; exit 2; }
if [ -n "${PEERS:-}" ] && [ ! -x "$VENV/bin/reladiff" ]; then
    python3 -m venv "$VENV" && "$VENV/bin/pip" -q --disable-pip-version-check install 'reladiff==0.6.0' clickhouse-driver psycopg2-binary >&2 ||
        echo "reladiff could not be installed; ours alone" >&2
fi
PYTHON=python3
[ -x "$VENV/bin/reladiff" ] && PYTHON=$VENV/bin/python
# So many are made one by one, the rest are their likes, with other ids and times.
BASE=20000
((TRACES > BASE)) || BASE=$TRACES
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
compare() { "$PYTHON" tests/bench/verify.py "$1" "$CUTOVER" "$WORK"; }

echo "$TRACES traces: writing them into PostgreSQL" >&2
((TRACES == BASE)) || pg "SET synchronous_commit = off; INSERT INTO traces (id, project_id, \"timestamp\", name, user_id, metadata, release, version, public,
    bookmarked, tags, input, output, session_id, created_at, updated_at)
    SELECT gen_random_uuid()::text, project_id, \"timestamp\" - shift, name, user_id, metadata, release, version, public, bookmarked,
    tags, input, output, session_id, created_at - shift, updated_at - shift
    FROM (SELECT *, n * interval '61 seconds' AS shift FROM traces, generate_series(1, $TRACES / $BASE - 1) n) t
    ORDER BY created_at - shift"
echo "copying them" >&2
pg "UPDATE background_migrations SET finished_at = now() WHERE name LIKE '%1216%'" >/dev/null
"$CUTOVER" --config "$CONFIG" backfill run --table traces --yes >&2
pg "VACUUM ANALYZE traces"

# Before anything is planted: equal, once more with nothing new, and with a day that nobody copied.
compare first
compare again
# Old enough to be no longer on their way; PostgreSQL's statistics know of them as soon as the session ends.
pg "INSERT INTO traces (id, project_id, \"timestamp\", created_at, updated_at) SELECT 'new-' || n, (SELECT min(id) FROM projects),
    at + interval '1 day', at, at FROM (SELECT now() AT TIME ZONE 'UTC' - interval '90 seconds' AS at) a, generate_series(1, 1000) n"
compare new-day
pg "DELETE FROM traces WHERE id LIKE 'new-%'"

# 183 rows, in an order that has nothing to do with their place. The extra ones have UUIDs, too: reladiff takes no others beside them.
mapfile -t IDS < <(pg "SELECT id FROM traces ORDER BY md5(id || 'x') LIMIT 183")
mapfile -t EXTRA < <(pg "SELECT gen_random_uuid() FROM generate_series(1, 5)")
list() { printf "'%s'," "${IDS[@]:$1:$2}" | sed 's/,$//'; }
ch "ALTER TABLE traces DELETE WHERE id IN ($(list 0 137))"
# Written again with another value: what is not merged yet counts, too.
again() { ch "INSERT INTO traces SELECT * REPLACE ($3) FROM (SELECT * FROM traces WHERE id IN ($(list "$1" "$2")))"; }
again 137 15 "concat(name, '!') AS name"
again 152 10 "concat(ifNull(user_id, ''), '!') AS user_id"
again 162 6 "updated_at + toIntervalMillisecond(1) AS updated_at"
again 168 10 "'{\"changed\":true}' AS output"
for n in {0..4}; do
    ch "INSERT INTO traces SELECT * REPLACE ('${EXTRA[$n]}' AS id) FROM (SELECT * FROM traces WHERE id = '${IDS[$((178 + n))]}')"
done
{
    printf 'missing %s\n' "${IDS[@]:0:137}"
    printf 'name %s\n' "${IDS[@]:137:15}"
    printf 'other %s\n' "${IDS[@]:152:16}"
    printf 'output %s\n' "${IDS[@]:168:10}"
    printf 'extra %s\n' "${EXTRA[@]}"
} >"$WORK/planted"
compare unmerged
# reladiff takes every version of a row for a row of its own: both get the table merged.
ch "OPTIMIZE TABLE traces FINAL"
compare merged
