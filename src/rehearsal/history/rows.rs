//! The rows of traces, scores and sessions, in COPY's text format.

use super::{
    Options, Project,
    fields::Fields,
    random::{Random, push_number, push_uuid},
    text::Text,
    timeline::Timeline,
};

/// Traces that come after one another from the same client: they share a project and may share a session.
const RUN: u64 = 8;
const NAMES: &[&str] = &["chat-turn", "rag-answer", "summarise", "classify-ticket", "nightly-eval"];
const TAGS: &[&str] =
    &["{}", "{}", "{production}", "{production,eu}", "{beta}", "{\"needs review\",production}"];
/// Everything a row is computed from.
pub(super) struct Rows {
    pub(super) seed: u64,
    pub(super) traces: u64,
    pub(super) timeline: Timeline,
    pub(super) text: Text,
    /// With history only.
    pub(super) projects: Vec<Project>,
}

/// What the rows of one trace agree on.
pub(super) struct Shared<'a> {
    pub(super) project: &'a str,
    pub(super) session: Option<u64>,
    pub(super) id: (u64, u64),
    pub(super) began: i64,
}

impl Rows {
    pub(super) fn new(options: &Options, projects: &[Project]) -> Self {
        Self {
            seed: options.seed,
            traces: options.traces,
            timeline: Timeline::new(options.newest, options.traces, options.tie_group),
            text: Text::new(options.seed),
            projects: projects[..options.projects as usize].to_vec(),
        }
    }

    pub(super) fn shared(&self, number: u64) -> Shared<'_> {
        let mut run = Random::of(self.seed, 1, number / RUN);
        // Squared: the first projects have most of the traffic.
        let share = run.below(1000).pow(2) * self.projects.len() as u64 / 1_000_000;
        let project = &self.projects[share as usize].id;
        let session = run.percent(40).then_some(number / RUN);
        let mut random = Random::of(self.seed, 2, number);
        Shared { project, session, id: (random.next(), random.next()), began: self.timeline.trace(number) }
    }

    /// `number` of the session of a run of traces, where it has one.
    pub(super) fn session(&self, out: &mut Vec<u8>, run: u64) {
        let shared = self.shared(run * RUN);
        let Some(session) = shared.session else { return };
        out.extend_from_slice(b"session-");
        push_number(out, session);
        let mut fields = Fields(out);
        fields.time(&self.timeline, shared.began);
        fields.time(&self.timeline, shared.began);
        fields.text(shared.project);
        fields.text("f");
        fields.text("f");
        out.push(b'\n');
    }

    /// How many runs of traces there are.
    pub(super) fn runs(&self) -> u64 {
        self.traces.div_ceil(RUN)
    }

    /// One row of `traces`, columns as in the schema.
    pub(super) fn trace(&self, out: &mut Vec<u8>, number: u64) {
        let shared = self.shared(number);
        let mut random = Random::of(self.seed, 3, number);
        let created = self.timeline.created(number, shared.began);
        push_uuid(out, shared.id.0, shared.id.1);
        let mut fields = Fields(out);
        fields.time(&self.timeline, shared.began);
        fields.some(random.percent(97), random.pick(NAMES).as_bytes());
        let user = random.below(2000).min(random.below(2000));
        fields.numbered(random.percent(80), "user-", user);
        fields.some(random.percent(85), random.pick(&self.text.trace_metadata));
        fields.some(random.percent(50), b"2.14.0");
        fields.some(random.percent(30), b"v7");
        fields.text(shared.project);
        fields.text(if random.percent(2) { "t" } else { "f" });
        fields.text(if random.percent(1) { "t" } else { "f" });
        fields.text(random.pick(TAGS));
        fields.some(random.percent(96), random.pick(&self.text.trace_inputs));
        fields.some(random.percent(92), random.pick(&self.text.outputs));
        fields.numbered(shared.session.is_some(), "session-", shared.session.unwrap_or_default());
        fields.time(&self.timeline, created);
        fields.time(&self.timeline, created + random.below(4000).cast_signed());
        out.push(b'\n');
    }

    /// One row of `scores`, for every second trace.
    pub(super) fn score(&self, out: &mut Vec<u8>, number: u64) {
        let trace = number * 2;
        let shared = self.shared(trace);
        let mut random = Random::of(self.seed, 5, number);
        push_uuid(out, random.next(), random.next());
        let at = shared.began + 5000 + random.below(60_000).cast_signed();
        let mut fields = Fields(out);
        fields.time(&self.timeline, at);
        let words = random.percent(25);
        if words {
            fields.text("sentiment");
            fields.null();
        } else {
            fields.text("quality");
            fields.text("0.");
            push_number(fields.0, random.below(90) + 10);
        }
        fields.null();
        fields.uuid(shared.id);
        fields.some(random.percent(10), "geprüft – in Ordnung".as_bytes());
        fields.text(random.pick(&["API", "API", "EVAL", "ANNOTATION"]));
        fields.text(shared.project);
        fields.nulls(2);
        fields.text(if words { "CATEGORICAL" } else { "NUMERIC" });
        fields.some(words, random.pick(&["positive", "neutral", "negative"]).as_bytes());
        let created = self.timeline.created(trace, at);
        fields.time(&self.timeline, created);
        fields.time(&self.timeline, created);
        fields.null();
        out.push(b'\n');
    }
}
