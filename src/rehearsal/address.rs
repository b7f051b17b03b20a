//! Taking a store's URL apart, to name its Service instead of its loopback address.

use std::net::SocketAddr;

/// The parts of a URL with an IP address and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Before `://`.
    pub scheme: String,
    /// Password, or empty.
    pub password: String,
    /// Before `@`, or empty.
    credentials: String,
    /// Address and port.
    pub socket: SocketAddr,
    /// From the first `/` after the port on, or empty.
    path: String,
}

impl Address {
    /// Takes a URL apart; `None` when it has no scheme, or no IP address with a port.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (credentials, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        Some(Self {
            scheme: scheme.to_owned(),
            password: credentials
                .split_once(':')
                .map(|(_, password)| password.to_owned())
                .unwrap_or_default(),
            credentials: credentials.to_owned(),
            socket: host.parse().ok()?,
            path: path.to_owned(),
        })
    }

    /// The same URL with another host and port.
    pub(super) fn at(&self, host: &str) -> String {
        let at = if self.credentials.is_empty() { "" } else { "@" };
        format!("{}://{}{at}{host}{}", self.scheme, self.credentials, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_come_apart_and_together() {
        let address = Address::parse("postgresql://langfuse:pw@127.0.0.1:5433/langfuse").unwrap();
        assert_eq!((address.password.as_str(), address.socket.port()), ("pw", 5433));
        assert_eq!(
            address.at("langfuse-postgresql:5432"),
            "postgresql://langfuse:pw@langfuse-postgresql:5432/langfuse"
        );
        assert_eq!(Address::parse("http://127.0.0.1:9").unwrap().at("s3:9000"), "http://s3:9000");
        assert_eq!(Address::parse("redis://:pw@127.0.0.1:6").unwrap().password, "pw");
        assert_eq!(Address::parse("redis://somewhere"), None);
    }
}
