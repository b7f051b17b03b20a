//! Stores that are down, or set up as Langfuse cannot use them; sources that may not look.

use crate::domain::store::{StoreFact, StoreKind, VIEWS, WAY_BACK};
use crate::domain::units::bytes;
use crate::domain::{Kind, Now, SourceId, Trouble};

use super::super::Model;
use super::super::remedy::Remedy;
use super::{Findings, Severity, act, add};

pub(super) fn advise(model: &Model, _: Now, findings: &mut Findings) {
    for kind in StoreKind::ALL {
        if let Some(failure) = model.facts.failure(SourceId::Store(kind)).filter(|f| f.attempts > 1) {
            down(kind, &failure.trouble, findings);
        }
        let Some(store) = model.facts.store(kind).value() else {
            continue;
        };
        full(store, findings);
        for setting in store.settings.iter().filter(|s| s.ok == Some(false)) {
            let value = setting.value.as_deref().unwrap_or("-");
            let title = format!("{}: {} is {value}", kind.name(), setting.name);
            let evidence = format!("{} {}", kind.name(), store.version);
            add(findings, "store-setting", Severity::Warning, title, evidence, setting.advice.clone());
            // The views are made only where nothing graver is missing.
            if setting.name == VIEWS && store.wrong(WAY_BACK).is_none() {
                act(findings, Remedy::Views);
            }
        }
    }
    for id in SourceId::ALL.into_iter().filter(|id| !matches!(id, SourceId::Store(_))) {
        let Some(Trouble { kind, detail, remedy, .. }) = model.facts.failure(id).map(|f| &f.trouble) else {
            continue;
        };
        if matches!(kind, Kind::Forbidden | Kind::Unauthorized) {
            let title = format!("{} may not look: {}", id.name(), kind.word());
            add(findings, "may-not-look", Severity::Warning, title, detail.clone(), remedy.clone());
        }
    }
}

/// What is lost while a store cannot be reached.
fn down(kind: StoreKind, trouble: &Trouble, findings: &mut Findings) {
    let loses = match kind {
        StoreKind::Clickhouse => {
            "a v3 worker drops rows after three failed inserts; S3 keeps them: note the time"
        }
        StoreKind::Postgres => "both versions need it; nothing can be read or copied meanwhile",
        StoreKind::Redis | StoreKind::S3 => {
            "v3 answers 500 to ingestion; SDKs try again for a while, then drop"
        }
    };
    let severity = if trouble.kind == Kind::NotConfigured { Severity::Info } else { Severity::Critical };
    let remedy = if trouble.remedy.is_empty() { loses.to_owned() } else { trouble.remedy.clone() };
    let title = format!("{} cannot be reached: {}", kind.name(), trouble.kind.word());
    add(findings, "store-down", severity, title, trouble.detail.clone(), remedy);
}

/// Above this share of its limit a store is about to refuse writes.
const NEARLY_FULL: f64 = 0.9;

/// Redis without room refuses every write under `noeviction`; ClickHouse without disk fails every insert.
fn full(store: &StoreFact, findings: &mut Findings) {
    let (Some(used), Some(limit)) = (store.used, store.limit.filter(|l| *l > 0)) else {
        return;
    };
    if (used as f64) < limit as f64 * NEARLY_FULL {
        return;
    }
    let (room, remedy) = match store.kind {
        StoreKind::Redis => (
            "memory",
            "give it memory (maxmemory): v3 answers 500 to ingestion while it is full; events are in S3, not in the queue",
        ),
        _ => ("disk", "give it disk: a v3 worker drops rows after three failed inserts"),
    };
    let (severity, left) = if used >= limit {
        (Severity::Critical, format!("{} has no {room} left", store.kind.name()))
    } else {
        (Severity::Warning, format!("{} has little {room} left", store.kind.name()))
    };
    let evidence = format!("{} of {} used", bytes(used), bytes(limit));
    add(findings, "store-full", severity, left, evidence, remedy);
}
