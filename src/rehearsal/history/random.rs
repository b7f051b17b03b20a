//! Numbers that follow from a seed: `SplitMix64` (Steele, Lea, Flood 2014), the same on every machine and version.

/// A stream of numbers.
#[derive(Clone)]
pub(super) struct Random(u64);

const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl Random {
    /// The stream of row `number` of the `kind`-th sort of thing.
    pub(super) fn of(seed: u64, kind: u64, number: u64) -> Self {
        let mut stream = Self(seed ^ kind.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let start = stream.next() ^ number.wrapping_mul(0xff51_afd7_ed55_8ccd);
        Self(start)
    }

    /// The next number.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True in `percent` of 100 cases.
    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, which is not empty.
    pub(super) fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}

/// A version 4 UUID.
pub(super) fn uuid(random: &mut Random) -> String {
    let bytes = (u128::from(random.next()) << 64) | u128::from(random.next());
    uuid::Builder::from_random_bytes(bytes.to_be_bytes()).into_uuid().to_string()
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends a version 4 UUID; `Display` costs five times as much, and there are a million of them.
pub(super) fn push_uuid(out: &mut Vec<u8>, high: u64, low: u64) {
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    for (place, number) in [high, low].into_iter().enumerate() {
        for nibble in 0..16 {
            if matches!((place, nibble), (0, 8 | 12) | (1, 0 | 4)) {
                out.push(b'-');
            }
            out.push(DIGITS[((number >> (60 - 4 * nibble)) & 15) as usize]);
        }
    }
}

/// Appends a decimal number.
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
