//! Lines and blocks as shapes.

/// Arms of a line character, in the order left, right, up, down: 0 none, 1 light, 2 heavy.
const fn arms(c: char) -> Option<[u8; 4]> {
    Some(match c {
        '─' => [1, 1, 0, 0],
        '━' => [2, 2, 0, 0],
        '│' => [0, 0, 1, 1],
        '┬' => [1, 1, 0, 1],
        '┴' => [1, 1, 1, 0],
        '├' => [0, 1, 1, 1],
        '┤' => [1, 0, 1, 1],
        '┼' => [1, 1, 1, 1],
        _ => return None,
    })
}

/// Height of a lower block in eighths.
const fn eighths(c: char) -> Option<u8> {
    Some(match c {
        '▁' => 1,
        '▂' => 2,
        '▃' => 3,
        '▄' => 4,
        '▅' => 5,
        '▆' => 6,
        '▇' => 7,
        '█' => 8,
        _ => return None,
    })
}

fn first(symbol: &str) -> char {
    symbol.chars().next().unwrap_or(' ')
}

/// Whether a character is drawn rather than written.
pub(super) fn is_shape(symbol: &str) -> bool {
    let c = first(symbol);
    arms(c).is_some() || eighths(c).is_some() || matches!(c, '░' | '╭' | '╮' | '╰' | '╯')
}

/// Whether equal neighbours are one shape.
pub(super) fn is_long(symbol: &str) -> bool {
    matches!(first(symbol), '█' | '░' | '─' | '━')
}

/// The shape of a character in the cell at `left`, `top`.
pub(super) fn draw(
    symbol: &str,
    (left, top): (f64, f64),
    (wide, high): (f64, f64),
    colour: &str,
    dim: bool,
) -> Option<String> {
    let c = first(symbol);
    let faint = if dim { " opacity=\"0.55\"" } else { "" };
    if let Some(n) = eighths(c) {
        let part = high * f64::from(n) / 8.0;
        let y = top + high - part;
        // A hair wider, so that neighbours leave no seam.
        return Some(rect((left, y), (wide + 0.3, part), colour, faint));
    }
    if c == '░' {
        return Some(rect((left, top), (wide + 0.3, high), colour, " opacity=\"0.28\""));
    }
    let (middle, centre) = (left + wide / 2.0, top + high / 2.0);
    if let Some(arms) = arms(c) {
        let ends = [(left, centre), (left + wide, centre), (middle, top), (middle, top + high)];
        let mut out = String::new();
        for (weight, (x, y)) in arms.into_iter().zip(ends).filter(|a| a.0 > 0) {
            let stroke = if weight == 2 { 2.4 } else { 1.1 };
            out.push_str(&format!(
                "<path d=\"M{middle:.1} {centre:.1}L{x:.1} {y:.1}\" stroke=\"{colour}\" stroke-width=\"{stroke}\"{faint}/>"
            ));
        }
        return Some(out);
    }
    let (x, y) = match c {
        '╭' => (left + wide, top + high),
        '╮' => (left, top + high),
        '╰' => (left + wide, top),
        '╯' => (left, top),
        _ => return None,
    };
    Some(format!(
        "<path d=\"M{middle:.1} {y:.1}Q{middle:.1} {centre:.1} {x:.1} {centre:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.1\"{faint}/>"
    ))
}

fn rect((x, y): (f64, f64), (wide, high): (f64, f64), colour: &str, faint: &str) -> String {
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" height=\"{high:.1}\" fill=\"{colour}\"{faint}/>"
    )
}
