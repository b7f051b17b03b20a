//! The rows of observations: what happened inside a trace.

use super::{
    fields::Fields,
    random::{Random, push_uuid},
    rows::{Rows, Shared},
};

/// Name, id in `models`, prompt and completion price of one token in 10^-9 dollars.
pub(super) const MODELS: &[(&str, &str, u64, u64)] = &[
    ("gpt-4o-2024-08-06", "clm0gpt4o00000000000000001", 2_500, 10_000),
    ("gpt-4o-mini-2024-07-18", "clm0gpt4omini0000000000002", 150, 600),
    ("claude-3-5-sonnet-20241022", "clm0claude35sonnet00000003", 3_000, 15_000),
];

/// Prompts per project.
pub(super) const PROMPTS: u64 = 3;

/// The id of a project's `number`-th prompt.
pub(super) fn prompt_id(project: &str, number: u64) -> String {
    format!("{project}-prompt-{number}")
}

impl Rows {
    /// Two rows of `observations`: a retrieval span and the generation below it.
    pub(super) fn observations(&self, out: &mut Vec<u8>, number: u64) {
        let shared = self.shared(number);
        let mut random = Random::of(self.seed, 4, number);
        let span = (random.next(), random.next());
        let middle = shared.began + 20 + random.below(180).cast_signed();
        self.span(out, number, &shared, span, middle, &mut random);
        self.generation(out, number, &shared, span, middle, &mut random);
    }

    fn span(
        &self,
        out: &mut Vec<u8>,
        number: u64,
        shared: &Shared<'_>,
        id: (u64, u64),
        end: i64,
        random: &mut Random,
    ) {
        push_uuid(out, id.0, id.1);
        let mut fields = Fields(out);
        fields.text("retrieval");
        fields.time(&self.timeline, shared.began + 5);
        fields.time(&self.timeline, end);
        fields.null();
        fields.text("SPAN");
        fields.uuid(shared.id);
        fields.some(random.percent(60), random.pick(&self.text.span_metadata));
        fields.nulls(2);
        fields.some(true, random.pick(&self.text.span_inputs));
        fields.null();
        let failed = random.percent(1);
        fields.text(if failed { "ERROR" } else { "DEFAULT" });
        fields.some(failed, b"index handbook-v3 did not answer within 2 s");
        fields.null();
        fields.text("0\t0\t0");
        fields.null();
        fields.text(shared.project);
        fields.time(&self.timeline, self.timeline.created(number, shared.began));
        fields.nulls(6);
        fields.time(&self.timeline, self.timeline.created(number, end));
        fields.nulls(4);
        out.push(b'\n');
    }

    fn generation(
        &self,
        out: &mut Vec<u8>,
        number: u64,
        shared: &Shared<'_>,
        parent: (u64, u64),
        start: i64,
        random: &mut Random,
    ) {
        let (model, model_id, prompt_price, completion_price) = *random.pick(MODELS);
        let (prompt_tokens, completion_tokens) = (random.below(3000) + 40, random.below(600) + 1);
        let end = start + 300 + random.below(6000).cast_signed();
        push_uuid(out, random.next(), random.next());
        let mut fields = Fields(out);
        fields.some(random.percent(98), b"answer");
        fields.time(&self.timeline, start);
        fields.time(&self.timeline, end);
        fields.uuid(parent);
        fields.text("GENERATION");
        fields.uuid(shared.id);
        fields.some(random.percent(40), random.pick(&self.text.span_metadata));
        fields.text(model);
        fields.text("{\"temperature\": 0.2, \"max_tokens\": 600}");
        fields.some(true, random.pick(&self.text.prompts));
        fields.some(random.percent(98), random.pick(&self.text.outputs));
        fields.text("DEFAULT");
        fields.null();
        fields.time(&self.timeline, start + 120);
        fields.number(completion_tokens);
        fields.number(prompt_tokens);
        fields.number(prompt_tokens + completion_tokens);
        fields.null();
        fields.text(shared.project);
        fields.time(&self.timeline, self.timeline.created(number, start));
        fields.text("TOKENS");
        fields.some(random.percent(50), prompt_id(shared.project, random.below(PROMPTS)).as_bytes());
        fields.nulls(3);
        fields.text(model);
        fields.time(&self.timeline, self.timeline.created(number, end));
        fields.dollars(prompt_tokens * prompt_price);
        fields.dollars(completion_tokens * completion_price);
        fields.dollars(prompt_tokens * prompt_price + completion_tokens * completion_price);
        fields.text(model_id);
        out.push(b'\n');
    }
}
