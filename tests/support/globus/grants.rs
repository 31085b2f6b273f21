//! How Globus Auth hands out tokens: the grants of OAuth 2.0 that a gateway and its users need.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;
use uuid::Uuid;

use super::{
    answer::Answer,
    auth::{Books, Issued},
    switches::Asked,
};

/// Names of services in answers to token requests.
pub(super) const AUTH: &str = "auth.globus.org";
pub(super) const GROUPS: &str = "groups.api.globus.org";
pub(super) const TRANSFER: &str = "transfer.api.globus.org";
pub(super) const COMPUTE: &str = "funcx_service";

const COMPUTE_SCOPE: &str =
    "https://auth.globus.org/scopes/facd7ccc-c5f4-42aa-916b-a0e270e2c2a9/all";
const TRANSFER_SCOPE: &str = "urn:globus:auth:scope:transfer.api.globus.org:all";
const GROUPS_SCOPE: &str =
    "urn:globus:auth:scope:groups.api.globus.org:view_my_groups_and_memberships";
const DEPENDENT: &str = "urn:globus:auth:grant_type:dependent_token";

/// What somebody has agreed to in the browser.
#[derive(Clone)]
pub(super) struct Login {
    client_id: String,
    redirect_uri: String,
    challenge: String,
    scopes: String,
    offline: bool,
}

pub(super) fn token(books: &mut Books, asked: &Asked) -> Answer {
    match asked.field("grant_type").as_deref() {
        Some("client_credentials") => client_credentials(books, asked),
        Some(DEPENDENT) => dependent_tokens(books, asked),
        Some("authorization_code") => authorization_code(books, asked),
        Some("refresh_token") => refresh(books, asked),
        _ => Answer::oauth_error(400, "unsupported_grant_type"),
    }
}

fn client_credentials(books: &mut Books, asked: &Asked) -> Answer {
    if books.client(asked).is_none() {
        return Answer::oauth_error(401, "invalid_client");
    }
    match asked.field("scope").and_then(|scopes| grant(books, &scopes, None, false)) {
        Some(tokens) => Answer::ok(&in_one(tokens)),
        None => Answer::oauth_error(400, "invalid_scope"),
    }
}

fn dependent_tokens(books: &mut Books, asked: &Asked) -> Answer {
    if books.client(asked).is_none() {
        return Answer::oauth_error(401, "invalid_client");
    }
    let Some(token) = asked.field("token").filter(|token| books.is_active(token)) else {
        return Answer::oauth_error(400, "invalid_grant");
    };
    let scopes = asked.field("scope").unwrap_or_else(|| format!("{TRANSFER_SCOPE} {GROUPS_SCOPE}"));
    match grant(books, &scopes, Some(&token), false) {
        Some(tokens) => Answer::ok(&tokens.into()),
        None => Answer::oauth_error(400, "invalid_scope"),
    }
}

/// The page people log in at: whoever comes has agreed already.
pub(super) fn authorize(books: &mut Books, asked: &Asked) -> Answer {
    let parameter = |name: &str| asked.parameter(name).filter(|value| !value.is_empty());
    let wrong = |what: &str| Answer::api_error(400, "BAD_REQUEST", what);
    if parameter("response_type").as_deref() != Some("code") {
        return wrong("response_type is not code");
    }
    if parameter("code_challenge_method").as_deref() != Some("S256") {
        return wrong("code_challenge_method is not S256");
    }
    let (Some(client_id), Some(redirect_uri), Some(challenge), Some(scopes)) = (
        parameter("client_id"),
        parameter("redirect_uri"),
        parameter("code_challenge"),
        parameter("scope"),
    ) else {
        return wrong("client_id, redirect_uri, code_challenge or scope is missing");
    };
    let Ok(mut target) = Url::parse(&redirect_uri) else {
        return wrong("redirect_uri is no URL");
    };
    let code = Uuid::new_v4().simple().to_string();
    let offline = parameter("access_type").as_deref() == Some("offline");
    let login = Login { client_id, redirect_uri, challenge, scopes, offline };
    books.codes.insert(code.clone(), login);
    books.last_code = Some(code.clone());
    if target.path().ends_with("/v2/web/auth-code") {
        return Answer::page(format!("<!doctype html><p>Your code: <code>{code}</code>"));
    }
    target.query_pairs_mut().append_pair("code", &code);
    if let Some(state) = parameter("state") {
        target.query_pairs_mut().append_pair("state", &state);
    }
    Answer::redirect(target.as_str())
}

