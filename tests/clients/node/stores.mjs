// The official ClickHouse client for Node.js; prints one line of JSON about what it wrote and read.
// Its one argument is a JSON object: url, user, password, database.

import { createClient } from "@clickhouse/client";

const job = JSON.parse(process.argv[2]);
const client = createClient({ url: job.url, username: job.user, password: job.password, database: job.database });
const rows = async (query, query_params) =>
  (await client.query({ query, query_params, format: "JSONEachRow" })).json();

const report = {};
report.ping = (await client.ping()).success;
report.traces = Number((await rows("SELECT count() AS n FROM traces WHERE length(id) > {n: UInt8}", { n: 1 }))[0].n);

const table = "clients_node";
await client.command({ query: `DROP TABLE IF EXISTS ${table}` });
await client.command({
  query: `CREATE TABLE ${table} (id String, at DateTime64(3), tags Array(LowCardinality(String)), details Map(String, UInt64),
    cost Nullable(Decimal64(12))) ENGINE = MergeTree ORDER BY id`,
});
const sent = [
  { id: "a", at: "2025-01-31 10:00:00.123", tags: ["x", "y"], details: { input: 11 }, cost: 0.25 },
  { id: "ü\t'\\", at: "1970-01-01 00:00:00.000", tags: [], details: {}, cost: null },
];
await client.insert({ table, values: sent, format: "JSONEachRow" });
report.read = (await rows(`SELECT id, at, tags, details, toFloat64(cost) AS cost FROM ${table} ORDER BY id`)).map((row) => ({
  ...row, details: Object.fromEntries(Object.entries(row.details).map(([key, value]) => [key, Number(value)])),
}));
report.same = JSON.stringify(report.read) === JSON.stringify(sent);

// A stream of many blocks, read row by row.
const stream = (
  await client.query({ query: "SELECT number FROM system.numbers LIMIT 200000", format: "JSONCompactEachRow" })
).stream();
report.streamed = 0;
for await (const block of stream) report.streamed += block.length;

try {
  await rows("SELECT nonsense FROM traces");
} catch (error) {
  report.error = { code: error.code, type: error.type };
}
try {
  await createClient({ url: job.url, username: job.user, password: "wrong" }).query({ query: "SELECT 1" });
} catch (error) {
  report.wrong_password = error.type;
}
await client.command({ query: `DROP TABLE ${table}` });
await client.close();
console.log(JSON.stringify(report));
