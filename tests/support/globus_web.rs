//! The part of Globus Auth that browsers meet: the page where a person agrees, and the code that the
//! gateway turns into tokens. It gives them only for what the standards ask for.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::globus_auth::{APPLICATION, in_seconds};

/// What the person on the page does, and what became of it.
#[derive(Debug, Default)]
pub struct Web {
    /// The token of whoever agrees; who has none denies.
    pub token: Option<String>,
    /// Claims of the identity's token that are not as they should be.
    pub wrong: Vec<(&'static str, Value)>,
    pub revoked: Vec<String>,
    codes: HashMap<String, HashMap<String, String>>,
}

impl Web {
    /// Where the person's browser is sent on to.
    pub fn page(&mut self, query: &str) -> String {
        let asked: HashMap<String, String> =
            url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        assert_eq!(asked["client_id"], APPLICATION);
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["code_challenge_method"], "S256");
        assert!(asked["state"].len() >= 43 && asked["nonce"].len() >= 43);
        let back = asked["redirect_uri"].clone();
        let state = asked["state"].clone();
        if self.token.is_none() {
            return format!("{back}?error=access_denied&error_description=%3Cb%3E&state={state}");
        }
        let code = format!("code-{}", Uuid::new_v4());
        self.codes.insert(code.clone(), asked);
        format!("{back}?code={code}&state={state}")
    }

    /// The tokens for a code, or nothing.
    pub fn exchange(&mut self, form: &HashMap<String, String>) -> Option<Value> {
        let asked = self.codes.remove(form.get("code")?)?;
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(form.get("code_verifier")?));
        if asked["code_challenge"] != challenge
            || asked.get("redirect_uri") != form.get("redirect_uri")
        {
            return None;
        }
        let scope = format!("https://auth.globus.org/scopes/{APPLICATION}/action_all");
        assert_eq!(asked["scope"], format!("openid {scope}"));
        let mut claims = json!({
            "sub": "primary", "iss": "https://auth.globus.org", "aud": APPLICATION,
            "nonce": asked["nonce"], "exp": in_seconds(3600), "iat": in_seconds(0),
        });
        for (claim, value) in &self.wrong {
            claims[*claim] = value.clone();
        }
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let token = |server: &str, scope: &str, token: &str| {
            json!({"access_token": token, "scope": scope, "expires_in": 172_800,
                "token_type": "Bearer", "resource_server": server})
        };
        let mut answer = token("auth.globus.org", "openid", "about-the-person");
        answer["id_token"] = format!("e30.{claims}.c2ln").into();
        answer["other_tokens"] = json!([token(APPLICATION, &scope, self.token.as_deref()?)]);
        Some(answer)
    }
}
