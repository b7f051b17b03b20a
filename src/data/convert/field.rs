//! The binary values of PostgreSQL's COPY (PostgreSQL source, `*_send` functions).

/// Microseconds between 1970 and 2000, where PostgreSQL's timestamps begin.
const EPOCH_2000: i64 = 946_684_800_000_000;

/// One value of a row as the server sent it; `None` is NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a>(pub Option<&'a [u8]>);

type Read<T> = Result<Option<T>, String>;

impl<'a> Field<'a> {
    /// `text`, an enum, or anything that is sent as its text.
    pub fn text(self) -> Read<&'a str> {
        self.0
            .map(|bytes| std::str::from_utf8(bytes).map_err(|_| "the text is not UTF-8".to_owned()))
            .transpose()
    }

    /// `jsonb` as the server writes it.
    pub fn jsonb(self) -> Read<&'a str> {
        match self.0 {
            Some([1, rest @ ..]) => Field(Some(rest)).text(),
            Some(_) => Err("an unknown version of jsonb".into()),
            None => Ok(None),
        }
    }

    /// `bool`.
    pub fn bool(self) -> Read<bool> {
        Ok(self.0.map(|bytes| bytes != [0]))
    }

    /// `int4`.
    pub fn int(self) -> Read<i32> {
        self.fixed().map(|bytes| bytes.map(i32::from_be_bytes))
    }

    /// `float8`.
    pub fn double(self) -> Read<f64> {
        self.fixed().map(|bytes| bytes.map(f64::from_be_bytes))
    }

    /// `timestamp` in milliseconds since 1970, cut to the millisecond; infinity cannot be converted.
    pub fn millis(self) -> Read<i64> {
        match self.fixed()?.map(i64::from_be_bytes) {
            Some(i64::MIN | i64::MAX) => Err("an infinite timestamp".into()),
            micros => Ok(micros.map(|micros| micros.saturating_add(EPOCH_2000).div_euclid(1000))),
        }
    }

    /// `text[]` of one dimension; a NULL element cannot be converted.
    pub fn list(self) -> Read<Vec<String>> {
        self.0.map(|bytes| list(bytes).ok_or_else(|| "not a list of texts".to_owned())).transpose()
    }

    fn fixed<const N: usize>(self) -> Read<[u8; N]> {
        self.0
            .map(|bytes| {
                bytes.try_into().map_err(|_| format!("{} bytes where {N} were expected", bytes.len()))
            })
            .transpose()
    }
}

/// Dimensions, NULL flag, element type, then length and lower bound of each dimension, then the elements.
fn list(mut bytes: &[u8]) -> Option<Vec<String>> {
    let mut word = || -> Option<i32> {
        let (head, rest) = bytes.split_at_checked(4)?;
        bytes = rest;
        Some(i32::from_be_bytes(head.try_into().ok()?))
    };
    let dimensions = word()?;
    let (_nulls, _kind) = (word()?, word()?);
    if dimensions == 0 {
        return Some(vec![]);
    }
    if dimensions != 1 {
        return None;
    }
    let (count, _lower) = (word()?, word()?);
    let mut items = Vec::new();
    for _ in 0..count {
        let (head, rest) = bytes.split_at_checked(4)?;
        let length = usize::try_from(i32::from_be_bytes(head.try_into().ok()?)).ok()?;
        let (item, rest) = rest.split_at_checked(length)?;
        items.push(std::str::from_utf8(item).ok()?.to_owned());
        bytes = rest;
    }
    Some(items)
}
