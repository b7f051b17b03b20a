use super::*;
use crate::rehearsal::gateway::model::Endpoint;
use rstest::rstest;

const PRIMARY: &str = "langfuse-langfuse-v2-3000";
const CANARY: &str = "langfuse-langfuse-web-3000";

fn endpoint() -> Endpoint {
    Endpoint { address: "10.0.0.1:3000".into(), dial: "127.0.0.1:1".into() }
}

#[expect(clippy::needless_pass_by_value, reason = "tests hand policies over")]
fn pair(policy: Policy) -> Routing {
    let mut routing = Routing::default();
    for (name, alternatives, no_server) in [(PRIMARY, vec![CANARY.to_owned()], false), (CANARY, vec![], true)]
    {
        let policy = if no_server { policy.clone() } else { Policy::default() };
        let upstream = Upstream {
            name: name.into(),
            endpoints: vec![endpoint()],
            alternatives,
            no_server,
            policy,
            ..Upstream::default()
        };
        routing.upstreams.insert(name.into(), upstream);
    }
    routing
}

fn headers(lines: &[(&'static str, &str)]) -> http::HeaderMap {
    lines.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
}

/// `C` canary, `P` primary, `-` nobody.
fn ask(routing: &Routing, lines: &[(&'static str, &str)], rolled: i64) -> char {
    let headers = headers(lines);
    match choose(routing, PRIMARY, Request { headers: &headers }, |_| rolled) {
        Choice::Canary(_) => 'C',
        Choice::Primary(_) => 'P',
        Choice::Nobody => '-',
    }
}

fn weight(weight: i64) -> Policy {
    Policy { weight, ..Policy::default() }
}

#[rstest]
#[case::zero(0, 1, 'P')]
#[case::negative(-5, 1, 'P')]
#[case::on_the_edge(25, 25, 'C')]
#[case::past_the_edge(25, 26, 'P')]
#[case::all(100, 100, 'C')]
#[case::above_all(150, 100, 'C')]
fn weight_decides(#[case] given: i64, #[case] rolled: i64, #[case] want: char) {
    assert_eq!(ask(&pair(weight(given)), &[], rolled), want);
}

#[rstest]
#[case::small_totals_are_100(10, 100)]
#[case::default(100, 100)]
#[case::fine(1000, 1000)]
fn the_roll_is_out_of_the_total(#[case] weight_total: i64, #[case] want: i64) {
    let routing = pair(Policy { weight_total, ..Policy::default() });
    let mut asked = 0;
    choose(&routing, PRIMARY, Request { headers: &headers(&[]) }, |total| {
        asked = total;
        1
    });
    assert_eq!(asked, want);
}

#[rstest]
#[case::always("always", 100, 'C')]
#[case::never("never", 1, 'P')]
#[case::other_falls_to_the_weight("maybe", 50, 'C')]
fn plain_header(#[case] value: &str, #[case] rolled: i64, #[case] want: char) {
    let routing = pair(Policy { header: "x-canary".into(), ..weight(50) });
    assert_eq!(ask(&routing, &[("x-canary", value)], rolled), want);
}

#[test]
fn an_underscore_in_the_name_of_a_header_is_a_hyphen() {
    let routing = pair(Policy { header: "x_canary".into(), ..weight(0) });
    assert_eq!(ask(&routing, &[("x-canary", "always")], 1), 'C');
}

#[rstest]
#[case::equal("v3", 'C')]
#[case::always_is_no_longer_magic("always", 'P')]
#[case::never_falls_to_the_weight("never", 'P')]
fn header_value(#[case] value: &str, #[case] want: char) {
    let policy = Policy { header: "x-canary".into(), header_value: "v3".into(), ..weight(0) };
    assert_eq!(ask(&pair(policy), &[("x-canary", value)], 1), want);
}

#[test]
fn a_header_that_does_not_match_falls_through_to_the_weight() {
    let policy = Policy { header: "x-canary".into(), header_value: "v3".into(), ..weight(100) };
    assert_eq!(ask(&pair(policy), &[("x-canary", "never")], 100), 'C');
}

#[rstest]
#[case::cohort(r"^Basic\s(cGst|abcd)", "Basic cGstbGY=", 'C')]
#[case::other_cohort(r"^Basic\s(cGst|abcd)", "Basic zzzz", 'P')]
#[case::broken_pattern_never_matches(r"^(", "anything", 'P')]
fn header_pattern(#[case] pattern: &str, #[case] value: &str, #[case] want: char) {
    let policy = Policy { header: "authorization".into(), header_pattern: pattern.into(), ..weight(0) };
    assert_eq!(ask(&pair(policy), &[("authorization", value)], 1), want);
}

#[test]
fn the_value_beats_the_pattern() {
    let policy = Policy {
        header: "x-canary".into(),
        header_value: "one".into(),
        header_pattern: ".*".into(),
        ..weight(0)
    };
    assert_eq!(ask(&pair(policy), &[("x-canary", "two")], 1), 'P');
}

#[rstest]
#[case::cookie_beats_weight(&[("cookie", "a=b; canary=always")], 100, 'C')]
#[case::cookie_never(&[("cookie", "canary=never")], 1, 'P')]
#[case::cookie_other(&[("cookie", "canary=1")], 1, 'C')]
#[case::header_beats_cookie(&[("x-canary", "never"), ("cookie", "canary=always")], 1, 'P')]
fn cookies(#[case] lines: &[(&'static str, &str)], #[case] rolled: i64, #[case] want: char) {
    let policy = Policy { header: "x-canary".into(), cookie: "canary".into(), ..weight(50) };
    assert_eq!(ask(&pair(policy), lines, rolled), want);
}

#[test]
fn a_canary_without_endpoints_gets_nothing_at_100() {
    let mut routing = pair(weight(100));
    routing.upstreams.get_mut(CANARY).unwrap().endpoints.clear();
    assert_eq!(ask(&routing, &[], 1), 'P');
}

#[test]
fn a_primary_without_endpoints_is_503_at_100() {
    let mut routing = pair(weight(100));
    routing.upstreams.get_mut(PRIMARY).unwrap().endpoints.clear();
    assert_eq!(ask(&routing, &[], 1), '-');
}

#[test]
fn a_second_canary_is_never_asked() {
    let mut routing = pair(weight(0));
    let second = Upstream {
        name: "second".into(),
        endpoints: vec![endpoint()],
        policy: weight(100),
        ..Upstream::default()
    };
    routing.upstreams.insert("second".into(), second);
    routing.upstreams.get_mut(PRIMARY).unwrap().alternatives.push("second".into());
    assert_eq!(ask(&routing, &[], 1), 'P');
}

#[test]
fn a_pinned_client_ignores_the_weight() {
    let mut routing = pair(weight(100));
    for name in [PRIMARY, CANARY] {
        routing.upstreams.get_mut(name).unwrap().affinity = Some("INGRESSCOOKIE".into());
    }
    let cookie = format!("INGRESSCOOKIE=1.2|{}", affinity_key(PRIMARY));
    assert_eq!(ask(&routing, &[("cookie", &cookie)], 1), 'P');
    routing.upstreams.get_mut(CANARY).unwrap().policy = weight(0);
    let cookie = format!("INGRESSCOOKIE=1.2|{}", affinity_key(CANARY));
    assert_eq!(ask(&routing, &[("cookie", &cookie)], 1), 'C');
}
