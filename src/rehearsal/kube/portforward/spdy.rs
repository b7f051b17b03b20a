//! Frames of SPDY 3.1, as far as a port-forward needs them. `kubectl` still speaks it, inside a WebSocket.
//!
//! Source: the SPDY 3.1 draft, sections 2.2 and 2.6.

use flate2::{Decompress, FlushDecompress};

/// The top bit of a control frame, with version 3.
const CONTROL: u16 = 0x8003;

/// The flag that ends a stream's direction.
pub(super) const FIN: u8 = 1;

/// No headers of a port-forward are longer, however small they are compressed.
const LONGEST_HEADERS: usize = 64 * 1024;

/// Names that the header compression starts with, each after its length in four bytes.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
    accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
    content-length content-location content-md5 content-range content-type date etag expect expires from host \
    if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
    keep-alive origin";

/// What follows the names in the dictionary.
const TAIL: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505\
203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden\
404 Not Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept \
Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,\
application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch\
charset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

/// One frame from the client.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// A stream is opened.
    Open { stream: u32, headers: Vec<(String, String)> },
    /// Bytes of a stream; `last` ends its direction.
    Data { stream: u32, bytes: Vec<u8>, last: bool },
    /// A stream is given up.
    Reset { stream: u32 },
    /// To be sent back.
    Ping { id: u32 },
    /// Nothing more comes.
    GoAway,
    /// Settings, windows and the like.
    Other,
}

/// Reads frames from bytes as they come; keeps the state of the header compression.
pub(super) struct Reader {
    buffer: Vec<u8>,
    inflate: Decompress,
}

/// The client sent what is no SPDY.
#[derive(Debug, thiserror::Error, PartialEq)]
#[error("the headers of a SPDY stream could not be read")]
pub(super) struct Broken;

impl Reader {
    /// Before the first byte.
    pub(super) fn new() -> Self {
        Self { buffer: Vec::new(), inflate: Decompress::new(true) }
    }

    /// More bytes from the client.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, none while it is not all there.
    ///
    /// # Errors
    /// When the headers of a stream cannot be read: the connection is of no more use.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Broken> {
        let Some(head) = self.buffer.first_chunk::<8>().copied() else {
            return Ok(None);
        };
        let length = usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
        if self.buffer.len() < 8 + length {
            return Ok(None);
        }
        let body: Vec<u8> = self.buffer.drain(..8 + length).skip(8).collect();
        let first = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if head[0] & 0x80 == 0 {
            return Ok(Some(Frame::Data { stream: first, bytes: body, last: head[4] & FIN != 0 }));
        }
        let number = body.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff);
        Ok(Some(match first & 0xffff {
            1 => Frame::Open { stream: number, headers: self.headers(body.get(10..).unwrap_or_default())? },
            // Nobody here reads replies or late headers, but their compression must be followed.
            2 | 8 => self.headers(body.get(4..).unwrap_or_default()).map(|_| Frame::Other)?,
            3 => Frame::Reset { stream: number },
            6 => Frame::Ping { id: number },
            7 => Frame::GoAway,
            _ => Frame::Other,
        }))
    }

    fn headers(&mut self, block: &[u8]) -> Result<Vec<(String, String)>, Broken> {
        let mut plain = Vec::with_capacity(1024);
        let mut left = block;
        while !left.is_empty() {
            if plain.len() > LONGEST_HEADERS {
                return Err(Broken);
            }
            if plain.len() == plain.capacity() {
                plain.reserve(1024);
            }
            let (read, written) = (self.inflate.total_in(), plain.len());
            let result = self.inflate.decompress_vec(left, &mut plain, FlushDecompress::Sync);
            let taken = (self.inflate.total_in() - read) as usize;
            left = left.get(taken..).ok_or(Broken)?;
            match result {
                Ok(_) if taken == 0 && plain.len() == written => break,
                Ok(_) => {}
                Err(error) if error.needs_dictionary().is_some() => {
                    self.inflate.set_dictionary(&dictionary()).map_err(|_| Broken)?;
                }
                Err(_) => return Err(Broken),
            }
        }
        pairs(&plain).ok_or(Broken)
    }
}

