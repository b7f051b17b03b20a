//! Probes: the real request a kubelet would send, with its thresholds.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What is sent, and what counts as an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// `GET` of a path: 200..=399 is success.
    Http(String),
    /// Bytes on a TCP connection: any answer is success (`PING` for Redis, `SSLRequest` for `PostgreSQL`).
    Tcp(&'static [u8]),
}

/// Redis answers even without a password.
pub const REDIS: Probe = Probe::Tcp(b"PING\r\n");
/// `PostgreSQL`'s `SSLRequest`: it answers `S` or `N`.
pub const POSTGRES: Probe = Probe::Tcp(&[0, 0, 0, 8, 4, 210, 22, 47]);

/// Outcome of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It answered well.
    Healthy,
    /// It answered badly, or not in time.
    Unhealthy(String),
    /// Nobody listens.
    Refused,
}

impl Probe {
    /// Asks once.
    pub async fn ask(&self, address: SocketAddr, timeout: Duration) -> Outcome {
        match tokio::time::timeout(timeout, self.exchange(address)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused => Outcome::Refused,
            Ok(Err(error)) => Outcome::Unhealthy(error.to_string()),
            Err(_) => Outcome::Unhealthy("context deadline exceeded".into()),
        }
    }

    async fn exchange(&self, address: SocketAddr) -> std::io::Result<Outcome> {
        let mut stream = TcpStream::connect(address).await?;
        match self {
            Self::Tcp(bytes) => stream.write_all(bytes).await?,
            Self::Http(path) => {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: kube-probe/1.33\r\nConnection: close\r\n\r\n"
                );
                stream.write_all(request.as_bytes()).await?;
            }
        }
        let mut answer = [0_u8; 64];
        let length = stream.read(&mut answer).await?;
        Ok(self.judge(answer.get(..length).unwrap_or_default()))
    }

    fn judge(&self, answer: &[u8]) -> Outcome {
        if answer.is_empty() {
            return Outcome::Unhealthy("EOF".into());
        }
        if matches!(self, Self::Tcp(_)) {
            return Outcome::Healthy;
        }
        let status =
            std::str::from_utf8(answer).ok().and_then(|line| line.split(' ').nth(1)?.parse::<u16>().ok());
        match status {
            Some(200..=399) => Outcome::Healthy,
            Some(code) => Outcome::Unhealthy(format!("HTTP probe failed with statuscode: {code}")),
            None => Outcome::Unhealthy("malformed HTTP response".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("HTTP/1.1 200 OK\r\n", true)]
    #[case("HTTP/1.1 503 Service Unavailable\r\n", false)]
    #[case("", false)]
    fn status_decides(#[case] answer: &str, #[case] healthy: bool) {
        let outcome = Probe::Http("/".into()).judge(answer.as_bytes());
        assert_eq!(outcome == Outcome::Healthy, healthy);
    }
}
