//! The canary annotations as ingress-nginx's own parser reads them (internal/ingress/annotations/canary and
//! rootfs/etc/nginx/lua/balancer.lua, v1.15).
//!
//! One rule: whatever the controller only logs, we turn into a trap.

use std::collections::BTreeMap;

use crate::domain::Weight;
use crate::shift::patch::{CANARY, CANARY_WEIGHT, CANARY_WEIGHT_TOTAL};

/// Annotations of an object.
pub(super) type Annotations = BTreeMap<String, String>;

/// How a text became a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// As it stands, or absent.
    Plain,
    /// Not an integer: read as 0.
    Invalid,
    /// Below 0 or above the total: read as the nearest bound.
    Clamped,
}

/// Go's `strconv.ParseBool`: what counts as true.
const TRUE: [&str; 6] = ["1", "t", "T", "TRUE", "true", "True"];

/// Whether the controller takes the Ingress for a canary.
pub(super) fn is_canary(annotations: &Annotations) -> bool {
    annotations.get(CANARY).is_some_and(|text| TRUE.contains(&text.as_str()))
}

/// The weight as the controller reads it, and how it came about.
pub(super) fn stored(annotations: &Annotations) -> (Weight, Read) {
    let total = total(annotations);
    let Some(text) = annotations.get(CANARY_WEIGHT) else {
        return (Weight { value: 0, total }, Read::Plain);
    };
    match text.parse::<i64>() {
        Err(_) => (Weight { value: 0, total }, Read::Invalid),
        Ok(value) => {
            let inside = value.clamp(0, i64::from(total));
            let read = if inside == value { Read::Plain } else { Read::Clamped };
            (Weight { value: u32::try_from(inside).unwrap_or(0), total }, read)
        }
    }
}

/// `canary-weight-total`; what is not an integer, or at most 100, is 100.
fn total(annotations: &Annotations) -> u32 {
    annotations
        .get(CANARY_WEIGHT_TOTAL)
        .and_then(|text| text.parse::<u32>().ok())
        .map_or(100, |total| total.max(100))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(weight: Option<&str>, total: Option<&str>) -> (u32, u32, Read) {
        let mut annotations = Annotations::new();
        if let Some(weight) = weight {
            annotations.insert(CANARY_WEIGHT.into(), weight.into());
        }
        if let Some(total) = total {
            annotations.insert(CANARY_WEIGHT_TOTAL.into(), total.into());
        }
        let (weight, how) = stored(&annotations);
        (weight.value, weight.total, how)
    }

    #[test]
    fn odd_values_as_observed_on_v1_15() {
        assert_eq!(read(None, None), (0, 100, Read::Plain));
        assert_eq!(read(Some("30"), None), (30, 100, Read::Plain));
        assert_eq!(read(Some("+5"), None), (5, 100, Read::Plain));
        assert_eq!(read(Some("150"), None), (100, 100, Read::Clamped));
        assert_eq!(read(Some("-5"), None), (0, 100, Read::Clamped));
        for wrong in ["abc", "30.5", "30%", " 30", ""] {
            assert_eq!(read(Some(wrong), None), (0, 100, Read::Invalid), "{wrong:?}");
        }
        assert_eq!(read(Some("500"), Some("1000")), (500, 1000, Read::Plain));
        assert_eq!(read(Some("50"), Some("20")), (50, 100, Read::Plain));
        assert_eq!(read(Some("50"), Some("x")), (50, 100, Read::Plain));
    }

    #[test]
    fn spellings_of_true() {
        let canary = |text: &str| is_canary(&Annotations::from([(CANARY.to_owned(), text.to_owned())]));
        assert!(canary("true") && canary("True") && canary("1"));
        assert!(!canary("yes") && !canary("") && !canary("tRUE"));
    }
}
