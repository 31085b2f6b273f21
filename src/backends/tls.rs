//! TLS towards back ends.

use std::sync::Arc;

/// The machine's trusted roots. A machine without any can still reach back ends in plain HTTP.
pub(super) fn config() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no trusted root certificates on this machine: https back ends will fail");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    #[allow(clippy::expect_used, reason = "the ring provider supports rustls' default versions")]
    let builder = builder.with_safe_default_protocol_versions().expect("ring has TLS 1.2 and 1.3");
    builder.with_root_certificates(roots).with_no_client_auth()
}
