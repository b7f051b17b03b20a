//! What people and models said: JSON fragments, escaped for COPY once and used many times.

use super::random::Random;

const TOPICS: &[&str] = &[
    "the refund policy for annual plans",
    "resetting two-factor authentication",
    "why invoice 2024-118 was charged twice",
    "die Lieferzeit nach München",
    "l’état de ma commande à Besançon",
    "東京オフィスの営業時間",
    "как изменить адрес доставки",
    "exporting traces to a warehouse",
    "rate limits on the batch endpoint",
    "a summary of the attached contract",
    "the weather in Zürich tomorrow 🌦",
    "converting 3,5 l/100 km to mpg",
];
const OPENINGS: &[&str] = &[
    "Could you explain",
    "Please help me with",
    "I have a question about",
    "In two sentences:",
    "As an expert, describe",
    "What should I know about",
];
const ANSWERS: &[&str] = &[
    "Of course. You can find this under Settings → Billing; the change takes effect with the next invoice.",
    "I looked it up: the request was accepted, and no further action is needed on your side.",
    "There are three steps: open the console, choose \"Security\", and confirm with your second factor.",
    "I am not certain. The documentation mentions a limit of 100 requests per minute and key.",
    "Gerne! Die Lieferung dauert in der Regel zwei bis drei Werktage.",
    "はい、平日の午前九時から午後六時まで営業しております。",
    "Here is the summary:\n- term: 24 months\n- notice: 3 months\n- price: fixed",
];
/// Fragments per kind: enough that pages differ, few enough to stay in the processor's cache.
const VARIETY: u64 = 256;

/// Ready fragments.
pub(super) struct Text {
    pub(super) trace_inputs: Vec<Vec<u8>>,
    pub(super) outputs: Vec<Vec<u8>>,
    pub(super) trace_metadata: Vec<Vec<u8>>,
    pub(super) span_inputs: Vec<Vec<u8>>,
    pub(super) prompts: Vec<Vec<u8>>,
    pub(super) span_metadata: Vec<Vec<u8>>,
}

impl Text {
    pub(super) fn new(seed: u64) -> Self {
        let many = |kind, make: fn(&mut Random) -> serde_json::Value| -> Vec<Vec<u8>> {
            (0..VARIETY).map(|number| escaped(&make(&mut Random::of(seed, kind, number)))).collect()
        };
        Self {
            trace_inputs: many(101, trace_input),
            outputs: many(102, output),
            trace_metadata: many(103, trace_metadata),
            span_inputs: many(104, span_input),
            prompts: many(105, prompt),
            span_metadata: many(106, span_metadata),
        }
    }
}

/// JSON as COPY's text format wants it: a backslash of JSON is two, nothing else occurs that it treats specially.
fn escaped(value: &serde_json::Value) -> Vec<u8> {
    value.to_string().replace('\\', "\\\\").into_bytes()
}

fn question(random: &mut Random) -> String {
    format!("{} {}?", random.pick(OPENINGS), random.pick(TOPICS))
}

fn trace_input(random: &mut Random) -> serde_json::Value {
    let question = question(random);
    match random.below(10) {
        0 => serde_json::Value::String(question),
        1 => serde_json::json!([question, random.below(1000)]),
        _ => serde_json::json!({
            "messages": [
                {"role": "system", "content": "Be brief and polite."},
                {"role": "user", "content": question},
            ],
            "temperature": (random.below(11) as f64) / 10.0,
        }),
    }
}

fn output(random: &mut Random) -> serde_json::Value {
    let answer = random.pick(ANSWERS);
    match random.below(8) {
        0 => serde_json::Value::String((*answer).to_owned()),
        _ => serde_json::json!({
            "role": "assistant",
            "content": answer,
            "finish_reason": if random.percent(95) { "stop" } else { "length" },
        }),
    }
}

fn trace_metadata(random: &mut Random) -> serde_json::Value {
    match random.below(20) {
        0 => serde_json::json!(["imported", random.below(100)]),
        1 => serde_json::Value::String("replayed from the queue".into()),
        _ => serde_json::json!({
            "region": random.pick(&["eu-west-1", "us-east-1", "ap-northeast-1"]),
            "customer": {"tier": random.pick(&["free", "team", "enterprise"]), "seats": random.below(500)},
            "experiment": random.percent(10),
            "referrer": null,
        }),
    }
}

fn span_input(random: &mut Random) -> serde_json::Value {
    serde_json::json!({"query": question(random), "top_k": random.below(20) + 1, "index": "handbook-v3"})
}

fn prompt(random: &mut Random) -> serde_json::Value {
    serde_json::json!([{"role": "user", "content": question(random)}])
}

fn span_metadata(random: &mut Random) -> serde_json::Value {
    serde_json::json!({"attempt": random.below(3) + 1, "cache": random.percent(30)})
}
