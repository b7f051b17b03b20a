//! Values over the whole space of their types: what PostgreSQL can hold in the columns of the tables that move.
//!
//! One rule: what no table can hold, or no copy can carry (a bare number as metadata), is not among them.

use cutover::domain::backfill::Table;
use proptest::prelude::*;
use serde_json::Value;

/// Projects of the rows.
pub const PROJECTS: &[&str] = &["whole-1", "whole 2 'é/🦀'"];

/// A value of PostgreSQL as text; `None` is NULL.
pub type Text = Option<String>;

/// A column, the type its texts are cast to, and where they come from.
pub struct Field {
    pub name: &'static str,
    pub cast: &'static str,
    pub values: BoxedStrategy<Text>,
}

fn field(name: &'static str, cast: &'static str, values: impl Strategy<Value = Text> + 'static) -> Field {
    Field { name, cast, values: values.boxed() }
}

/// Any text that PostgreSQL can hold.
pub fn text() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "null",
        "5",
        "{}",
        "a\nb\r\n\t",
        "\u{1}\u{7f}",
        "it's \"q\" \\ /",
        "\u{fffd}\u{10ffff}",
        "🦀é",
    ];
    prop_oneof![
        3 => "[a-z0-9-]{1,30}",
        2 => ".{0,40}",
        1 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        1 => ".{200,400}",
    ]
    .prop_map(|text| text.replace('\0', ""))
}

pub fn some(values: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Text> {
    values.prop_map(Some)
}

fn maybe(values: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = Text> {
    prop::option::weighted(0.7, values)
}

/// One of a few months, from before 1970 to after 2106, any millisecond of it: a partition for each month.
fn moment() -> impl Strategy<Value = String> {
    let months = vec![
        -2_208_000_000_000_i64,
        -1,
        0,
        1_000_000_000_000,
        1_750_000_000_000,
        1_763_000_000_000,
        4_300_000_000_000,
        10_400_000_000_000,
    ];
    (prop::sample::select(months), 0..2_000_000_000_i64).prop_map(|(month, more)| {
        jiff::Timestamp::from_millisecond(month + more).unwrap().strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
    })
}

/// Any JSON, as text: numbers of any length among it, as far as they are doubles to JavaScript; it holds no others.
fn json() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec!["-0.0", "-1.50", "9007199254740993"]).prop_map(str::to_owned);
    json_with(prop_oneof![9 => "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,18})?([eE][+-]?[0-9]{1,2})?", 1 => odd])
}

/// Metadata as applications write it through Langfuse, which spells numbers as JavaScript does: what a key holds, it holds
/// in every row.
pub fn of_javascript() -> impl Strategy<Value = String> {
    let whole = any::<i32>().prop_map(|n| n.to_string());
    let part =
        (1e-6..1e15_f64, any::<bool>()).prop_map(|(n, minus)| (if minus { -n } else { n }).to_string());
    let odd = prop::sample::select(vec!["1e-7", "-1.25e-9", "1e+21", "2.5e+25"]).prop_map(str::to_owned);
    let number = prop_oneof![whole, part, odd].boxed();
    let document = json_with(number.clone())
        .prop_map(|json| if json.starts_with(['{', '[']) { json } else { format!("[{json}]") })
        .boxed();
    let quoted = |text: String| Value::from(text).to_string();
    let words = text().prop_filter("not empty", |text| !text.is_empty()).boxed();
    let kinds: Vec<(&str, BoxedStrategy<String>)> = vec![
        ("n", number.clone()),
        ("doc", document.clone()),
        ("flag", flag().boxed()),
        ("text", words.clone().prop_map(quoted).boxed()),
        ("digits of a text", number.prop_map(quoted).boxed()),
        ("json of a \"text\"", document.prop_map(quoted).boxed()),
        ("null", prop_oneof![Just("null".to_owned()), words.prop_map(quoted)].boxed()),
        ("empty", prop_oneof![Just("\"\"".to_owned()), "[a-z]{1,5}".prop_map(quoted)].boxed()),
    ];
    let kinds = kinds.into_iter().map(|(key, values)| {
        let entry = move |value| format!("{}:{value}", Value::from(key));
        prop::option::weighted(0.6, values.prop_map(entry))
    });
    kinds
        .collect::<Vec<_>>()
        .prop_map(|entries| format!("{{{}}}", entries.into_iter().flatten().collect::<Vec<_>>().join(",")))
}

fn json_with(numbers: impl Strategy<Value = String> + 'static) -> impl Strategy<Value = String> {
    let quoted = || text().prop_map(|text| Value::from(text).to_string());
    let odd = ["null", "true", "false", "0", "\"\"", "[]", "{}"];
    let leaf = prop_oneof![
        1 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
        2 => numbers,
        4 => quoted(),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((text(), inner), 0..5).prop_map(|entries| {
                let entries: Vec<_> = entries
                    .into_iter()
                    .map(|(key, value)| format!("{}: {value}", Value::from(key)))
                    .collect();
                format!("{{{}}}", entries.join(", "))
            }),
        ]
    })
}

