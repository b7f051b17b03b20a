// The backfill as Langfuse's worker does it, with its own clients: Prisma and @clickhouse/client. One batch at a time,
// JSONEachRow, the cursor after each; without lock and heartbeat, which cost nothing. What it does for each row is told
// in Langfuse's sources (worker/src/backgroundMigrations, convertPostgres*ToInsert).
//
// Usage: node worker.mjs '{"postgres": URL, "clickhouse": URL, "user": .., "password": .., "batch": 1000}'
// Prints one line of JSON: rows and seconds of each table.
import { createClient } from "@clickhouse/client";
import { PrismaPg } from "@prisma/adapter-pg";
import { Prisma, PrismaClient } from "@prisma/client";

const job = JSON.parse(process.argv[2]);
const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: job.postgres }) });
const clickhouse = createClient({
  url: job.clickhouse,
  username: job.user,
  password: job.password,
  database: "default",
  clickhouse_settings: { async_insert: 1, wait_for_async_insert: 1, input_format_read_datetime_number_as_raw_value: 1 },
});

const millis = (date) => date?.getTime() ?? null;
const text = (json) => (json ? JSON.stringify(json) : null);
const metadata = (json) => (typeof json === "string" || Array.isArray(json) ? { metadata: json } : json);
const copied = (row, time) => ({
  ...row,
  created_at: millis(row.created_at),
  updated_at: millis(row.updated_at),
  [time]: millis(row[time]),
  event_ts: millis(row[time]),
  is_deleted: 0,
});
const trace = (row) => ({
  ...copied(row, "timestamp"),
  tags: row.tags ?? [],
  metadata: metadata(row.metadata),
  input: text(row.input),
  output: text(row.output),
});
const count = (tokens) => (tokens >= 0 ? tokens : null);
const cost = (row, prefix) => ({
  input: row[`${prefix}input_cost`]?.toNumber() ?? null,
  output: row[`${prefix}output_cost`]?.toNumber() ?? null,
  total: row[`${prefix}total_cost`]?.toNumber() ?? null,
});
const observation = ({ prompt_tokens, completion_tokens, total_tokens, model, modelParameters, ...row }) => ({
  ...copied(row, "start_time"),
  end_time: millis(row.end_time),
  completion_start_time: millis(row.completion_start_time),
  metadata: metadata(row.metadata),
  input: text(row.input),
  output: text(row.output),
  provided_model_name: model,
  model_parameters: text(modelParameters),
  provided_usage_details: {},
  usage_details: { input: count(prompt_tokens), output: count(completion_tokens), total: count(total_tokens) },
  provided_cost_details: cost(row, ""),
  cost_details: cost(row, "calculated_"),
  total_cost: row.calculated_total_cost?.toNumber() ?? null,
});
const score = (row) => copied(row, "timestamp");

const TABLES = {
  traces: {
    migration: "20241024_1730_migrate_traces_from_pg_to_ch",
    convert: trace,
    select: (below, batch) => Prisma.sql`
      SELECT id, timestamp, name, user_id, metadata, release, version, project_id, public, bookmarked, tags, input, output,
        session_id, created_at, updated_at
      FROM traces t WHERE t.created_at <= ${below} ORDER BY t.created_at DESC LIMIT ${batch}`,
  },
  observations: {
    migration: "20241024_1737_migrate_observations_from_pg_to_ch",
    convert: observation,
    select: (below, batch) => Prisma.sql`
      SELECT o.id, o.trace_id, o.project_id, o.type, o.parent_observation_id, o.start_time, o.end_time, o.name, o.metadata,
        o.level, o.status_message, o.version, o.input, o.output, o.model, o.internal_model_id, o."modelParameters",
        o.prompt_tokens, o.completion_tokens, o.total_tokens, o.completion_start_time, o.prompt_id, p.name AS prompt_name,
        p.version AS prompt_version, o.input_cost, o.output_cost, o.total_cost, o.calculated_input_cost,
        o.calculated_output_cost, o.calculated_total_cost, o.created_at, o.updated_at
      FROM observations o LEFT JOIN prompts p ON o.prompt_id = p.id
      WHERE o.created_at <= ${below} ORDER BY o.created_at DESC LIMIT ${batch}`,
  },
  scores: {
    migration: "20241024_1738_migrate_scores_from_pg_to_ch",
    convert: score,
    select: (below, batch) => Prisma.sql`
      SELECT id, timestamp, project_id, trace_id, observation_id, name, value, source, comment, author_user_id, config_id,
        data_type, string_value, queue_id, created_at, updated_at
      FROM scores s WHERE s.created_at <= ${below} ORDER BY s.created_at DESC LIMIT ${batch}`,
  },
};

async function copy(table, { migration, convert, select }) {
  let [below, rows] = [new Date(), 0];
  const begun = performance.now();
  for (;;) {
    const batch = await prisma.$queryRaw(select(below, job.batch));
    if (batch.length === 0) break;
    await clickhouse.insert({ table, values: batch.map(convert), format: "JSONEachRow" });
    below = batch.at(-1).created_at;
    await prisma.backgroundMigration.update({ where: { name: migration }, data: { state: { maxDate: below } } });
    rows += batch.length;
    if (batch.length < job.batch) break;
  }
  return { rows, seconds: (performance.now() - begun) / 1000 };
}

const told = {};
for (const [table, description] of Object.entries(TABLES)) told[table] = await copy(table, description);
await clickhouse.close();
await prisma.$disconnect();
console.log(JSON.stringify(told));
