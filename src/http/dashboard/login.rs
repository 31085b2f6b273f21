//! Logging in with an API key, and logging out.

use std::time::Duration;

use http::{StatusCode, header};
use jiff::Timestamp;
use maud::{Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;
use warp::reply::Response;

use super::{
    Asked, Dashboard, ROOT, add_cookie, current, layout,
    params::Params,
    problem::Problem,
    respond,
    seal::Purpose,
    session::{Cookie, Session},
};
use crate::{domain::KeyHash, globus::oauth::random_text, http::App};

/// How long a form that was shown can be sent.
const FORM_LIFE: Duration = Duration::from_hours(1);

/// What need not be encoded in the value of a query.
const IN_VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// Where to log in, to come back to what was asked for.
pub(super) fn address(asked: &Asked) -> String {
    let mut wanted = asked.head.path.clone();
    if !asked.query.is_empty() {
        wanted = format!("{wanted}?{}", asked.query);
    }
    if wanted.trim_end_matches('/') == ROOT.trim_end_matches('/') {
        return format!("{ROOT}login");
    }
    format!("{ROOT}login?next={}", utf8_percent_encode(&wanted, IN_VALUE))
}

/// A page of the dashboard to go on to, whatever was asked for. Nothing else is ever gone on to.
pub(super) fn next(wanted: Option<&str>) -> &str {
    let is_ours = |path: &&str| {
        path.strip_prefix(ROOT).is_some_and(|rest| {
            let is_login = ["login", "logout"].iter().any(|page| rest.starts_with(page));
            !is_login
                && !path.contains("..")
                && path.bytes().all(|b| b.is_ascii_graphic())
                && !path.contains(['\\', '#'])
        })
    };
    wanted.filter(is_ours).unwrap_or(ROOT)
}

/// The page with the ways to log in.
pub(super) async fn form(
    app: &App,
    dashboard: &Dashboard,
    asked: &Asked,
) -> Result<Response, Problem> {
    let params = Params::parse(&asked.query);
    let wanted = next(params.get("next"));
    if current(app, dashboard, asked).await?.is_some() {
        return Ok(respond::redirect(wanted));
    }
    let note = params.get("out").map(|_| "You are logged out.");
    show(dashboard, asked, wanted, note.map(Note::Said), StatusCode::OK)
}

/// What the page says above its forms.
#[derive(Clone, Copy)]
pub(super) enum Note<'a> {
    Said(&'a str),
    Refused(&'a str),
}

/// Shows the ways to log in.
pub(super) fn show(
    dashboard: &Dashboard,
    asked: &Asked,
    wanted: &str,
    note: Option<Note<'_>>,
    status: StatusCode,
) -> Result<Response, Problem> {
    let known = Cookie::Form.read(&asked.headers, asked.is_secure).filter(|known| {
        (16..=64).contains(&known.len()) && known.bytes().all(|b| b.is_ascii_graphic())
    });
    let binding = match known {
        Some(known) => known.to_owned(),
        None => random_text().map_err(|_| Problem::Internal)?.expose_secret().to_owned(),
    };
    let token = dashboard.seal.form_token(&binding);
    let page = forms(dashboard, wanted, &token, note);
    let mut response = respond::html(status, layout::bare("Log in", &page));
    add_cookie(&mut response, Cookie::Form.set(&binding, FORM_LIFE, asked.is_secure));
    Ok(response)
}

fn forms(dashboard: &Dashboard, wanted: &str, token: &str, note: Option<Note<'_>>) -> Markup {
    let globus = format!("{ROOT}login/globus?next={}", utf8_percent_encode(wanted, IN_VALUE));
    html! {
        h1 { "Log in" }
        p.hint { "figw, the inference gateway: what you have used, and how it is doing." }
        @match note {
            Some(Note::Said(text)) => p.note role="status" { (text) },
            Some(Note::Refused(text)) => p.note.bad role="alert" { (text) },
            None => {}
        }
        @if dashboard.options.globus.is_some() {
            p { a.button.primary href=(globus) { "Log in with Globus" } }
            p.or { span { "or" } }
        }
        form method="post" action={ (ROOT) "login" } {
            input type="hidden" name="token" value=(token);
            input type="hidden" name="next" value=(wanted);
            label for="key" { "API key" }
            input #key type="password" name="key" required autocomplete="off" spellcheck="false"
                maxlength="256" aria-describedby="key-hint";
            p #key-hint.hint { "The same key that your programs send. It is not stored." }
            button type="submit" { "Log in with the key" }
        }
    }
}

/// Logs in with the key of the form.
pub(super) fn with_key(
    app: &App,
    dashboard: &Dashboard,
    asked: &Asked,
) -> Result<Response, Problem> {
    let client = asked.head.client;
    if let Some(wait) = dashboard.attempts.wait(client) {
        return Err(Problem::TooOften(wait));
    }
    let binding = Cookie::Form.read(&asked.headers, asked.is_secure).unwrap_or_default();
    let token = asked.form.get("token").unwrap_or_default();
    if is_from_elsewhere(asked) || !dashboard.seal.is_form_token(binding, token) {
        return Err(Problem::Form);
    }
    let wanted = next(asked.form.get("next"));
    let hash = KeyHash::of(asked.form.get("key").unwrap_or_default());
    let now = Timestamp::now();
    let found = app.gateway.catalog.load().caller(&hash, now).cloned();
    let caller = match found {
        Ok(caller) => caller,
        Err(refusal) => {
            dashboard.attempts.failed(client);
            tracing::info!(%client, "a login at the dashboard was refused: {refusal}");
            let text = "This key is not known here, has been revoked, or has expired. Ask the \
                 operator for a new one.";
            let refused = Some(Note::Refused(text));
            return show(dashboard, asked, wanted, refused, StatusCode::UNAUTHORIZED);
        }
    };
    app.gateway.record_access(&asked.head, &caller, StatusCode::SEE_OTHER, None, None);
    let session = Session::on_key(&hash, now).ok_or(Problem::Internal)?;
    begin(dashboard, asked, &session, wanted)
}

/// Goes on with a session that begins.
pub(super) fn begin(
    dashboard: &Dashboard,
    asked: &Asked,
    session: &Session,
    wanted: &str,
) -> Result<Response, Problem> {
    let sealed = dashboard.seal.close(Purpose::Session, session).ok_or(Problem::Internal)?;
    let secure = asked.is_secure;
    let mut response = respond::redirect(wanted);
    let life = dashboard.options.lifetime;
    add_cookie(&mut response, Cookie::Session.set(&sealed, life, secure));
    add_cookie(&mut response, Cookie::Form.remove(secure));
    add_cookie(&mut response, Cookie::Login.remove(secure));
    Ok(response)
}

/// Ends the session, here and wherever it was copied to.
pub(super) async fn log_out(
    app: &App,
    dashboard: &Dashboard,
    asked: &Asked,
) -> Result<Response, Problem> {
    // The browser leaves the cookie out then, and would still take the order to remove it.
    if is_from_elsewhere(asked) {
        return Err(Problem::Form);
    }
    let sealed = Cookie::Session.read(&asked.headers, asked.is_secure);
    let session =
        sealed.and_then(|sealed| dashboard.seal.open::<Session>(Purpose::Session, sealed));
    let mut response = respond::redirect(&format!("{ROOT}login?out=1"));
    if let Some(session) = session {
        let token = asked.form.get("token").unwrap_or_default();
        if !dashboard.seal.is_form_token(&session.id, token) {
            return Err(Problem::Form);
        }
        if let Ok(caller) = session.caller(&app.gateway.catalog, &app.auth).await {
            app.gateway.record_access(&asked.head, &caller, StatusCode::SEE_OTHER, None, None);
        }
        dashboard.ended.end(&session).await;
        if let (Some(globus), Some(token)) = (&dashboard.options.globus, session.globus_token()) {
            globus.clone().revoke_in_the_background(token.into());
        }
        add_cookie(&mut response, Cookie::Session.remove(asked.is_secure));
    }
    Ok(response)
}

/// Whether the browser says that another site has sent a form.
fn is_from_elsewhere(asked: &Asked) -> bool {
    let site = asked.headers.get("sec-fetch-site").and_then(|site| site.to_str().ok());
    let origin_is_null = asked.headers.get(header::ORIGIN).is_some_and(|origin| origin == "null");
    !matches!(site, None | Some("same-origin" | "none")) || (site.is_none() && origin_is_null)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_dashboard_are_gone_on_to() {
        for ours in ["/dashboard/", "/dashboard/log?user=a%40b.org&status=5xx", "/dashboard/log/7"]
        {
            assert_eq!(next(Some(ours)), ours);
        }
        for other in [
            "https://evil.example",
            "//evil.example",
            "/\\evil.example",
            "/dashboard",
            "/dashboard/../v1/models",
            "/dashboard/\\evil.example",
            "/dashboard/\r\nset-cookie: a=b",
            "/dashboard/login?next=/dashboard/",
            "/v1/models",
            "",
        ] {
            assert_eq!(next(Some(other)), ROOT, "{other}");
        }
    }
}
