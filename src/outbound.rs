//! Connections to other services: whom they trust, and a client for everything off the hot path.

use std::{
    error::Error,
    io::{self, ErrorKind},
    sync::Arc,
    time::Duration,
};

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

/// Why a request got no answer, without its address: whoever reports it names that, or must not.
///
/// The last of the causes says it; those before it only tell which layer passed it on.
#[must_use]
pub fn failure(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let address = error.url().map(|url| format!(" for url ({url})")).unwrap_or_default();
    last_cause(error).replace(&address, "")
}

/// The last of the causes, in words.
#[must_use]
pub fn last_cause(error: &(dyn Error + 'static)) -> String {
    if broken(error) == Broken::NoTls {
        return "what answers there does not speak TLS; is the address https by mistake?"
            .to_owned();
    }
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// What a connection has broken at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Nobody is there, or does not answer.
    Away,
    /// Whoever is there has hung up.
    Closed,
    /// Whoever is there speaks something else than TLS.
    NoTls,
    /// Whoever is there does not take us, and has said so over TLS.
    Refused,
    /// We do not take whoever is there, or do not agree on TLS.
    Tls,
    /// Something else.
    Otherwise,
}

/// What the connection has broken at, as the causes have it.
#[must_use]
pub fn broken(error: &(dyn Error + 'static)) -> Broken {
    let found = causes(error).filter_map(broken_at).last();
    found.unwrap_or(Broken::Otherwise)
}

fn broken_at(cause: &(dyn Error + 'static)) -> Option<Broken> {
    if let Some(tls) = cause.downcast_ref() {
        return Some(match tls {
            rustls::Error::InvalidMessage(_) => Broken::NoTls,
            rustls::Error::AlertReceived(_) => Broken::Refused,
            _ => Broken::Tls,
        });
    }
    if let Some(error) = cause.downcast_ref::<hyper::Error>() {
        let is_closed = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
        return is_closed.then_some(Broken::Closed);
    }
    match cause.downcast_ref::<io::Error>()?.kind() {
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Some(Broken::Closed),
        ErrorKind::ConnectionRefused
        | ErrorKind::TimedOut
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable => Some(Broken::Away),
        _ => None,
    }
}

/// The error and whatever has caused it.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    let mut next = Some(error);
    std::iter::from_fn(move || {
        let cause = next?;
        next = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // An I/O error passes over the one within it when it is asked for its source.
            Some(inner) => Some(inner),
            None => cause.source(),
        };
        Some(cause)
    })
}

/// Writes an error with its causes, for logs and rows; transports hide the reason in the last one.
#[must_use]
pub fn reason(error: &(dyn Error + 'static)) -> String {
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// Why nothing is had from there.
    async fn failure_at(url: &str) -> String {
        let client = own_client(Duration::from_millis(300)).unwrap();
        failure(&client.get(url).send().await.unwrap_err())
    }

    #[tokio::test]
    async fn a_failure_tells_the_last_cause_and_no_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(failure_at(&format!("http://{address}/?token=t")).await, "no answer in time");
        drop(listener);
        let refused = failure_at(&format!("http://{address}/?token=t")).await;
        assert!(refused.starts_with("Connection refused"), "{refused}");
        assert!(!refused.contains("http"), "{refused}");
    }

    #[tokio::test]
    async fn https_where_only_http_is_spoken_is_said_in_words() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let _ = tcp.read(&mut [0; 512]).await.unwrap();
            tcp.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        });
        let said = failure_at(&url).await;
        assert!(said.contains("does not speak TLS"), "{said}");
    }
}
