//! The pages at `/dashboard`, and the same as JSON and CSV.
//!
//! Everything is rendered here; the script only refreshes pages and shows figures under the pointer.
//! Pages are made by a thread of their own, away from those that serve inference and take connections,
//! with few questions to the database at one time.

mod assets;
mod attempts;
mod chart;
mod figure;
mod layout;
mod login;
mod pages;
mod params;
mod problem;
mod range;
mod respond;
mod seal;
mod session;
mod table;
mod view;
mod with_globus;

use std::{sync::Arc, time::Duration};

use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;
use secrecy::SecretString;
use tokio::{runtime::Handle, sync::Semaphore};
use warp::{
    Filter,
    filters::{BoxedFilter, path::Tail},
    reply::Response,
};

use self::{
    attempts::Attempts,
    params::Params,
    problem::Problem,
    respond::Format,
    seal::{Purpose, Seal},
    session::{Cookie, Ended, Lifetimes, NoCaller, Session},
    view::View,
};
use super::{App, body, error, head, with};
use crate::{
    cache::{Cache, SealedCache},
    domain::Caller,
    gateway::{Head, Refusal},
    globus::WebClient,
    store::Reader,
};

/// Longest form, in bytes.
const LONGEST_FORM: usize = 16 * 1024;

/// Questions that the database is asked at one time by one instance.
const MOST_QUESTIONS: usize = 4;

/// How long a page waits for its turn to ask.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Where everything is.
const ROOT: &str = "/dashboard/";

/// The header that the script sends when a page refreshes itself.
const REFRESH: &str = "x-figw-refresh";

/// How the dashboard is configured.
#[derive(Debug)]
pub struct Options {
    /// Whether they reach it over HTTPS, as far as that is known.
    pub is_secure: bool,
    /// Groups whose members see everything.
    pub admin_groups: Vec<String>,
    /// Seals sessions; the same for all instances that are to know them.
    pub secret: SecretString,
    /// The longest life of a session.
    pub lifetime: Duration,
    /// How long it lasts without a page being opened.
    pub idle: Duration,
    /// Logs people in with Globus.
    pub globus: Option<WebClient>,
}

/// What the pages are made from.
#[derive(Debug)]
pub struct Dashboard {
    options: Options,
    seal: Seal,
    ended: Ended,
    reader: Reader,
    turns: Semaphore,
    attempts: Attempts,
    runtime: Handle,
}

impl Dashboard {
    /// The dashboard, with pages made on `runtime` from what `reader` reads. Ended sessions are told
    /// to other instances through `cache`. None when the secret cannot be used.
    #[must_use]
    pub fn new(options: Options, reader: Reader, cache: Cache, runtime: Handle) -> Option<Self> {
        let seal = Seal::new(&options.secret)?;
        let ended = SealedCache::new(cache, options.secret.clone());
        let ended = Ended::new(ended, options.lifetime);
        let (turns, attempts) = (Semaphore::new(MOST_QUESTIONS), Attempts::default());
        Some(Self { options, seal, ended, reader, turns, attempts, runtime })
    }

    const fn lifetimes(&self) -> Lifetimes {
        Lifetimes { whole: self.options.lifetime, idle: self.options.idle }
    }

    fn is_admin(&self, caller: &Caller) -> bool {
        let wanted = &self.options.admin_groups;
        caller.groups.iter().any(|own| wanted.iter().any(|group| group.eq_ignore_ascii_case(own)))
    }
}

/// A request for something of the dashboard's.
struct Asked {
    head: Arc<Head>,
    headers: HeaderMap,
    /// Below [`ROOT`], without what tells the form.
    path: String,
    format: Format,
    query: String,
    form: Params,
    is_secure: bool,
}

