// Langfuse's JS SDK 3 as a program uses it; prints one line of JSON about what it sent and was told.
// Its one argument is a JSON object: host, public_key, secret_key, run (a prefix of every id).

const job = JSON.parse(process.argv[2]);
const run = job.run;
// By itself the SDK cuts an event at 1 MB and a batch at 2.5 MB: whoever raises both meets the server's limit.
process.env.LANGFUSE_MAX_EVENT_SIZE_BYTES = "20000000";
process.env.LANGFUSE_MAX_BATCH_SIZE_BYTES = "20000000";

const { Langfuse } = await import("langfuse");

// The SDK writes errors to the console only; every answer is seen here.
const answers = [];
const fetched = globalThis.fetch;
globalThis.fetch = async (url, options) => {
  const response = await fetched(url, options);
  answers.push(`${options?.method ?? "GET"} ${response.status}`);
  return response;
};

function client(secretKey = job.secret_key) {
  return new Langfuse({
    publicKey: job.public_key, secretKey, baseUrl: job.host,
    flushAt: 50, fetchRetryCount: 0, requestTimeout: 20000,
  });
}

function told() {
  return { answers: [...new Set(answers.splice(0))].sort() };
}

async function authorised(langfuse) {
  try {
    return (await langfuse.api.projectsGet()).data.length === 1;
  } catch (error) {
    return String(error?.status ?? error);
  }
}

// A trace with a tree below it, each changed after it was created.
function send(langfuse) {
  const trace = langfuse.trace({
    id: `${run}-t`, name: "chat", userId: "ada", sessionId: `${run}-session`, tags: ["b", "a"],
    metadata: { run }, input: { question: "why?" }, release: "r1", version: "v1",
  });
  const span = trace.span({ id: `${run}-s`, name: "retrieve", input: { k: 3 }, metadata: { index: "docs" } });
  const generation = span.generation({
    id: `${run}-g`, name: "answer", model: "gpt-4o", modelParameters: { max_tokens: 50 },
    input: [{ role: "user", content: "why?" }],
  });
  generation.end({ output: "because", usage: { input: 11, output: 7, total: 18, unit: "TOKENS" } });
  span.event({ id: `${run}-e`, name: "hit", metadata: { score: 0.9 }, level: "WARNING", statusMessage: "far" });
  span.update({ metadata: { hits: 2 } });
  span.end({ output: ["one", "two"] });
  trace.update({ output: { answer: "because" } });
  trace.score({ id: `${run}-sc1`, name: "correct", value: 0.5, comment: "half" });
  generation.score({ id: `${run}-sc2`, name: "tone", value: "friendly", dataType: "CATEGORICAL" });
  langfuse.score({ id: `${run}-sc3`, traceId: `${run}-t`, name: "seen", value: 1, dataType: "BOOLEAN" });
}

// What was sent, through the SDK.
async function read(langfuse) {
  const trace = (await langfuse.fetchTrace(`${run}-t`)).data;
  const ids = (list) => list.map((it) => it.id).sort();
  return {
    name: trace.name,
    latency: trace.latency,
    total_cost: trace.totalCost,
    observations: ids(trace.observations),
    scores: ids(trace.scores),
    listed: ids((await langfuse.fetchTraces({ sessionId: `${run}-session` })).data),
    generations: ids((await langfuse.fetchObservations({ traceId: `${run}-t`, type: "GENERATION" })).data),
  };
}

async function write(langfuse) {
  const report = { auth: await authorised(langfuse) };
  send(langfuse);
  await langfuse.flushAsync();
  report.sent = told();

  const stranger = client("sk-lf-wrong");
  const auth = await authorised(stranger);
  stranger.trace({ id: `${run}-stranger`, name: "never" });
  await stranger.flushAsync();
  report.bad_key = { auth, ...told() };

  langfuse.trace({ id: `${run}-large`, name: "large", input: "x".repeat(6_000_000) });
  await langfuse.flushAsync();
  report.too_large = told();
  langfuse.trace({ id: `${run}-after`, name: "after" });
  await langfuse.flushAsync();
  report.after = told();
  return report;
}

const langfuse = client();
const report = await (job.do === "read" ? read : write)(langfuse);
await langfuse.shutdownAsync();
console.log(JSON.stringify(report));
