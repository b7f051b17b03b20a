//! From the error of any client library to a [`Trouble`]: the chain of causes says what kind it is.
//!
//! One rule: no text that leaves here carries a URL with a password in it.

use std::error::Error as StdError;
use std::future::Future;
use std::io;
use std::time::Duration;

use crate::domain::units::span;
use crate::domain::{Kind, Trouble};

/// Every cause of `error`, itself first.
pub fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |e: &&'a (dyn StdError + 'static)| (*e).source())
}

/// What kind of failure a transport error is, from the first cause that tells.
pub fn transport_kind(error: &(dyn StdError + 'static)) -> Option<Kind> {
    causes(error).find_map(|cause| {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            // An io::Error may wrap the one that matters (rustls through tokio does).
            if let Some(inner) = io.get_ref()
                && let Some(kind) = transport_kind(inner)
            {
                return Some(kind);
            }
            return io_kind(io.kind());
        }
        if cause.is::<rustls::Error>() {
            return Some(Kind::Tls);
        }
        if cause.is::<tokio::time::error::Elapsed>() {
            return Some(Kind::Timeout);
        }
        None
    })
}

fn io_kind(kind: io::ErrorKind) -> Option<Kind> {
    use io::ErrorKind as E;
    Some(match kind {
        E::TimedOut | E::WouldBlock => Kind::Timeout,
        E::ConnectionRefused
        | E::ConnectionReset
        | E::ConnectionAborted
        | E::NotConnected
        | E::BrokenPipe
        | E::UnexpectedEof
        | E::HostUnreachable
        | E::NetworkUnreachable
        | E::AddrNotAvailable => Kind::Unreachable,
        E::PermissionDenied => Kind::Refused,
        _ => return None,
    })
}

/// The whole chain in one line, without repetitions and without the secrets of URLs.
pub fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut out = String::new();
    for cause in causes(error) {
        let text = cause.to_string();
        if !text.is_empty() && !out.contains(&text) {
            if !out.is_empty() {
                out.push_str(": ");
            }
            out.push_str(&text);
        }
    }
    without_userinfo(&out)
}

/// Replaces `user:password@` after every `://` by `***@`.
pub fn without_userinfo(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let authority = tail.find(['/', '?', '#', ' ', '"', ')', '\n']).map_or(tail, |end| &tail[..end]);
        rest = match authority.rfind('@') {
            Some(sign) => {
                out.push_str("***");
                &tail[sign..]
            }
            None => tail,
        };
    }
    out.push_str(rest);
    out
}

/// The remedy for a failure of the way there, whatever is at its end.
pub fn transport_remedy(kind: Kind) -> &'static str {
    match kind {
        Kind::Timeout => "check that the server answers and that no firewall drops the packets",
        Kind::Unreachable => "check the address and the port, and that the server runs",
        Kind::Tls => {
            "check the certificate authority (ca_file), the host name and whether the port speaks TLS"
        }
        _ => "",
    }
}

/// A transport error of `object`, or `Unexpected` when the chain does not tell its kind.
pub fn transport(object: &str, error: &(dyn StdError + 'static)) -> Trouble {
    let text = chain(error);
    let kind = transport_kind(error).unwrap_or_else(|| kind_of_text(&text));
    let remedy = match kind {
        Kind::Tls => tls_remedy(&text),
        Kind::Unreachable if hung_up(&text) => HUNG_UP,
        Kind::Unexpected if text.to_ascii_lowercase().contains("invalid http") => NO_HTTP,
        kind => transport_remedy(kind),
    };
    Trouble::new(kind, object, text).remedy(remedy)
}

/// What to do when a server takes the connection and cuts it.
const HUNG_UP: &str = "the server hung up: check that the port is the right one and whether it speaks TLS, and that the server stays up";

/// What to do when the answer is none in HTTP: a TLS server answers so, and ClickHouse's native port.
const NO_HTTP: &str =
    "no HTTP came back: check that the port is the right one and whether it speaks TLS (https)";

fn hung_up(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    ["reset by peer", "connection closed", "end of file", "eof", "broken pipe"]
        .iter()
        .any(|w| lower.contains(w))
}

/// What the libraries say of a handshake, and the operator's next step.
const HANDSHAKES: [(&[&str], &str); 6] = [
    (
        &["does not support tls"],
        "the server has no TLS: turn it on there, or set tls.enabled = false (sslmode=disable in the URL)",
    ),
    (
        &["certificaterequired", "certificate required", "peer sent no certificates"],
        "the server wants our certificate: set tls.client_cert and tls.client_key",
    ),
    (
        &["unknownissuer", "unknown issuer", "unknownca", "badsignature"],
        "the certificate is of an authority that is not trusted here: name its file in tls.ca_file",
    ),
    (
        &["notvalidforname", "not valid for name"],
        "the certificate is made out to another name: use a host name that is in it",
    ),
    (&["expired"], "a certificate has expired: renew it, and compare the clocks"),
    (
        &["invalidcontenttype", "invalid content type", "corrupt message"],
        "the port does not seem to speak TLS: check scheme and port",
    ),
];

/// The next step after a handshake that failed, by what was said of it.
pub fn tls_remedy(text: &str) -> &'static str {
    let lower = text.to_ascii_lowercase();
    let row = HANDSHAKES.iter().find(|(words, _)| words.iter().any(|word| lower.contains(word)));
    row.map_or(transport_remedy(Kind::Tls), |(_, remedy)| remedy)
}

/// Last resort for libraries that keep only a text of the cause.
fn kind_of_text(text: &str) -> Kind {
    let lower = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    if has(&["certificate", "tls", "handshake"]) {
        Kind::Tls
    } else if has(&["timed out", "timeout", "deadline"]) {
        Kind::Timeout
    } else if has(&[
        "dns",
        "lookup address",
        "name or service",
        "refused",
        "connect",
        "closed",
        "broken pipe",
        "reset",
    ]) {
        Kind::Unreachable
    } else {
        Kind::Unexpected
    }
}

/// Gives `work` at most `limit`; the [`Trouble`] says what was tried.
pub async fn within<T>(
    limit: Duration,
    object: &str,
    tried: &str,
    work: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    match tokio::time::timeout(limit, work).await {
        Ok(answer) => answer,
        Err(_) => Err(Trouble::new(Kind::Timeout, object, format!("{tried}: no answer in {}", span(limit)))
            .remedy(transport_remedy(Kind::Timeout))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_urls_never_leave() {
        assert_eq!(
            without_userinfo(
                "cannot reach postgres://u:p@ss@db:5432/x and redis://:k@r/0, see http://host/a@b"
            ),
            "cannot reach postgres://***@db:5432/x and redis://***@r/0, see http://host/a@b"
        );
    }

    #[test]
    fn the_chain_tells_the_kind() {
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(transport("x", &refused).kind, Kind::Unreachable);
        let tls = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        assert_eq!(transport("x", &tls).kind, Kind::Tls);
        let reset = io::Error::other(io::Error::from(io::ErrorKind::ConnectionReset));
        assert_eq!(transport("x", &reset).kind, Kind::Unreachable);
    }
}