/// `GET /dashboard/…`, and the forms of the login.
pub fn routes(app: &Arc<App>) -> BoxedFilter<(Response,)> {
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::path("dashboard")
        .and(warp::path::tail())
        .and(with(Arc::clone(app)))
        .and(head())
        .and(warp::header::headers_cloned())
        .and(query)
        .and(warp::body::stream())
        .then(|path: Tail, app: Arc<App>, head, headers, query, body| {
            Box::pin(async move {
                let Some(dashboard) = app.dashboard.clone() else {
                    let refusal = Refusal::not_found("not_found", "There is nothing at this path.");
                    return error::response(&refusal, error::Shape::OpenAi);
                };
                let asked = match read(&app, &dashboard, path, head, headers, query, body).await {
                    Ok(asked) => asked,
                    Err(refusal) => return error::response(&refusal, error::Shape::OpenAi),
                };
                let format = asked.format;
                let made = dashboard
                    .runtime
                    .clone()
                    .spawn(async move { answer(&app, &dashboard, asked).await });
                let response = made.await.unwrap_or_else(|error| {
                    tracing::error!(%error, "a page of the dashboard could not be made");
                    respond::problem(&Problem::Internal, format)
                });
                respond::guarded(response)
            })
        })
        .boxed()
}

async fn read<B: Buf>(
    app: &App,
    dashboard: &Dashboard,
    path: Tail,
    head: Arc<Head>,
    headers: HeaderMap,
    query: String,
    body: impl Stream<Item = Result<B, warp::Error>>,
) -> Result<Asked, Refusal> {
    let form = if head.method == Method::POST {
        let pause = app.gateway.settings.load().body_timeout;
        let body = body::collect(body, &headers, LONGEST_FORM, pause).await?;
        Params::parse(&String::from_utf8_lossy(&body))
    } else {
        Params::default()
    };
    let (path, format) = form_of(path.as_str(), &headers, &query);
    // Whoever lies here only gets a cookie that their own browser does not take.
    let forwarded = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let is_secure = dashboard.options.is_secure || forwarded;
    Ok(Asked { head, headers, path, format, query, form, is_secure })
}

/// The page's path without its ending, and the form that is wanted.
fn form_of(path: &str, headers: &HeaderMap, query: &str) -> (String, Format) {
    let path = path.trim_end_matches('/');
    for (ending, format) in [(".json", Format::Json), (".csv", Format::Csv)] {
        if let Some(path) = path.strip_suffix(ending) {
            return (path.to_owned(), format);
        }
    }
    let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let format = match (Params::parse(query).get("format"), accepted) {
        (Some("json"), _) => Format::Json,
        (Some("csv"), _) => Format::Csv,
        (None, Some(kinds)) if kinds.starts_with("application/json") => Format::Json,
        (None, Some(kinds)) if kinds.starts_with("text/csv") => Format::Csv,
        _ => Format::Html,
    };
    (path.to_owned(), format)
}

async fn answer(app: &Arc<App>, dashboard: &Arc<Dashboard>, asked: Asked) -> Response {
    if app.readiness.is_refusing() {
        let wait = Duration::from_secs(1);
        let why = "This instance is being drained; load the page again to reach another one.";
        return respond::problem(&Problem::Unavailable(why.to_owned(), wait), asked.format);
    }
    let reads = matches!(asked.head.method, Method::GET | Method::HEAD);
    let posts = asked.head.method == Method::POST;
    let format = asked.format;
    let answered = match asked.path.as_str() {
        "login" if reads => login::form(app, dashboard, &asked).await,
        "login" if posts => login::with_key(app, dashboard, &asked),
        "login/globus" if reads => with_globus::begin(dashboard, &asked),
        "login/callback" if reads => with_globus::end(app, dashboard, &asked).await,
        "logout" if posts => login::log_out(app, dashboard, &asked).await,
        "login" => return error::method_not_allowed("GET, HEAD, POST", error::Shape::OpenAi),
        "logout" => return error::method_not_allowed("POST", error::Shape::OpenAi),
        _ if !reads => return error::method_not_allowed("GET, HEAD", error::Shape::OpenAi),
        path if path.starts_with("assets/") => assets::find(path).ok_or(Problem::NotFound),
        "" if !asked.head.path.ends_with('/') => Ok(respond::redirect(ROOT)),
        _ => page(app, dashboard, &asked).await,
    };
    answered.unwrap_or_else(|problem| respond::problem(&problem, format))
}

