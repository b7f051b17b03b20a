//! JSON as jsonb keeps it, borrowed from its text.
//!
//! One rule: a number stays the text that it is, and a string is unescaped.

use std::borrow::Cow;

use super::lookup3::hash_numeric;

/// Nesting beyond this is not followed: the text is taken for a string, and the row is looked at closely.
const DEEPEST: usize = 256;

/// A value; objects in jsonb's order: by length of the key, then by its bytes, of equal keys the last.
#[derive(Debug)]
pub(super) enum Node<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(Cow<'a, [u8]>),
    Array(Vec<Node<'a>>),
    Object(Vec<(Cow<'a, [u8]>, Node<'a>)>),
}

impl Node<'_> {
    /// What JavaScript calls falsy.
    pub(super) fn is_falsy(&self) -> bool {
        match self {
            Self::Null | Self::Bool(false) => true,
            Self::Number(text) => text.parse::<f64>().is_ok_and(|n| n == 0.0),
            Self::Text(text) => text.is_empty(),
            _ => false,
        }
    }
}

/// The value of a text; nothing where it is no JSON, or nested too deep.
pub(super) fn parse(text: &str) -> Option<Node<'_>> {
    let mut parser = Parser { text, at: 0 };
    let node = parser.value(0)?;
    parser.blank();
    (parser.at == text.len()).then_some(node)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        self.blank();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &str, node: Node<'a>) -> Option<Node<'a>> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())?;
        Some(node)
    }

    fn value(&mut self, depth: usize) -> Option<Node<'a>> {
        if depth > DEEPEST {
            return None;
        }
        self.blank();
        match self.peek()? {
            b'n' => self.word("null", Node::Null),
            b't' => self.word("true", Node::Bool(true)),
            b'f' => self.word("false", Node::Bool(false)),
            b'"' => self.string().map(Node::Text),
            b'[' => self.array(depth),
            b'{' => self.object(depth),
            b'-' | b'0'..=b'9' => {
                let rest = &self.text[self.at..];
                let more = |b: u8| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E');
                let end = rest.bytes().position(|b| !more(b)).unwrap_or(rest.len());
                self.at += end;
                hash_numeric(&rest[..end], 0)?;
                Some(Node::Number(&rest[..end]))
            }
            _ => None,
        }
    }

    fn array(&mut self, depth: usize) -> Option<Node<'a>> {
        self.eat(b'[')?;
        let mut items = vec![];
        if self.eat(b']').is_some() {
            return Some(Node::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.eat(b',').is_none() {
                return self.eat(b']').map(|()| Node::Array(items));
            }
        }
    }

    /// Keys in jsonb's order: by length, then by bytes; of equal keys the last.
    fn object(&mut self, depth: usize) -> Option<Node<'a>> {
        self.eat(b'{')?;
        let mut items: Vec<(Cow<'a, [u8]>, Node<'a>)> = vec![];
        if self.eat(b'}').is_some() {
            return Some(Node::Object(items));
        }
        loop {
            self.blank();
            let key = self.string()?;
            self.eat(b':')?;
            items.push((key, self.value(depth + 1)?));
            if self.eat(b',').is_none() {
                self.eat(b'}')?;
                break;
            }
        }
        items.reverse();
        items.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        items.dedup_by(|(later, _), (first, _)| later == first);
        Some(Node::Object(items))
    }

    fn string(&mut self) -> Option<Cow<'a, [u8]>> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        let start = self.at;
        let rest = &self.text.as_bytes()[start..];
        let end = rest.iter().position(|b| matches!(b, b'"' | b'\\'))?;
        if rest[end] == b'"' {
            self.at = start + end + 1;
            return Some(Cow::Borrowed(&rest[..end]));
        }
        self.escaped(start).map(Cow::Owned)
    }

    /// From the opening quote to its end, which `serde_json` unescapes.
    fn escaped(&mut self, start: usize) -> Option<Vec<u8>> {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at)? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let text: String = serde_json::from_str(&self.text[start - 1..self.at]).ok()?;
        Some(text.into_bytes())
    }
}
