//! Logging in with Globus: there, and back.

use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use warp::reply::Response;

use super::{
    Asked, Dashboard, add_cookie,
    login::{self, Note},
    params::Params,
    problem::Problem,
    respond,
    seal::Purpose,
    session::{Cookie, Session},
};
use crate::{
    auth::globus::LoginError,
    domain::KeyHash,
    globus::{
        oauth::{Verifier, random_text},
        web::{Begun, WebLoginError},
    },
    http::App,
};

/// How long a person may take at Globus.
const LONGEST_LOGIN: Duration = Duration::from_mins(15);

/// A login that has been begun, as the browser keeps it, sealed.
#[derive(Serialize, Deserialize)]
struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    /// In seconds since 1970.
    begun: i64,
}

impl Pending {
    fn new(next: &str) -> Result<Self, getrandom::Error> {
        let random = || Ok(random_text()?.expose_secret().to_owned());
        Ok(Self {
            state: random()?,
            nonce: random()?,
            verifier: Verifier::new()?.reveal().to_owned(),
            next: next.to_owned(),
            begun: Timestamp::now().as_second(),
        })
    }

    fn is_current(&self) -> bool {
        let age = Timestamp::now().as_second().saturating_sub(self.begun);
        u64::try_from(age.max(0)).is_ok_and(|age| age <= LONGEST_LOGIN.as_secs())
    }
}

/// Sends the browser to Globus.
pub(super) fn begin(dashboard: &Dashboard, asked: &Asked) -> Result<Response, Problem> {
    let globus = dashboard.options.globus.as_ref().ok_or(Problem::NotFound)?;
    let params = Params::parse(&asked.query);
    let pending = Pending::new(login::next(params.get("next"))).map_err(|_| Problem::Internal)?;
    let verifier = Verifier::known(&pending.verifier);
    let begun = Begun { state: &pending.state, nonce: &pending.nonce, verifier: &verifier };
    let url = globus.authorize_url(&begun);
    let sealed = dashboard.seal.close(Purpose::Login, &pending).ok_or(Problem::Internal)?;
    let mut response = respond::redirect(url.as_str());
    add_cookie(&mut response, Cookie::Login.set(&sealed, LONGEST_LOGIN, asked.is_secure));
    Ok(response)
}

/// Takes the browser back from Globus.
pub(super) async fn end(
    app: &App,
    dashboard: &Dashboard,
    asked: &Asked,
) -> Result<Response, Problem> {
    if let Some(wait) = dashboard.attempts.wait(asked.head.client) {
        return Err(Problem::TooOften(wait));
    }
    let came_back = come_back(app, dashboard, asked).await;
    let mut response = match came_back {
        Ok(response) => response,
        Err(Failed::Problem(problem)) => return Err(problem),
        // Nothing was guessed; else any page in a browser could shut its whole network out.
        Err(Failed::NotBegun) => {
            let text = "This login was not begun in this browser, or too long ago. Try again.";
            let note = Some(Note::Refused(text));
            login::show(dashboard, asked, super::ROOT, note, StatusCode::FORBIDDEN)?
        }
        Err(Failed::Refused(text, wanted)) => {
            dashboard.attempts.failed(asked.head.client);
            tracing::info!(client = %asked.head.client, "a login with Globus was refused: {text}");
            let note = Some(Note::Refused(&text));
            login::show(dashboard, asked, &wanted, note, StatusCode::FORBIDDEN)?
        }
    };
    // Whatever came of it, it cannot come back once more.
    add_cookie(&mut response, Cookie::Login.remove(asked.is_secure));
    Ok(response)
}

enum Failed {
    Problem(Problem),
    /// No login was begun in this browser.
    NotBegun,
    /// Why, and where the person wanted to go.
    Refused(String, String),
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

async fn come_back(app: &App, dashboard: &Dashboard, asked: &Asked) -> Result<Response, Failed> {
    let globus = dashboard.options.globus.as_ref().ok_or(Problem::NotFound)?;
    let logins = app.auth.logins().ok_or(Problem::NotFound)?;
    let params = Params::parse(&asked.query);
    let pending = pending(dashboard, asked, params.get("state").unwrap_or_default())?;
    let refused = |text: String| Failed::Refused(text, pending.next.clone());
    let Some(code) = params.get("code") else {
        let error = params.get("error").unwrap_or("no code").chars();
        let error: String =
            error.filter(|c| c.is_ascii_alphanumeric() || " _-".contains(*c)).take(50).collect();
        return Err(refused(format!("Globus has not logged you in ({error}). Try again.")));
    };
    let verifier = Verifier::known(&pending.verifier);
    let begun = Begun { state: &pending.state, nonce: &pending.nonce, verifier: &verifier };
    let token = globus.exchange(code, &begun).await.map_err(|error| match error {
        WebLoginError::Globus(error) if error.refused_with().is_none() => {
            tracing::warn!(%error, "a login with Globus cannot be ended");
            let text = "Globus cannot be asked at present. Try again in a moment.".to_owned();
            Failed::Problem(Problem::Unavailable(text, Duration::from_secs(5)))
        }
        error => {
            tracing::warn!(%error, "a login with Globus failed");
            refused("Globus does not confirm this login. Try again.".to_owned())
        }
    })?;
    let token_text = token.expose_secret();
    match logins.caller(KeyHash::of(token_text), token_text).await {
        Ok(caller) => {
            let status = StatusCode::SEE_OTHER;
            app.gateway.record_access(&asked.head, &caller, status, None, None);
            let session = Session::on_globus(token_text, Timestamp::now());
            let session = session.ok_or(Problem::Internal)?;
            Ok(login::begin(dashboard, asked, &session, login::next(Some(&pending.next)))?)
        }
        Err(LoginError::Denied(denial)) => {
            globus.clone().revoke_in_the_background(token);
            Err(refused(denial.to_string()))
        }
        Err(LoginError::Unavailable(unavailable)) => Err(Failed::Problem(unavailable.into())),
    }
}

/// The login that this browser has begun, if `state` belongs to it.
fn pending(dashboard: &Dashboard, asked: &Asked, state: &str) -> Result<Pending, Failed> {
    let sealed = Cookie::Login.read(&asked.headers, asked.is_secure);
    let pending = sealed.and_then(|sealed| dashboard.seal.open::<Pending>(Purpose::Login, sealed));
    pending
        .filter(Pending::is_current)
        .filter(|pending| pending.state.as_bytes().ct_eq(state.as_bytes()).into())
        .ok_or(Failed::NotBegun)
}