fn pairs(mut bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let count = number(&mut bytes)?;
    (0..count).map(|_| Some((text(&mut bytes)?, text(&mut bytes)?))).collect()
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    let (head, rest) = bytes.split_first_chunk::<4>()?;
    *bytes = rest;
    Some(u32::from_be_bytes(*head))
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = number(bytes)? as usize;
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(head.to_vec()).ok()
}

fn dictionary() -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in WORDS.split(' ') {
        bytes.extend((word.len() as u32).to_be_bytes());
        bytes.extend(word.replace('_', " ").as_bytes());
    }
    bytes.extend(TAIL.as_bytes());
    bytes
}

/// Writes frames; the first reply also begins the header compression.
#[derive(Default)]
pub(super) struct Writer {
    begun: bool,
}

impl Writer {
    /// A reply without headers, that accepts a stream. Its header block (the number 0) is not compressed: one stored
    /// block of a compression that needs no dictionary, and an empty one that makes the peer hand it out.
    pub(super) fn reply(&mut self, stream: u32) -> Vec<u8> {
        let mut body = stream.to_be_bytes().to_vec();
        if !std::mem::replace(&mut self.begun, true) {
            body.extend([0x78, 0x01]);
        }
        body.extend([0x00, 0x04, 0x00, 0xfb, 0xff]);
        body.extend(0_u32.to_be_bytes());
        body.extend([0x00, 0x00, 0x00, 0xff, 0xff]);
        control(2, &body)
    }
}

/// Bytes of a stream; `last` ends its direction.
pub(super) fn data(stream: u32, bytes: &[u8], last: bool) -> Vec<u8> {
    let mut frame = (stream & 0x7fff_ffff).to_be_bytes().to_vec();
    frame.push(if last { FIN } else { 0 });
    frame.extend(&(bytes.len() as u32).to_be_bytes()[1..]);
    frame.extend(bytes);
    frame
}

/// A ping sent back.
pub(super) fn ping(id: u32) -> Vec<u8> {
    control(6, &id.to_be_bytes())
}

fn control(kind: u16, body: &[u8]) -> Vec<u8> {
    let mut frame = CONTROL.to_be_bytes().to_vec();
    frame.extend(kind.to_be_bytes());
    frame.extend((body.len() as u32).to_be_bytes());
    frame.extend(body);
    frame
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};

    use super::*;

    fn open(compress: &mut Compress, stream: u32, name: &str, value: &str) -> Vec<u8> {
        let mut plain = 1_u32.to_be_bytes().to_vec();
        for text in [name, value] {
            plain.extend((text.len() as u32).to_be_bytes());
            plain.extend(text.as_bytes());
        }
        let mut block = Vec::with_capacity(1024);
        compress.compress_vec(&plain, &mut block, FlushCompress::Sync).unwrap();
        let mut body = stream.to_be_bytes().to_vec();
        body.extend([0; 6]);
        body.extend(block);
        control(1, &body)
    }

    #[test]
    fn the_dictionary_is_as_long_as_published() {
        assert_eq!(dictionary().len(), 1423);
    }

    #[test]
    fn streams_are_opened_over_one_compression() {
        let mut compress = Compress::new(Compression::best(), true);
        compress.set_dictionary(&dictionary()).unwrap();
        let mut reader = Reader::new();
        for (stream, kind) in [(1, "error"), (3, "data")] {
            let frame = open(&mut compress, stream, "streamtype", kind);
            reader.feed(&frame[..9]);
            assert_eq!(reader.next(), Ok(None), "not all there");
            reader.feed(&frame[9..]);
            let headers = vec![("streamtype".to_owned(), kind.to_owned())];
            assert_eq!(reader.next(), Ok(Some(Frame::Open { stream, headers })));
        }
        reader.feed(&data(3, b"hello", true));
        assert_eq!(reader.next(), Ok(Some(Frame::Data { stream: 3, bytes: b"hello".to_vec(), last: true })));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            let mut reader = Reader::new();
            reader.feed(&bytes);
            while let Ok(Some(_)) = reader.next() {}
        }
    }
}
