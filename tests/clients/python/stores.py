"""clickhouse-connect over HTTP (its Native format); prints one line of JSON about what it wrote and read.

Its one argument is a JSON object: url, user, password, database.
"""

import datetime as dt
import decimal
import json
import sys
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.exceptions import DatabaseError

JOB = json.loads(sys.argv[1])
AT = urlsplit(JOB["url"])


def connect(password):
    return clickhouse_connect.get_client(
        host=AT.hostname, port=AT.port, username=JOB["user"], password=password, database=JOB["database"]
    )


client = connect(JOB["password"])
report = {"version": client.server_version}
report["traces"] = client.query("SELECT count() FROM traces WHERE length(id) > {n:UInt8}", parameters={"n": 1}).result_rows[0][0]

TABLE = "clients_python"
client.command(f"DROP TABLE IF EXISTS {TABLE}")
client.command(
    f"""CREATE TABLE {TABLE} (id String, at DateTime64(3), tags Array(LowCardinality(String)),
    details Map(String, UInt64), cost Nullable(Decimal64(12)), level LowCardinality(Nullable(String)))
    ENGINE = MergeTree ORDER BY id"""
)
SENT = [
    ("a", dt.datetime(2025, 1, 31, 10, 0, 0, 123000), ["x", "y"], {"input": 11}, decimal.Decimal("0.25"), "WARNING"),
    ("ü\t'\\", dt.datetime(1970, 1, 1), [], {}, None, None),
]
client.insert(TABLE, SENT, column_names=["id", "at", "tags", "details", "cost", "level"])
read = [tuple(row) for row in client.query(f"SELECT * FROM {TABLE} ORDER BY id").result_rows]
report["same"] = read == SENT
report["read"] = repr(read)

# The client asks in a session of its own: what a statement sets stays in it, what a request sets does not.
client.command("CREATE TEMPORARY TABLE mine (n UInt8)")
client.insert("mine", [[1], [2]], column_names=["n"])
client.command("SET max_block_size = 7")
setting = "SELECT getSetting('max_block_size')"
report["session"] = [
    client.query("SELECT sum(n) FROM mine").result_rows[0][0],
    client.query(setting, settings={"max_block_size": 9}).result_rows[0][0],
    client.query(setting).result_rows[0][0],
]
try:
    connect(JOB["password"]).query("SELECT * FROM mine")
except DatabaseError as error:
    report["foreign_session"] = "UNKNOWN_TABLE" in str(error)

# Many blocks, compressed, read as they come.
report["streamed"] = 0
with client.query_row_block_stream("SELECT number FROM system.numbers LIMIT 200000") as stream:
    for block in stream:
        report["streamed"] += len(block)

try:
    client.query("SELECT nonsense FROM traces")
except DatabaseError as error:
    report["error"] = "Code: 47" in str(error) or "code: 47" in str(error)
    report["error_text"] = str(error)[:200]
try:
    connect("wrong")
except DatabaseError as error:
    report["wrong_password"] = str(error)[:200]
client.command(f"DROP TABLE {TABLE}")
print(json.dumps(report))
