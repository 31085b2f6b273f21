//! Connections to other services: whom they trust, and a client for everything off the hot path.

use std::{sync::Arc, time::Duration};

/// Load balancers commonly close idle connections after a minute; a request must not meet that.
const IDLE: Duration = Duration::from_secs(50);

/// TLS with the machine's trusted roots. A machine without any can still speak plain HTTP.
#[must_use]
pub(crate) fn tls_config() -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no trusted root certificates on this machine: https will fail");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    #[allow(clippy::expect_used, reason = "the ring provider supports rustls' default versions")]
    let builder = builder.with_safe_default_protocol_versions().expect("ring has TLS 1.2 and 1.3");
    builder.with_root_certificates(roots).with_no_client_auth()
}

/// A client for requests outside the path of inference, each given up after `timeout`.
///
/// # Errors
/// When the client cannot be set up.
pub fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    builder(timeout).build()
}

/// As [`client`], but never through a proxy: for figw's own instances.
///
/// # Errors
/// When the client cannot be set up.
pub fn direct_client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    builder(timeout).no_proxy().build()
}

/// A client for this configuration's own gateway on this machine: its certificate is another name's.
///
/// # Errors
/// When the client cannot be set up.
pub fn own_client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    // Another part may have chosen it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .no_proxy()
        .build()
}

fn builder(timeout: Duration) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls_config())
        .user_agent(concat!("figw/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .pool_idle_timeout(IDLE)
}

/// Writes an error with its causes, for logs and rows; transports hide the reason in the last one.
#[must_use]
pub fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text.push_str(": ");
            text.push_str(&inner_text);
        }
        cause = inner.source();
    }
    text
}