/// A page for somebody who is logged in; whoever is not is asked to.
async fn page(
    app: &Arc<App>,
    dashboard: &Arc<Dashboard>,
    asked: &Asked,
) -> Result<Response, Problem> {
    let session = current(app, dashboard, asked).await?;
    let (caller, session) = match session {
        Some((session, caller)) => (caller, Some(session)),
        // Programs bring the credentials that they have for the API.
        None => match app.auth.authenticate(&app.gateway.catalog, &asked.headers).await {
            Ok(caller) => (caller, None),
            Err(error) if asked.format != Format::Html => {
                let refusal = super::not_admitted(&error);
                asked.head.log(refusal.status, None, None, Some(&refusal.message));
                return Ok(error::response(&refusal, error::Shape::OpenAi));
            }
            Err(_) => return Ok(respond::redirect(&login::address(asked))),
        },
    };
    let made = page_for(app, dashboard, asked, Arc::clone(&caller), session).await;
    note(app, asked, &caller, &made);
    made
}

/// Writes down who has looked at what. What a page that stays open fetches anew by itself is only
/// logged: it would be thousands of rows a day.
fn note(app: &App, asked: &Asked, caller: &Caller, made: &Result<Response, Problem>) {
    let (status, error) = match made {
        Ok(response) => (response.status(), None),
        Err(problem) => (problem.status(), Some(problem.message())),
    };
    if asked.headers.contains_key(REFRESH) {
        asked.head.log(status, Some(caller), None, error.as_deref());
    } else {
        app.gateway.record_access(&asked.head, caller, status, None, error.as_deref());
    }
}

async fn page_for(
    app: &Arc<App>,
    dashboard: &Arc<Dashboard>,
    asked: &Asked,
    caller: Arc<Caller>,
    session: Option<Session>,
) -> Result<Response, Problem> {
    if let Err(refusal) = app.gateway.count_request(&caller).await {
        let wait = refusal.retry_after.unwrap_or(Duration::from_secs(1));
        return Err(Problem::OverLimit(refusal.message, wait));
    }
    let form_token = session.as_ref().map(|session| dashboard.seal.form_token(&session.id));
    let view = View {
        app,
        dashboard,
        is_admin: dashboard.is_admin(&caller),
        caller,
        form_token,
        params: Params::parse(&asked.query),
        format: asked.format,
        now: Timestamp::now(),
    };
    let page = pages::make(&view, &asked.path).await?;
    let mut response = match asked.format {
        Format::Html => respond::html(http::StatusCode::OK, layout::page(&view, &page)),
        Format::Json => respond::json(&page.json),
        Format::Csv => respond::csv(page.name, page.table.ok_or(Problem::NotFound)?)?,
    };
    if let Some(renewed) = session.filter(|_| !asked.headers.contains_key(REFRESH)) {
        renew(dashboard, asked, &renewed, &mut response);
    }
    Ok(response)
}

/// The session that the request shows and whose it is, if it is still good.
async fn current(
    app: &App,
    dashboard: &Dashboard,
    asked: &Asked,
) -> Result<Option<(Session, Arc<Caller>)>, Problem> {
    let Some(sealed) = Cookie::Session.read(&asked.headers, asked.is_secure) else {
        return Ok(None);
    };
    let Some(session) = dashboard.seal.open::<Session>(Purpose::Session, sealed) else {
        return Ok(None);
    };
    if !session.is_current(dashboard.lifetimes(), Timestamp::now())
        || dashboard.ended.has(&session).await
    {
        return Ok(None);
    }
    match session.caller(&app.gateway.catalog, &app.auth).await {
        Ok(caller) => Ok(Some((session, caller))),
        Err(NoCaller::Ended) => Ok(None),
        Err(NoCaller::Unavailable(unavailable)) => Err(unavailable.into()),
    }
}

fn renew(dashboard: &Dashboard, asked: &Asked, session: &Session, response: &mut Response) {
    let Some(renewed) = session.renewed(dashboard.lifetimes(), Timestamp::now()) else { return };
    let sealed = dashboard.seal.close(Purpose::Session, &renewed);
    let cookie = sealed.and_then(|sealed| {
        Cookie::Session.set(&sealed, dashboard.options.lifetime, asked.is_secure)
    });
    add_cookie(response, cookie);
}

fn add_cookie(response: &mut Response, cookie: Option<HeaderValue>) {
    if let Some(cookie) = cookie {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
