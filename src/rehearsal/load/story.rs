//! What one LLM application tells about one request of its user: a trace in several batches over a few seconds.

use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::rehearsal::clock;

/// Events of an average story: trace, span, generation, their updates, and a score half of the time.
pub const EVENTS: f64 = 6.5;
/// Models that stories name; Langfuse knows all of them.
const MODELS: [&str; 3] = ["gpt-4o", "gpt-4o-mini", "claude-3-5-sonnet-20241022"];
/// Names of traces.
const NAMES: [&str; 4] = ["chat-turn", "rag-answer", "summarise-ticket", "classify-intent"];

/// One story, drawn before it is told.
#[derive(Debug, Clone)]
pub struct Story {
    ids: Ids,
    name: &'static str,
    model: &'static str,
    user: u32,
    session: u32,
    tokens: (u32, u32),
    score: Option<f64>,
    /// Pause before each batch after the first.
    pub pauses: [Duration; 3],
    event_seed: u64,
}

#[derive(Debug, Clone)]
struct Ids {
    trace: String,
    span: String,
    generation: String,
    score: String,
}

impl Story {
    /// Draws a story.
    pub fn draw(dice: &mut StdRng) -> Self {
        let pause = |dice: &mut StdRng| Duration::from_millis(dice.random_range(200..1500));
        Self {
            ids: Ids { trace: id(dice), span: id(dice), generation: id(dice), score: id(dice) },
            name: pick(dice, &NAMES),
            model: pick(dice, &MODELS),
            user: dice.random_range(0..500),
            session: dice.random_range(0..5000),
            tokens: (dice.random_range(50..3000), dice.random_range(5..800)),
            score: dice.random_bool(0.5).then(|| f64::from(dice.random_range(0..=10_u8)) / 10.0),
            pauses: [pause(dice), pause(dice), pause(dice)],
            event_seed: dice.random(),
        }
    }

    /// Batch `part` of four (0..=3), stamped now: creates first, updates after.
    pub fn batch(&self, part: usize) -> Vec<Value> {
        let now = clock::now().to_string();
        let ids = &self.ids;
        let bodies = match part {
            0 => vec![("trace-create", self.trace(&now)), ("span-create", self.span(&now))],
            1 => vec![("generation-create", self.generation(&now))],
            2 => vec![
                ("generation-update", self.generation_update(&now)),
                ("span-update", json!({"id": ids.span, "traceId": ids.trace, "endTime": now})),
            ],
            _ => {
                let output = json!({"id": ids.trace, "output": {"role": "assistant", "content": "Here is what I found."}});
                let mut last = vec![("trace-create", output)];
                last.extend(self.score.map(|score| ("score-create", self.score(score))));
                last
            }
        };
        bodies
            .into_iter()
            .enumerate()
            .map(|(index, (kind, body))| self.event(part, index, kind, &body, &now))
            .collect()
    }

    /// Id of its trace.
    pub fn trace_id(&self) -> &str {
        &self.ids.trace
    }

    fn event(&self, part: usize, index: usize, kind: &str, body: &Value, now: &str) -> Value {
        let number = u128::from(self.event_seed) << 64 | (part as u128) << 8 | index as u128;
        let id = uuid::Builder::from_random_bytes(number.to_be_bytes()).into_uuid().to_string();
        json!({"id": id, "type": kind, "timestamp": now, "body": body})
    }

    fn trace(&self, now: &str) -> Value {
        json!({
            "id": self.ids.trace, "timestamp": now, "name": self.name, "userId": format!("user-{}", self.user),
            "sessionId": format!("session-{}", self.session), "tags": ["live", self.name], "release": "2025.11",
            "metadata": {"region": "eu-west-1", "attempt": 1},
            "input": {"messages": [{"role": "user", "content": "What changed in my order since yesterday?"}]},
        })
    }

    fn span(&self, now: &str) -> Value {
        json!({"id": self.ids.span, "traceId": self.ids.trace, "name": "retrieve", "startTime": now,
               "input": {"query": "order changes", "k": 8}})
    }

    fn generation(&self, now: &str) -> Value {
        json!({"id": self.ids.generation, "traceId": self.ids.trace, "parentObservationId": self.ids.span,
               "name": "answer", "startTime": now, "model": self.model,
               "modelParameters": {"temperature": 0.2, "max_tokens": 800},
               "input": [{"role": "system", "content": "Answer briefly."}]})
    }

    fn generation_update(&self, now: &str) -> Value {
        let (input, output) = self.tokens;
        json!({"id": self.ids.generation, "traceId": self.ids.trace, "endTime": now,
               "output": {"role": "assistant", "content": "Your order was packed."},
               "usage": {"input": input, "output": output, "total": input + output, "unit": "TOKENS"}})
    }

    fn score(&self, value: f64) -> Value {
        json!({"id": self.ids.score, "traceId": self.ids.trace, "name": "helpfulness", "value": value,
               "dataType": "NUMERIC"})
    }
}

fn id(dice: &mut StdRng) -> String {
    uuid::Builder::from_random_bytes(dice.random()).into_uuid().to_string()
}

fn pick<'a>(dice: &mut StdRng, from: &[&'a str]) -> &'a str {
    from.get(dice.random_range(0..from.len())).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use std::collections::BTreeSet;

    #[test]
    fn a_story_has_the_stated_length_and_distinct_events() {
        let mut dice = StdRng::seed_from_u64(1);
        let mut ids = BTreeSet::new();
        let mut count = 0;
        for _ in 0..200 {
            let story = Story::draw(&mut dice);
            for event in (0..4).flat_map(|part| story.batch(part)) {
                assert!(event["body"]["id"].is_string());
                ids.insert(event["id"].to_string());
                count += 1;
            }
        }
        assert_eq!(ids.len(), count);
        assert!((f64::from(u32::try_from(count).unwrap()) / 200.0 - EVENTS).abs() < 0.2, "{count}");
    }

    #[test]
    fn the_same_seed_tells_the_same_story() {
        let one = Story::draw(&mut StdRng::seed_from_u64(7));
        let two = Story::draw(&mut StdRng::seed_from_u64(7));
        assert_eq!(one.trace_id(), two.trace_id());
    }
}
