//! The one request that a browser brings back from Globus Auth to this machine (RFC 8252, 7.3).

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use url::form_urlencoded;

/// How long a connection may take to ask.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections at one time; a browser opens a few more than it needs.
const MOST_CONNECTIONS: usize = 16;

/// Why the browser brought no code.
#[derive(Debug, thiserror::Error)]
pub enum CallbackError {
    /// The person, or Globus, said no.
    #[error("Globus did not allow the login: {0}")]
    Denied(String),
    /// Nobody came.
    #[error(
        "nobody came back from the browser within {}; run `figw login` again, with --no-browser if the browser runs on another machine",
        humantime::format_duration(*.0)
    )]
    TimedOut(Duration),
}

/// What the browser brought.
type Outcome = Result<SecretString, String>;

/// Waits on this machine's loopback addresses.
#[derive(Debug)]
pub struct Callback {
    v4: TcpListener,
    v6: Option<TcpListener>,
    port: u16,
}

impl Callback {
    /// Listens on `port`, or on a free one when it is 0.
    ///
    /// # Errors
    /// When the port is taken or may not be used.
    pub async fn bind(port: u16) -> io::Result<Self> {
        let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = v4.local_addr()?.port();
        // `localhost` may be either; a machine without IPv6 does without.
        let v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok();
        Ok(Self { v4, v6, port })
    }

    /// Where the browser is to be sent.
    #[must_use]
    pub fn redirect_uri(&self) -> String {
        format!("http://localhost:{}", self.port)
    }

    /// Waits for the one request that shows `state`, and returns its code.
    ///
    /// # Errors
    /// When it brings a refusal instead, or does not come in time.
    pub async fn wait(
        self,
        state: &SecretString,
        patience: Duration,
    ) -> Result<SecretString, CallbackError> {
        let outcome = tokio::time::timeout(patience, self.outcome(state))
            .await
            .map_err(|_| CallbackError::TimedOut(patience))?;
        outcome.map_err(CallbackError::Denied)
    }

    async fn outcome(&self, state: &SecretString) -> Outcome {
        let desk = Arc::new(Desk { state: state.clone(), outcome: Mutex::default() });
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                stream = self.accept() => {
                    if connections.len() < MOST_CONNECTIONS {
                        connections.spawn(serve(stream, Arc::clone(&desk)));
                    }
                }
                // Not before the connection's end: the person is to see the page.
                Some(_) = connections.join_next() => {
                    if let Some(outcome) = desk.take() {
                        return outcome;
                    }
                }
            }
        }
    }

    async fn accept(&self) -> TcpStream {
        loop {
            let v6 = async {
                match &self.v6 {
                    Some(listener) => listener.accept().await,
                    None => std::future::pending().await,
                }
            };
            let accepted = tokio::select! {
                accepted = self.v4.accept() => accepted,
                accepted = v6 => accepted,
            };
            match accepted {
                Ok((stream, _)) => return stream,
                // A connection that was gone at once, or no descriptors for a moment.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }
}

/// What the connections share.
struct Desk {
    state: SecretString,
    outcome: Mutex<Option<Outcome>>,
}

async fn serve(stream: TcpStream, desk: Arc<Desk>) {
    let service = service_fn(|request| {
        let response = desk.answer(&request);
        async { Ok::<_, Infallible>(response) }
    });
    // A connection that breaks has brought nothing; the person can load the page again.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

impl Desk {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let uri = request.uri();
        if uri.path() != "/" || request.method() != Method::GET {
            return page(StatusCode::NOT_FOUND, "There is nothing here.", "");
        }
        let query = uri.query().unwrap_or_default().as_bytes();
        let value = |name: &str| {
            let mut pairs = form_urlencoded::parse(query);
            pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
        };
        let state = value("state").unwrap_or_default();
        if !bool::from(state.as_bytes().ct_eq(self.state.expose_secret().as_bytes())) {
            let advice = "Go back to the page that the terminal named, or start anew there.";
            return page(StatusCode::BAD_REQUEST, "This is not the login in progress.", advice);
        }
        let outcome = match (value("code"), value("error")) {
            (Some(code), None) if !code.is_empty() => Ok(code.into()),
            (_, error) => Err(refusal(error, value("error_description"))),
        };
        let response = match &outcome {
            Ok(_) => page(
                StatusCode::OK,
                "You may close this window.",
                "figw goes on in the terminal, which also says how the login ended.",
            ),
            Err(reason) => page(StatusCode::OK, "Globus did not allow the login.", reason),
        };
        let mut slot = self.outcome.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_some() {
            return page(StatusCode::GONE, "This login has been answered already.", "");
        }
        *slot = Some(outcome);
        response
    }

    fn take(&self) -> Option<Outcome> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Globus' reason, fit for a terminal.
fn refusal(error: Option<String>, description: Option<String>) -> String {
    const LONGEST: usize = 300;
    let code = error.unwrap_or_else(|| "neither a code nor a reason came back".to_owned());
    let text = match description.filter(|text| !text.is_empty()) {
        Some(description) => format!("{description} ({code})"),
        None => code,
    };
    text.chars().filter(|c| !c.is_control()).take(LONGEST).collect()
}

fn page(status: StatusCode, title: &str, text: &str) -> Response<Full<Bytes>> {
    let (title, text) = (escaped(title), escaped(text));
    let html = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>figw</title>\
         <h1>{title}</h1><p>{text}</p></html>\n"
    );
    let mut response = Response::new(Full::new(html.into()));
    *response.status_mut() = status;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_fit_for_a_terminal_and_for_a_page() {
        let reason = refusal(Some("access_denied".into()), Some("\u{1b}[2J<b>no</b>".into()));
        assert_eq!(reason, "[2J<b>no</b> (access_denied)");
        assert_eq!(escaped(&reason), "[2J&lt;b&gt;no&lt;/b&gt; (access_denied)");
        assert_eq!(refusal(None, None), "neither a code nor a reason came back");
        assert_eq!(refusal(Some("x".repeat(1000)), None).len(), 300);
    }
}
