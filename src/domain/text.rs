//! Foreign text made safe to draw, log and journal. Every string that came from a database, a pod or an
//! HTTP body passes through [`clean`] once, where it enters.

/// Longest foreign text kept, in characters.
pub const LONGEST: usize = 2_000;

/// Removes escape sequences' introducers, other control characters, bidirectional overrides and zero-width
/// characters; line breaks and tabs become one blank; cut at [`LONGEST`] characters with an ellipsis.
pub fn clean(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len().min(LONGEST * 4));
    for (n, c) in raw.chars().enumerate() {
        if n == LONGEST {
            out.push('…');
            break;
        }
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if c.is_control() || is_invisible(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Characters that change what is around them, or show nothing: bidirectional controls, zero-width
/// characters, line and paragraph separators, tags, variation selectors.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// The most similar of `names`, when it is similar enough to be meant.
pub fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let score = |name: &str| strsim::jaro_winkler(&word.to_lowercase(), name);
    let best = names.iter().copied().max_by(|a, b| score(a).total_cmp(&score(b)))?;
    (score(best) > 0.75).then_some(best)
}

/// The operator's next step after a name that does not exist: the one that may be meant, or some that do exist.
/// `what` is what a name stands for ("a context").
pub fn likely(word: &str, names: &[&str], what: &str) -> String {
    const SHOWN: usize = 8;
    match nearest(word, names) {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => format!("name {what} that exists"),
        None => {
            let more = if names.len() > SHOWN { ", …" } else { "" };
            let some: Vec<&str> = names.iter().copied().take(SHOWN).collect();
            format!("name {what} that exists: {}{more}", some.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_lose_their_introducer() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}31m"), "a\u{fffd}[2Jb\u{fffd}31m");
    }

    #[test]
    fn bidi_and_zero_width_are_replaced() {
        assert_eq!(clean("x\u{202e}y\u{200b}z"), "x\u{fffd}y\u{fffd}z");
    }

    #[test]
    fn lines_become_blanks_and_length_is_bounded() {
        assert_eq!(clean("a\nb\tc"), "a b c");
        assert_eq!(clean(&"x".repeat(5_000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn wide_characters_stay() {
        assert_eq!(clean("日本 é"), "日本 é");
    }
}
