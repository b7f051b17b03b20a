// A BullMQ queue and its workers; the version is the first argument (bullmq5, bullmq6), Redis' URL the second.
// Each line of JSON on its input is done and answered by one line: what came of it, and BullMQ's own counts.

import { createInterface } from "node:readline";

const [, , version, address] = process.argv;
const { Queue, QueueEvents, Worker } = await import(version);
const url = new URL(address);
const connection = {
  host: url.hostname, port: Number(url.port), password: decodeURIComponent(url.password),
  db: Number(url.pathname.slice(1) || 0), maxRetriesPerRequest: null,
};

let queue, events, worker, where;

// A worker whose jobs end as `mode` says; answers when `count` of them have. Its locks are short, so that what a
// killed worker held is soon taken back.
function work({ mode, count, lock = 1500 }) {
  const seen = { jobs: [], stalled: 0 };
  const never = new Promise(() => {});
  let begun = 0;
  return new Promise((resolve) => {
    const settle = () => begun === count && resolve(seen);
    worker = new Worker(
      queue.name,
      async (job) => {
        if (mode === "fail") throw new Error(`refused ${job.id}`);
        if (mode === "hold") {
          begun += 1;
          settle();
          await never;
        }
        return { done: job.id };
      },
      { ...where, concurrency: 4, lockDuration: lock, stalledInterval: lock },
    );
    worker.on("stalled", () => (seen.stalled += 1));
    const end = (job) => {
      seen.jobs.push({ id: job.id, name: job.name, data: job.data });
      begun += 1;
      settle();
    };
    if (mode === "done") worker.on("completed", end);
    if (mode === "fail") worker.on("failed", end);
  });
}

const verbs = {
  open: ({ name, prefix }) => {
    where = { connection, ...(prefix ? { prefix } : {}) };
    queue = new Queue(name, where);
  },
  add: async ({ name = "job", data = {}, count = 1, options = {} }) => {
    const jobs = await queue.addBulk(Array.from({ length: count }, () => ({ name, data, opts: options })));
    return { ids: jobs.map((job) => job.id) };
  },
  // Adds one job and waits until whoever works this queue has ended it.
  finish: async ({ name, data, options }) => {
    events ??= new QueueEvents(queue.name, where);
    await events.waitUntilReady();
    const job = await queue.add(name, data, options);
    try {
      await job.waitUntilFinished(events, 60000);
      return { id: job.id, failed: null };
    } catch (error) {
      return { id: job.id, failed: error.message };
    }
  },
  pause: () => queue.pause(),
  resume: () => queue.resume(),
  promote: () => queue.promoteJobs(),
  retry: () => queue.retryJobs({ state: "failed" }),
  work,
  stop: () => worker.close(),
  clear: () => queue.obliterate({ force: true }),
  count: () => {},
};

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  let answer;
  try {
    const came = await verbs[question.do](question);
    answer = { came: came ?? null, counts: await queue.getJobCounts(), paused: await queue.isPaused() };
  } catch (error) {
    answer = { error: String(error.stack ?? error) };
  }
  console.log(JSON.stringify(answer));
}
process.exit(0);
