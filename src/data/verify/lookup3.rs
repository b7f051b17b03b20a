//! PostgreSQL's own hash functions, bit for bit (PostgreSQL source: `common/hashfn.c`, `access/hash/hashfunc.c`,
//! `adt/numeric.c`, `adt/arrayfuncs.c`).
//!
//! One rule: every function here has the name of the SQL function whose answer it gives; the self test holds them
//! against the server before anything is compared.

/// `hash_any` starts from the golden ratio, the length, and Bob Jenkins' own number.
const START: u32 = 0x9e37_79b9_u32.wrapping_add(3_923_095);

/// `hashtextextended(text COLLATE "C", seed)`: the bytes and nothing else.
pub fn hashtext(bytes: &[u8], seed: u64) -> u64 {
    let (mut a, mut b, mut c) = start(bytes.len() as u32, seed);
    let mut words = bytes.chunks_exact(12);
    for word in &mut words {
        a = a.wrapping_add(le(&word[0..4]));
        b = b.wrapping_add(le(&word[4..8]));
        c = c.wrapping_add(le(&word[8..12]));
        (a, b, c) = mix(a, b, c);
    }
    let rest = words.remainder();
    a = a.wrapping_add(le(&rest[..rest.len().min(4)]));
    if rest.len() > 4 {
        b = b.wrapping_add(le(&rest[4..rest.len().min(8)]));
    }
    if rest.len() > 8 {
        // The lowest byte of c is reserved for the length.
        c = c.wrapping_add(le(&rest[8..]) << 8);
    }
    last(a, b, c)
}

/// `hashint4extended`, and `hash_uint32_extended` inside the server.
pub fn hashint4(value: u32, seed: u64) -> u64 {
    let (a, b, c) = start(4, seed);
    last(a.wrapping_add(value), b, c)
}

/// `hashint8extended`, and `timestamp_hash_extended` of microseconds since 2000.
pub fn hashint8(value: i64, seed: u64) -> u64 {
    let (low, high) = (value as u32, (value >> 32) as u32);
    hashint4(low ^ if value >= 0 { high } else { !high }, seed)
}

/// `hashfloat8extended`.
pub fn hashfloat8(value: f64, seed: u64) -> u64 {
    if value == 0.0 {
        return seed;
    }
    let value = if value.is_nan() { f64::NAN.abs() } else { value };
    hashtext(&value.to_le_bytes(), seed)
}

/// `hash_array_extended` of a `text[]` without NULLs. An empty array forgets the seed.
pub fn hash_array<'a>(items: impl Iterator<Item = &'a [u8]>, seed: u64) -> u64 {
    items.fold(1_u64, |hash, item| (hash << 5).wrapping_sub(hash).wrapping_add(hashtext(item, seed)))
}

/// `hash_numeric_extended` of a JSON number; its sign does not count. `None` for a text that is no number, or whose
/// exponent PostgreSQL would not take.
pub fn hash_numeric(text: &str, seed: u64) -> Option<u64> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].trim_start_matches('+').parse::<i32>().ok()?),
        None => (text, 0),
    };
    if exponent.abs() > 16_383 {
        return None;
    }
    let mantissa = mantissa.trim_start_matches('-');
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(part.bytes()).map(|b| b.wrapping_sub(b'0'));
    if digits().any(|d| d > 9) || whole.is_empty() {
        return None;
    }
    let Some(first) = digits().position(|d| d != 0) else { return Some(seed.wrapping_sub(1)) };
    let after_last = digits().count() - digits().collect::<Vec<_>>().iter().rev().position(|d| *d != 0)?;
    // The power of ten of the first digit, and of the base-10 000 digit that it is in.
    let power = whole.len() as i32 - 1 - first as i32 + exponent;
    let weight = power.div_euclid(4);
    let lead = 3 - power.rem_euclid(4) as usize;
    let mut packed = Vec::with_capacity(16);
    let (mut group, mut filled) = (0_i16, lead);
    for digit in digits().skip(first).take(after_last - first) {
        group = group * 10 + i16::from(digit);
        filled += 1;
        if filled == 4 {
            packed.extend(group.to_le_bytes());
            (group, filled) = (0, 0);
        }
    }
    if filled > 0 {
        for _ in filled..4 {
            group *= 10;
        }
        packed.extend(group.to_le_bytes());
    }
    Some(hashtext(&packed, seed) ^ i64::from(weight) as u64)
}

fn start(length: u32, seed: u64) -> (u32, u32, u32) {
    let begin = START.wrapping_add(length);
    if seed == 0 {
        return (begin, begin, begin);
    }
    mix(begin.wrapping_add((seed >> 32) as u32), begin.wrapping_add(seed as u32), begin)
}

fn le(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

const fn mix(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32, u32) {
    macro_rules! step {
        ($x:ident, $y:ident, $z:ident, $bits:literal) => {
            $x = $x.wrapping_sub($z) ^ $z.rotate_left($bits);
            $z = $z.wrapping_add($y);
        };
    }
    step!(a, b, c, 4);
    step!(b, c, a, 6);
    step!(c, a, b, 8);
    step!(a, b, c, 16);
    step!(b, c, a, 19);
    step!(c, a, b, 4);
    (a, b, c)
}

const fn last(mut a: u32, mut b: u32, mut c: u32) -> u64 {
    macro_rules! step {
        ($x:ident, $y:ident, $bits:literal) => {
            $x = ($x ^ $y).wrapping_sub($y.rotate_left($bits));
        };
    }
    step!(c, b, 14);
    step!(a, c, 11);
    step!(b, a, 25);
    step!(c, b, 16);
    step!(a, c, 4);
    step!(b, a, 14);
    step!(c, b, 24);
    ((b as u64) << 32) | c as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_number_hashes_alike_however_it_is_written(whole in 0_u64..1_000_000_000_000, zeros in 0_usize..9, part in 0_u32..100_000) {
            let plain = format!("{whole}.{part:05}");
            let padded = format!("{plain}{}", "0".repeat(zeros));
            let shifted = format!("{whole}{part:05}e-5");
            let negative = format!("-{plain}");
            let hash = hash_numeric(&plain, 7);
            prop_assert!(hash.is_some());
            for other in [padded, shifted, negative] {
                prop_assert_eq!(hash_numeric(&other, 7), hash, "{}", other);
            }
        }
    }

    #[test]
    fn what_is_no_number_has_no_hash() {
        for text in ["", "-", "x", "1x", ".5", "1e99999"] {
            assert_eq!(hash_numeric(text, 0), None, "{text}");
        }
    }
}
