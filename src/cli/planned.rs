//! A plan on paper: patches, guards, the server's word.

use serde_json::{Value, json};

use super::print::put;
use crate::domain::Trouble;
use crate::shift::guard::Check;
use crate::shift::{Guards, Plan, Verdict};

/// What is said of a guard that only a move itself can answer.
const LATER: &str = "asked when it is sent";

type Answer<'a> = Option<&'a Result<(), Trouble>>;

/// For people. `later` are the guards that only a move itself can answer.
pub fn text(plan: &Plan, checks: &Guards, later: &[Check], answer: Answer<'_>) -> String {
    let mut out = format!("{} -> {} on v3: {}\n", plan.from, plan.to, plan.button());
    if plan.patches.is_empty() {
        out.push_str("\nnothing to send: every route is there already\n");
    }
    for patch in &plan.patches {
        let (from, to) = (patch.from, patch.to);
        put(
            &mut out,
            format_args!(
                "\n{}\n  weight {} of {} -> {} of {}\n  {}\n  {}\n",
                patch.object,
                from.value,
                from.total,
                to.value,
                to.total,
                patch.kind.content_type(),
                patch.body
            ),
        );
    }
    if let Some(v3_only) = &plan.v3_only {
        put(&mut out, format_args!("\nv3-only rows, which v2 cannot see: {}\n", v3_only.offer()));
    }
    out.push('\n');
    for check in &checks.0 {
        put(&mut out, format_args!("{:<6} {}: {}\n", word(check.verdict), check.label, check.evidence));
    }
    for check in later {
        put(&mut out, format_args!("-      {}: {LATER}\n", check.label));
    }
    out.push_str(&match answer {
        None => "the server was not asked: there is no connection".to_owned(),
        Some(Ok(())) if plan.patches.is_empty() => String::new(),
        Some(Ok(())) => "the server would accept it (dry run)".to_owned(),
        Some(Err(trouble)) => format!("the server refuses it: {trouble}"),
    });
    out.trim_end().to_owned()
}

/// For scripts. The verdict of a guard of `later` is null.
pub fn json(plan: &Plan, checks: &Guards, later: &[Check], answer: Answer<'_>) -> String {
    let patches: Vec<Value> = plan
        .patches
        .iter()
        .map(|p| {
            json!({
                "object": p.object.to_string(),
                "from": {"value": p.from.value, "total": p.from.total},
                "to": {"value": p.to.value, "total": p.to.total},
                "content_type": p.kind.content_type(),
                "body": p.body,
            })
        })
        .collect();
    let guards: Vec<Value> = checks
        .0
        .iter()
        .map(|c| json!({"id": c.id, "label": c.label, "verdict": word(c.verdict), "evidence": c.evidence}))
        .chain(
            later.iter().map(|c| json!({"id": c.id, "label": c.label, "verdict": null, "evidence": LATER})),
        )
        .collect();
    let server = match answer {
        None => Value::Null,
        Some(Ok(())) => json!({"accepts": true, "reason": null}),
        Some(Err(trouble)) => json!({"accepts": false, "reason": trouble.to_string()}),
    };
    let document = json!({
        "from": plan.from.percent(),
        "to": plan.to.percent(),
        "patches": patches,
        "v3_only": plan.v3_only.as_ref().map(crate::shift::V3Only::sentence),
        "guards": guards,
        "server": server,
    });
    format!("{document:#}")
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Warn => "warn",
        Verdict::Block => "block",
    }
}
