//! What Globus Auth knows of people and policies, as documents that a test may change further.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How long a login lives, in seconds.
const LIFE: i64 = 172_800;

/// An active token of somebody who has logged in with the identity provider `domain` of `username`,
/// in this session.
pub fn researcher(username: &str) -> Value {
    let (name, domain) = username.split_once('@').unwrap_or((username, "example.org"));
    let identity = identifier(username);
    let provider = identifier(domain);
    let mut document = active(username, &identity);
    document["name"] = name.into();
    document["email"] = username.into();
    document["identity_set"] = json!([identity]);
    document["identity_set_detail"] = json!([{
        "sub": identity, "username": username, "name": name, "email": username,
        "organization": domain, "identity_provider": provider,
        "identity_provider_display_name": domain, "identity_type": "login",
        "last_authentication": Timestamp::now().as_second(),
    }]);
    document["session_info"] = json!({
        "session_id": Uuid::new_v4(),
        "authentications": {
            (identity.clone()): {"idp": provider, "auth_time": Timestamp::now().as_second(), "acr": null,
                "amr": null, "custom_claims": {}},
        },
    });
    document
}

/// An active token of a client by itself. Its user name is `<id>@clients.auth.globus.org`.
pub fn service_account(client_id: &str) -> Value {
    let username = format!("{client_id}@clients.auth.globus.org");
    let mut document = active(&username, client_id);
    document["identity_set"] = json!([client_id]);
    document["identity_set_detail"] = json!([{"sub": client_id, "username": username,
        "name": "a service", "email": null}]);
    document["session_info"] = json!({"session_id": Uuid::new_v4(), "authentications": {}});
    document
}

/// A policy that restricts sessions to these domains.
pub fn policy(id: &str, high_assurance: bool, domains: &[&str]) -> Value {
    json!({"policy": {"id": id, "high_assurance": high_assurance,
        "domain_constraints_include": domains, "domain_constraints_exclude": null,
        "authentication_assurance_timeout": 3600, "display_name": "a policy", "description": "",
        "project_id": Uuid::new_v4(), "required_mfa": false}})
}

fn active(username: &str, sub: &str) -> Value {
    let now = Timestamp::now().as_second();
    json!({
        "active": true, "token_type": "Bearer", "client_id": super::APPLICATION_ID,
        "scope": format!("https://auth.globus.org/scopes/{}/action_all", super::APPLICATION_ID),
        "sub": sub, "username": username, "name": null, "email": null,
        "aud": [super::APPLICATION_ID], "iss": "https://auth.globus.org",
        "exp": now + LIFE, "iat": now, "nbf": now,
    })
}

/// The same identifier for the same name.
fn identifier(name: &str) -> String {
    let hash: [u8; 32] = Sha256::digest(name).into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
}
