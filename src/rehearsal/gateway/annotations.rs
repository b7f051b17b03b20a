//! The annotations of ingress-nginx that the gateway honours, with the real controller's leniency:
//! what does not parse is a default, never an error.

use std::collections::BTreeMap;

use super::model::Policy;

/// Prefix of every annotation of ingress-nginx.
pub const PREFIX: &str = "nginx.ingress.kubernetes.io/";
/// nginx's own body limit, 1 MiB, when `proxy-body-size` says nothing.
const BODY_DEFAULT: usize = 1 << 20;
/// What `canary-by-header-pattern` may be made of: no blank, comma, `%`, `#`.
const PATTERN_CHARS: &str = r"^[/\-._~a-zA-Z0-9:^$\[\](){}*+?|&=\\]*$";
/// What the names and `canary-by-header-value` may be made of: blanks, but no base64 `=` and `+`.
const BASIC_CHARS: &str = r"^[-._~a-zA-Z0-9/: ]*$";

/// Annotations of an object.
pub type Annotations = BTreeMap<String, String>;

/// Whether `canary` is true in Go's sense (`True`, `t` and `1` are too).
pub fn is_canary(annotations: &Annotations) -> bool {
    get(annotations, "canary").is_some_and(|value| ["1", "t", "T", "TRUE", "true", "True"].contains(&value))
}

/// The traffic policy of a canary Ingress.
pub fn policy(annotations: &Annotations) -> Policy {
    Policy {
        weight: number(annotations, "canary-weight").unwrap_or(0),
        weight_total: number(annotations, "canary-weight-total").unwrap_or(100),
        header: checked(annotations, "canary-by-header", BASIC_CHARS),
        header_value: checked(annotations, "canary-by-header-value", BASIC_CHARS),
        header_pattern: checked(annotations, "canary-by-header-pattern", PATTERN_CHARS),
        cookie: checked(annotations, "canary-by-cookie", BASIC_CHARS),
    }
}

/// Largest request body in bytes (`proxy-body-size`: bytes, or with k, m, g); 0 is no limit.
pub fn body_limit(annotations: &Annotations) -> usize {
    get(annotations, "proxy-body-size").and_then(size).unwrap_or(BODY_DEFAULT)
}

/// Name of the affinity cookie, when `affinity: cookie` is set.
pub fn affinity(annotations: &Annotations) -> Option<String> {
    (get(annotations, "affinity") == Some("cookie"))
        .then(|| get(annotations, "session-cookie-name").unwrap_or("INGRESSCOOKIE").to_owned())
}

/// Whether a canary Ingress keeps sessions where they are (`affinity-canary-behavior`, all but `legacy`).
pub fn keeps_sessions(annotations: &Annotations) -> bool {
    get(annotations, "affinity-canary-behavior") != Some("legacy")
}

fn get<'a>(annotations: &'a Annotations, name: &str) -> Option<&'a str> {
    annotations.get(&format!("{PREFIX}{name}")).map(String::as_str)
}

/// Go's `strconv.Atoi`: no blanks, no fraction, no percent sign.
fn number(annotations: &Annotations, name: &str) -> Option<i64> {
    get(annotations, name)?.parse().ok()
}

fn checked(annotations: &Annotations, name: &str, allowed: &str) -> String {
    let value = get(annotations, name).unwrap_or_default();
    let fits = fancy_regex::Regex::new(allowed).is_ok_and(|regex| regex.is_match(value).unwrap_or(false));
    if fits {
        return value.trim().to_owned();
    }
    tracing::warn!(target: "ingress-nginx", "{name} {value:?} is invalid, defaulting to ''");
    String::new()
}

fn size(text: &str) -> Option<usize> {
    let text = text.trim();
    let unit = text.chars().last()?.to_ascii_lowercase();
    let factor = match unit {
        'k' => 1 << 10,
        'm' => 1 << 20,
        'g' => 1 << 30,
        _ => return text.parse().ok(),
    };
    text.get(..text.len() - 1)?.parse::<usize>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn annotated(name: &str, value: &str) -> Annotations {
        [(format!("{PREFIX}{name}"), value.to_owned())].into()
    }

    #[rstest]
    #[case("30", 30)]
    #[case("150", 150)]
    #[case("-5", -5)]
    #[case("abc", 0)]
    #[case("30.5", 0)]
    #[case("30%", 0)]
    #[case(" 30", 0)]
    #[case("", 0)]
    fn an_odd_weight_is_silently_zero(#[case] value: &str, #[case] want: i64) {
        assert_eq!(policy(&annotated("canary-weight", value)).weight, want);
    }

    #[rstest]
    #[case("true", true)]
    #[case("True", true)]
    #[case("yes", false)]
    #[case("", false)]
    fn canary_is_a_go_bool(#[case] value: &str, #[case] want: bool) {
        assert_eq!(is_canary(&annotated("canary", value)), want);
    }

    #[rstest]
    #[case(r"^Basic\s(cGstbGYtMQ|cGstbGYtMg)", true)]
    #[case("^Basic cGst", false)]
    #[case("a{1,3}", false)]
    #[case("a%20", false)]
    #[case("a#b", false)]
    fn a_pattern_with_a_forbidden_character_turns_into_nothing(#[case] value: &str, #[case] kept: bool) {
        let want = if kept { value } else { "" };
        assert_eq!(policy(&annotated("canary-by-header-pattern", value)).header_pattern, want);
    }

    #[test]
    fn a_value_takes_blanks_but_no_base64_padding() {
        assert_eq!(policy(&annotated("canary-by-header-value", " a b")).header_value, "a b");
        assert_eq!(policy(&annotated("canary-by-header-value", "ab==")).header_value, "");
    }

    #[rstest]
    #[case("5m", 5 << 20)]
    #[case("0", 0)]
    #[case("512k", 512 << 10)]
    #[case("nonsense", 1 << 20)]
    fn body_sizes(#[case] value: &str, #[case] want: usize) {
        assert_eq!(body_limit(&annotated("proxy-body-size", value)), want);
        assert_eq!(body_limit(&Annotations::new()), 1 << 20);
    }
}