fn authorization_code(books: &mut Books, asked: &Asked) -> Answer {
    // Used up by the first attempt, whatever comes of it.
    let login = asked.field("code").and_then(|code| books.codes.remove(&code));
    let Some(login) = login else { return Answer::oauth_error(401, "invalid_grant") };
    let verifier = asked.field("code_verifier").unwrap_or_default();
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let same = asked.field("client_id").as_ref() == Some(&login.client_id)
        && asked.field("redirect_uri").as_ref() == Some(&login.redirect_uri)
        && (43..=128).contains(&verifier.len())
        && challenge == login.challenge;
    if !same {
        return Answer::oauth_error(401, "invalid_grant");
    }
    hand_over(books, &login)
}

fn refresh(books: &mut Books, asked: &Asked) -> Answer {
    let login = asked.field("refresh_token").and_then(|token| books.refresh_tokens.get(&token));
    let login = login.filter(|login| asked.field("client_id").as_ref() == Some(&login.client_id));
    match login.cloned() {
        Some(login) => hand_over(books, &Login { offline: false, ..login }),
        None => Answer::oauth_error(400, "invalid_grant"),
    }
}

fn hand_over(books: &mut Books, login: &Login) -> Answer {
    let Some(mut tokens) = grant(books, &login.scopes, None, true) else {
        return Answer::oauth_error(400, "invalid_scope");
    };
    if login.offline {
        for token in &mut tokens {
            let text = format!("refresh-{}", Uuid::new_v4().simple());
            books.refresh_tokens.insert(text.clone(), login.clone());
            token["refresh_token"] = text.into();
        }
    }
    Answer::ok(&in_one(tokens))
}

/// A token for each service that the scopes name; nothing when one is unknown. `of_person` says
/// that whoever logs in owns them.
fn grant(
    books: &mut Books,
    scopes: &str,
    from: Option<&str>,
    of_person: bool,
) -> Option<Vec<Value>> {
    let mut by_service: Vec<(String, Vec<&str>)> = Vec::new();
    for scope in scopes.split_whitespace() {
        let service = service_of(scope)?;
        match by_service.iter_mut().find(|(known, _)| *known == service) {
            Some((_, scopes)) => scopes.push(scope),
            None => by_service.push((service, vec![scope])),
        }
    }
    let mut tokens = Vec::new();
    for (resource_server, scopes) in by_service {
        let text = format!("access-{}", Uuid::new_v4().simple());
        tokens.push(json!({"access_token": text, "scope": scopes.join(" "),
            "expires_in": books.token_life, "token_type": "Bearer",
            "resource_server": resource_server}));
        if let Some(document) = books.login.clone().filter(|_| of_person) {
            books.set_document(&text, document);
        }
        books.issued.insert(text, Issued { resource_server, from: from.map(str::to_owned) });
    }
    (!tokens.is_empty()).then_some(tokens)
}

/// The service that a scope is of.
fn service_of(scope: &str) -> Option<String> {
    // Whatever depends on it stands in brackets.
    let scope = scope.split('[').next()?;
    let name = match scope {
        "openid" | "profile" | "email" | "offline_access" => AUTH,
        COMPUTE_SCOPE => COMPUTE,
        TRANSFER_SCOPE => TRANSFER,
        _ if scope.starts_with("urn:globus:auth:scope:groups.api.globus.org:") => GROUPS,
        _ if scope.starts_with("urn:globus:auth:scope:auth.globus.org:") => AUTH,
        _ => scope.strip_prefix("https://auth.globus.org/scopes/")?.split('/').next()?,
    };
    Some(name.to_owned())
}

/// The first token with the others inside it.
fn in_one(mut tokens: Vec<Value>) -> Value {
    let mut first = tokens.remove(0);
    first["other_tokens"] = tokens.into();
    first
}
