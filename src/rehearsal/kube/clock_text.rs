//! Times as Kubernetes writes and shows them.

use crate::rehearsal::clock;

/// Now, in RFC 3339 with whole seconds, as `creationTimestamp` has it.
pub(super) fn now() -> String {
    seconds(clock::now())
}

/// A time in RFC 3339 with whole seconds.
pub(super) fn seconds(time: jiff::Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The age since a time as kubectl shows it: `5s`, `3m20s`, `45m`, `2h5m`, `30h`, `2d3h`, `12d`, `2y10d`;
/// `<unknown>` for text that is no time.
///
/// Source: `HumanDuration` of k8s.io/apimachinery `pkg/util/duration`.
pub(super) fn age(since: &str) -> String {
    let Ok(since) = since.parse::<jiff::Timestamp>() else {
        return "<unknown>".into();
    };
    human(clock::now().as_second() - since.as_second())
}

fn human(seconds: i64) -> String {
    let pair = |big: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{rest}{small}") }
    };
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        ..-1 => "<invalid>".into(),
        -1..0 => "0s".into(),
        0..120 => format!("{seconds}s"),
        120..600 => pair(minutes, "m", seconds % 60, "s"),
        600..10_800 => format!("{minutes}m"),
        10_800..28_800 => pair(hours, "h", minutes % 60, "m"),
        28_800..172_800 => format!("{hours}h"),
        172_800..691_200 => pair(days, "d", hours % 24, "h"),
        691_200..63_072_000 => format!("{days}d"),
        63_072_000..252_288_000 => pair(days / 365, "y", days % 365, "d"),
        _ => format!("{}y", days / 365),
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn ages_read_as_kubectl_shows_them() {
        for (seconds, shown) in [
            (-5, "<invalid>"),
            (0, "0s"),
            (119, "119s"),
            (130, "2m10s"),
            (600, "10m"),
            (10_860, "3h1m"),
            (90_000, "25h"),
            (176_400, "2d1h"),
            (8 * 86_400, "8d"),
        ] {
            assert_eq!(human(seconds), shown, "{seconds} s");
        }
    }
}
