//! TLS with a certificate made at the start: `kubectl` sends a token over TLS only, so the kubeconfig says `https`.
//!
//! **Rule.** One port speaks both: what begins like a TLS handshake is one, everything else is plain HTTP.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The first byte of a TLS handshake (RFC 8446, 5.1).
const HANDSHAKE: u8 = 0x16;

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate itself.
    #[error("the certificate of the rehearsal's API server could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// Its use.
    #[error("the certificate of the rehearsal's API server could not be used: {0}")]
    Use(#[from] rustls::Error),
}

/// The server's identity.
#[derive(Clone)]
pub(super) struct Identity {
    acceptor: TlsAcceptor,
    /// The certificate, as a kubeconfig's `certificate-authority-data` has it.
    pub authority: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes a key and a certificate for loopback addresses.
    ///
    /// # Errors
    /// When the cryptography refuses, which it has no reason to.
    pub(super) fn new() -> Result<Self, Error> {
        let names = ["127.0.0.1", "::1", "localhost", "kubernetes.default.svc"].map(str::to_owned);
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let authority = STANDARD.encode(cert.pem());
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority })
    }

    /// The TLS side of a connection.
    pub(super) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

/// Whether the client begins with a TLS handshake; waits for its first byte.
pub(super) async fn is_handshake(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first[0] == HANDSHAKE
}
