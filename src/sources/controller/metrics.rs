//! `nginx_ingress_controller_requests{namespace,ingress,service,canary,status,...}` in Prometheus' text format.
//!
//! One rule: `canary` names the alternative upstream (`<namespace>-<service>-<port>`) when v3 served, and is
//! empty or `-` when v2 did.

use std::collections::HashMap;

use crate::domain::latency::ControllerFact;
use crate::domain::traffic::Route;

const NAME: &str = "nginx_ingress_controller_requests{";

/// Adds one replica's page. Without routes every request with a canary label of any Ingress counts.
pub(super) fn add(fact: &mut ControllerFact, page: &str, routes: &[Route]) {
    for line in page.lines() {
        let Some(rest) = line.strip_prefix(NAME) else {
            continue;
        };
        let Some((labels, value)) = rest.rsplit_once('}') else {
            continue;
        };
        let Some(value) = value.split_whitespace().next().and_then(|v| v.parse::<f64>().ok()) else {
            continue;
        };
        let labels = parse(labels);
        let get = |key: &str| labels.get(key).map_or("", String::as_str);
        if !concerns(routes, get("namespace"), get("service")) {
            continue;
        }
        let requests = value as u64;
        let failed = if get("status").starts_with('5') { requests } else { 0 };
        if matches!(get("canary"), "" | "-") {
            fact.v2_requests = fact.v2_requests.saturating_add(requests);
            fact.v2_errors = fact.v2_errors.saturating_add(failed);
            if get("status") == "404" && may_be_otlp(get("path"), get("method")) {
                fact.v2_otlp_refused = fact.v2_otlp_refused.saturating_add(requests);
            }
        } else {
            fact.v3_requests = fact.v3_requests.saturating_add(requests);
            fact.v3_errors = fact.v3_errors.saturating_add(failed);
        }
    }
}

/// The controller tells the path of its rule, not of the request: only a rule for OTLP alone is certain.
fn may_be_otlp(path: &str, method: &str) -> bool {
    path.starts_with("/api/public/otel") || method == "POST"
}

/// The controller counts a canary's requests under the main Ingress and its Service.
fn concerns(routes: &[Route], namespace: &str, service: &str) -> bool {
    routes.is_empty()
        || routes.iter().any(|r| {
            r.object.namespace == namespace && (r.primary.service == service || r.canary.service == service)
        })
}

/// Labels of one sample; `\"`, `\\` and `\n` are escapes.
fn parse(text: &str) -> HashMap<&str, String> {
    let mut labels = HashMap::new();
    let mut rest = text;
    while let Some((key, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut chars = after.char_indices();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(chars.next().map(|(_, c)| c)),
                c => value.push(c),
            }
        }
        labels.insert(key.trim_start_matches([',', ' ']), value);
        rest = &after[end..];
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shift::plan::tests::route;

    #[test]
    fn sides_by_the_canary_label() {
        let page = "# TYPE nginx_ingress_controller_requests counter\n\
            nginx_ingress_controller_requests{canary=\"\",ingress=\"langfuse\",namespace=\"langfuse\",path=\"/\",service=\"langfuse-v2\",status=\"200\"} 90\n\
            nginx_ingress_controller_requests{canary=\"langfuse-langfuse-web-3000\",ingress=\"langfuse\",namespace=\"langfuse\",path=\"a\\\"b\",service=\"langfuse-v2\",status=\"503\"} 10\n\
            nginx_ingress_controller_requests{canary=\"\",ingress=\"g\",namespace=\"grafana\",service=\"g\",status=\"200\"} 7\n";
        let mut fact = ControllerFact::default();
        add(&mut fact, page, &[route(10)]);
        assert_eq!((fact.v2_requests, fact.v3_requests, fact.v2_errors, fact.v3_errors), (90, 10, 0, 10));
        assert_eq!(fact.v2_otlp_refused, 0);
    }

    #[test]
    fn a_404_of_v2_counts_as_otlp_where_it_can_be_one() {
        let mut fact = ControllerFact::default();
        for (path, method, status, canary, requests) in [
            ("/", "POST", "404", "", 1),
            ("/api/public/otel", "PUT", "404", "-", 10),
            ("/", "GET", "404", "", 100),
            ("/", "POST", "207", "", 1_000),
            ("/", "POST", "404", "langfuse-langfuse-web-3000", 10_000),
        ] {
            let line = format!(
                "{NAME}canary=\"{canary}\",method=\"{method}\",namespace=\"langfuse\",path=\"{path}\",\
                 service=\"langfuse-v2\",status=\"{status}\"}} {requests}\n"
            );
            add(&mut fact, &line, &[route(10)]);
        }
        assert_eq!((fact.v2_requests, fact.v2_otlp_refused), (1_111, 11));
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_page_says_it_is_counted_or_left_out(
            lines in proptest::collection::vec(
                ("[a-z]{0,9}", "[^\n]{0,9}", "[-+0-9.eINnaf]{0,9}", "[{}\", =\\\\]{0,5}"), 0..9),
        ) {
            let line = |(key, value, number, cut): (String, String, String, String)| {
                format!("{NAME}{key}=\"{value}\"{cut},status=\"5{value}\"}} {number}\n")
            };
            let page: String = lines.into_iter().map(line).collect();
            let mut fact = ControllerFact::default();
            add(&mut fact, &page, &[]);
            add(&mut fact, &format!("{NAME}canary=\"\",status=\"500\"}} 1e300\n{page}"), &[]);
            assert!(fact.v2_errors <= fact.v2_requests && fact.v3_errors <= fact.v3_requests);
        }
    }
}
