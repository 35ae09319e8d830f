//! Encrypted connections, for addresses with `sslmode=require`.

use crate::error::{Error, Result};

/// What makes a connection an encrypted one.
///
/// The server must have a certificate that the machine trusts, for the name that the address calls it by:
/// encryption without that protects from nobody who can redirect the connection. `SSL_CERT_FILE` names the
/// certificates of an authority of one's own.
#[cfg(feature = "postgres-tls")]
pub(super) fn connector() -> Result<tokio_postgres_rustls::MakeRustlsConnect> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        return Err(Error::invalid(format!(
            "the address of the database asks for TLS, but this machine trusts no certificate authority \
             (SSL_CERT_FILE can name a file with certificates) {}",
            reasons.join(", ")
        )));
    }
    // Said, not left to the process: other libraries may have brought another provider.
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::internal(format!("TLS cannot be set up: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(tokio_postgres_rustls::MakeRustlsConnect::new(config))
}

#[cfg(not(feature = "postgres-tls"))]
pub(super) fn connector() -> Result<tokio_postgres::NoTls> {
    Err(Error::invalid(
        "the address of the database asks for TLS (sslmode=require), which this program was built without \
         (feature postgres-tls)",
    ))
}
