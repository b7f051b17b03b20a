//! Primary or canary: the decision of ingress-nginx's `balancer.lua`, as one pure function.
//!
//! Its rule: the same order as the Lua (affinity, header, cookie, weight) and the same silences.

use super::model::{Policy, Routing, Upstream};

/// What of a request the decision looks at.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// All headers nginx would know of (names with underscores are already dropped).
    pub headers: &'a http::HeaderMap,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'a> {
    /// The upstream of the main Ingress.
    Primary(&'a Upstream),
    /// The upstream of the canary Ingress.
    Canary(&'a Upstream),
    /// 503: the primary has no endpoints, whatever the canary has (trap 4).
    Nobody,
}

/// Chooses for one request. `roll(total)` draws a number of `1..=total`, once at most.
pub fn choose<'a>(
    routing: &'a Routing,
    primary: &str,
    request: Request<'_>,
    roll: impl FnOnce(i64) -> i64,
) -> Choice<'a> {
    let Some(primary) = routing.upstreams.get(primary).filter(|upstream| !upstream.endpoints.is_empty())
    else {
        return Choice::Nobody;
    };
    match canary_of(routing, primary) {
        Some(canary) if takes(primary, canary, request, roll) => Choice::Canary(canary),
        _ => Choice::Primary(primary),
    }
}

/// The first alternative, if it has endpoints: without them all traffic stays on the primary (traps 3, 10).
fn canary_of<'a>(routing: &'a Routing, primary: &Upstream) -> Option<&'a Upstream> {
    let name = primary.alternatives.first()?;
    routing.upstreams.get(name).filter(|upstream| !upstream.endpoints.is_empty())
}

fn takes(primary: &Upstream, canary: &Upstream, request: Request<'_>, roll: impl FnOnce(i64) -> i64) -> bool {
    if affinitized(primary, request) {
        return false;
    }
    if affinitized(canary, request) {
        return true;
    }
    by_header(&canary.policy, request)
        .or_else(|| by_cookie(&canary.policy, request))
        .unwrap_or_else(|| by_weight(&canary.policy, roll))
}

/// A non-matching value or pattern falls through to cookie and weight (trap 8).
fn by_header(policy: &Policy, request: Request<'_>) -> Option<bool> {
    if policy.header.is_empty() {
        return None;
    }
    // The variable of nginx that the Lua reads has `_` for both.
    let value = request.headers.get(policy.header.replace('_', "-"))?.to_str().ok()?;
    if !policy.header_value.is_empty() {
        return (policy.header_value == value).then_some(true);
    }
    if !policy.header_pattern.is_empty() {
        return match fancy_regex::Regex::new(&policy.header_pattern).map(|pattern| pattern.is_match(value)) {
            Ok(Ok(true)) => Some(true),
            Ok(Ok(false)) => None,
            Ok(Err(_)) | Err(_) => Some(false),
        };
    }
    always_or_never(value)
}

fn by_cookie(policy: &Policy, request: Request<'_>) -> Option<bool> {
    if policy.cookie.is_empty() {
        return None;
    }
    always_or_never(&cookie(request.headers, &policy.cookie)?)
}

fn by_weight(policy: &Policy, roll: impl FnOnce(i64) -> i64) -> bool {
    roll(policy.weight_total.max(100)) <= policy.weight
}

fn always_or_never(value: &str) -> Option<bool> {
    match value {
        "always" => Some(true),
        "never" => Some(false),
        _ => None,
    }
}

fn affinitized(upstream: &Upstream, request: Request<'_>) -> bool {
    let Some(name) = &upstream.affinity else {
        return false;
    };
    cookie(request.headers, name).is_some_and(|value| {
        value.rsplit_once('|').is_some_and(|(_, key)| key == affinity_key(&upstream.name))
    })
}

/// The part of an affinity cookie that names the upstream it belongs to.
pub fn affinity_key(upstream: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(upstream.as_bytes()).iter().take(16).fold(String::new(), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The value of one cookie of a request.
pub fn cookie(headers: &http::HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(http::header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

#[cfg(test)]
mod tests;
