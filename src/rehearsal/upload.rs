//! Bodies that clients send, up to a limit.
//!
//! One rule: what is too large is still read, as nginx and Node.js do: a connection that is closed while its
//! client sends gives the client a broken pipe in place of the 413.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Body;

/// What is read and thrown away at most, bytes; whoever sends more has no answer to wait for.
const LINGER: usize = 64 << 20;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UploadError {
    /// It is over the limit, and was read to its end.
    TooLarge,
    /// The client went away.
    Broken,
}

/// Reads a body of at most `limit` bytes; 0 is no limit.
///
/// # Errors
/// [`UploadError::TooLarge`] once the client has sent all of it, or 64 MiB beyond any use.
pub(super) async fn read<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    limit: usize,
) -> Result<Bytes, UploadError> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut seen = 0_usize;
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Err(UploadError::Broken) };
        let Some(data) = frame.data_ref() else { continue };
        seen = seen.saturating_add(data.len());
        if seen <= limit {
            kept.extend_from_slice(data);
        } else if seen > limit.saturating_add(LINGER) {
            break;
        } else {
            kept = BytesMut::new();
        }
    }
    if seen > limit { Err(UploadError::TooLarge) } else { Ok(kept.freeze()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::VecDeque;
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::body::Frame;

    /// A client that sends pieces; how many are left is seen from outside.
    struct Pieces<'a>(&'a mut VecDeque<Bytes>);

    impl Body for Pieces<'_> {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    #[tokio::test]
    async fn what_is_too_large_is_read_to_its_end() {
        let pieces =
            |count| std::iter::repeat_n(Bytes::from_static(b"0123456789"), count).collect::<VecDeque<_>>();
        for (limit, wanted) in
            [(30, Ok(30)), (0, Ok(30)), (29, Err(UploadError::TooLarge)), (5, Err(UploadError::TooLarge))]
        {
            let mut sent = pieces(3);
            let read = read(Pieces(&mut sent), limit).await;
            assert_eq!(read.map(|body| body.len()), wanted, "limit {limit}");
            assert!(sent.is_empty(), "limit {limit}: the client still sends");
        }
    }
}
