//! One TLS configuration for every client that takes one: system roots, a CA file beside them, our certificate.
//!
//! One rule: a file that cannot be read is named in the error, and verification is only off when asked for.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::target::TlsOptions;
use crate::domain::{Kind, Trouble};

/// Makes ring the process's crypto provider; the first call wins and later ones do nothing.
pub fn install_provider() {
    if CryptoProvider::get_default().is_none() {
        // Losing the race means that somebody else installed one.
        drop(ring::default_provider().install_default());
    }
}

/// The client configuration that `options` describe. Without `system` the roots of the system are left out: they are for
/// a connection that speaks no TLS, and reading them takes longer than most answers.
///
/// # Errors
/// [`Kind::Tls`] with the file that cannot be read.
pub fn config(options: &TlsOptions, system: bool) -> Result<ClientConfig, Trouble> {
    install_provider();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Trouble::new(Kind::Tls, "TLS", e.to_string()))?;
    let builder = if options.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerifier(ring::default_provider())))
    } else {
        builder.with_root_certificates(roots(options.ca_file.as_deref(), system)?)
    };
    match (&options.client_cert, &options.client_key) {
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|e| Trouble::new(Kind::Tls, cert.display().to_string(), e.to_string())),
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(Trouble::new(
            Kind::Tls,
            "TLS",
            "a client certificate needs its key, and a key its certificate",
        )
        .remedy("set both client_cert and client_key")),
    }
}

/// The roots of the system, read once: hundreds of files.
static SYSTEM: OnceLock<RootCertStore> = OnceLock::new();

fn read_system() -> RootCertStore {
    let mut store = RootCertStore::empty();
    // Some systems carry roots that rustls does not take; the others still count.
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    store
}

fn roots(ca_file: Option<&Path>, system: bool) -> Result<RootCertStore, Trouble> {
    let mut store = if system { SYSTEM.get_or_init(read_system).clone() } else { RootCertStore::empty() };
    if let Some(file) = ca_file {
        let (added, _) = store.add_parsable_certificates(certificates(file)?);
        if added == 0 {
            return Err(unreadable(file, "no certificate in it that can be used"));
        }
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Trouble> {
    CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|e| unreadable(file, &e.to_string()))
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Trouble> {
    PrivateKeyDer::from_pem_file(file).map_err(|e| unreadable(file, &e.to_string()))
}

fn unreadable(file: &Path, why: &str) -> Trouble {
    Trouble::new(Kind::Tls, file.display().to_string(), format!("cannot be read as PEM: {why}"))
        .remedy("name a readable PEM file")
}

/// Accepts every certificate; built only for `insecure = true`.
#[derive(Debug)]
struct NoVerifier(CryptoProvider);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_ca_file_is_named() {
        let options = TlsOptions { ca_file: Some("/nowhere/ca.pem".into()), ..TlsOptions::default() };
        let trouble = config(&options, false).unwrap_err();
        assert_eq!((trouble.kind, trouble.object.as_str()), (Kind::Tls, "/nowhere/ca.pem"));
    }

    #[test]
    fn the_roots_of_the_system_are_there_where_they_are_asked_for() {
        assert_eq!(roots(None, true).unwrap().len(), read_system().len());
        assert!(roots(None, false).unwrap().is_empty());
    }

    #[test]
    fn the_default_and_insecure_build() {
        for system in [false, true] {
            config(&TlsOptions::default(), system).unwrap();
            config(&TlsOptions { insecure: true, ..TlsOptions::default() }, system).unwrap();
        }
    }
}