/// What can be metadata in v3: not a bare number, not a bare boolean.
fn metadata() -> impl Strategy<Value = String> {
    json().prop_map(|json| match json.as_bytes().first() {
        Some(b'{' | b'[' | b'"') => json,
        _ if json == "null" => json,
        _ => format!("{{\"bare\": {json}}}"),
    })
}

/// An array as PostgreSQL reads it.
fn tags() -> impl Strategy<Value = String> {
    prop::collection::vec(text(), 0..5).prop_map(|tags| {
        let quoted = |tag: &String| format!("\"{}\"", tag.replace('\\', "\\\\").replace('"', "\\\""));
        format!("{{{}}}", tags.iter().map(quoted).collect::<Vec<_>>().join(","))
    })
}

fn flag() -> impl Strategy<Value = String> {
    any::<bool>().prop_map(|flag| flag.to_string())
}

fn one_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

/// Amounts that fit, with up to thirty decimals.
fn amount() -> impl Strategy<Value = String> {
    prop_oneof!["-?[0-9]{1,5}\\.[0-9]{1,30}", "0\\.0{4,9}[0-9]{1,8}", "0|1|999999"]
}

fn count() -> impl Strategy<Value = String> {
    prop_oneof![any::<i32>().prop_map(|n| n.to_string()), (0..5000_i32).prop_map(|n| n.to_string())]
}

/// JSON can carry no other.
fn finite() -> impl Strategy<Value = String> {
    any::<f64>().prop_filter("finite", |n| n.is_finite()).prop_map(|n| format!("{n:?}"))
}

const MOMENT: &str = "timestamp(3)";

pub fn fields(table: Table) -> Vec<Field> {
    let mut fields = vec![
        field("project_id", "text", some(one_of(PROJECTS))),
        field("created_at", MOMENT, some(moment())),
        field("updated_at", MOMENT, some(moment())),
    ];
    fields.extend(match table {
        Table::Traces => of_traces(),
        Table::Observations => of_observations(),
        _ => of_scores(),
    });
    fields
}

fn texts(fields: &mut Vec<Field>, names: &[&'static str]) {
    fields.extend(names.iter().map(|name| field(name, "text", maybe(text()))));
}

fn documents(fields: &mut Vec<Field>, names: &[&'static str]) {
    fields.extend(names.iter().map(|name| field(name, "jsonb", maybe(json()))));
}

fn of_traces() -> Vec<Field> {
    let mut fields = vec![field("timestamp", MOMENT, some(moment()))];
    texts(&mut fields, &["external_id", "name", "user_id", "release", "version", "session_id"]);
    documents(&mut fields, &["input", "output"]);
    fields.push(field("metadata", "jsonb", maybe(metadata())));
    fields.push(field("tags", "text[]", maybe(tags())));
    fields.extend(["public", "bookmarked"].map(|name| field(name, "boolean", some(flag()))));
    fields
}

fn of_observations() -> Vec<Field> {
    let mut fields = vec![field("start_time", MOMENT, some(moment()))];
    fields.extend(["end_time", "completion_start_time"].map(|name| field(name, MOMENT, maybe(moment()))));
    let types = one_of(&["SPAN", "EVENT", "GENERATION"]);
    fields.push(field("type", "\"ObservationType\"", some(types)));
    let levels = one_of(&["DEBUG", "DEFAULT", "WARNING", "ERROR"]);
    fields.push(field("level", "\"ObservationLevel\"", some(levels)));
    texts(&mut fields, &["trace_id", "name", "parent_observation_id", "status_message", "version"]);
    texts(&mut fields, &["model", "internal_model", "internal_model_id", "unit", "prompt_id"]);
    documents(&mut fields, &["modelParameters", "input", "output"]);
    fields.push(field("metadata", "jsonb", maybe(metadata())));
    for part in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        fields.push(field(part, "integer", some(count())));
    }
    for part in ["input_cost", "output_cost", "total_cost"] {
        fields.push(field(part, "numeric", maybe(amount())));
    }
    for part in ["calculated_input_cost", "calculated_output_cost", "calculated_total_cost"] {
        fields.push(field(part, "numeric", maybe(amount())));
    }
    fields
}

fn of_scores() -> Vec<Field> {
    let mut fields = vec![
        field("timestamp", MOMENT, some(moment())),
        field("name", "text", some(text())),
        field("value", "double precision", maybe(finite())),
    ];
    let sources = one_of(&["ANNOTATION", "API", "EVAL"]);
    fields.push(field("source", "\"ScoreSource\"", some(sources)));
    let kinds = one_of(&["NUMERIC", "CATEGORICAL", "BOOLEAN"]);
    fields.push(field("data_type", "\"ScoreDataType\"", some(kinds)));
    // v2 knows scores of traces only.
    fields.push(field("trace_id", "text", some(text().prop_map(|text| format!("t{text}")))));
    texts(&mut fields, &["comment", "author_user_id", "observation_id", "string_value", "queue_id"]);
    fields
}
