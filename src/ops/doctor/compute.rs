//! Checks of inference through Globus Compute.

use std::time::Duration;

use super::{Finding, Outcome, Subject, globus::could_not_look};
use crate::{
    config::Secret,
    globus::{
        Service, ServiceAccount, Tokens,
        compute::{RESOURCE_SERVER, SCOPE},
    },
    ops::globus::auth_service,
};

/// How long Globus Auth may take.
const PATIENCE: Duration = Duration::from_secs(12);

/// Whether Globus Auth gives every service account a token for Globus Compute.
pub(super) async fn credentials(subject: &Subject) -> Finding {
    let settings = &subject.config().globus_compute;
    let main = settings.client_id.as_ref().zip(settings.client_secret.as_ref());
    let main = main.map(|(id, secret)| ("globus_compute".to_owned(), id, secret));
    let others = settings.credentials_overrides.iter().map(|(endpoint, account)| {
        let key = format!("globus_compute.credentials_overrides.{endpoint}");
        (key, &account.client_id, &account.client_secret)
    });
    let auth = match auth_service(&subject.config().auth.globus, PATIENCE) {
        Ok(auth) => auth,
        Err(error) => return Finding::fail(format!("{error:#}"), "correct auth.globus.auth_url"),
    };
    let mut accepted = Vec::new();
    for (key, id, secret) in main.into_iter().chain(others) {
        let finding = check(&auth, &key, id, secret).await;
        if finding.outcome != Outcome::Pass {
            return finding;
        }
        accepted.push(id.as_str());
    }
    if accepted.is_empty() {
        return Finding::not_applicable(
            "globus_compute.client_id is not set: no inference through Globus Compute",
        );
    }
    Finding::pass(format!("Globus Auth has tokens for {}", accepted.join(", ")))
}

async fn check(auth: &Service, key: &str, id: &str, secret: &Secret) -> Finding {
    let account = match secret.reveal() {
        Ok(secret) => ServiceAccount { id: id.to_owned(), secret },
        Err(error) => return Finding::fail(error.to_string(), "make the secret readable for figw"),
    };
    let tokens = Tokens::new(auth.clone(), account, SCOPE, RESOURCE_SERVER);
    match tokens.with(|_| async { Ok(()) }).await {
        Ok(()) => Finding::pass(key),
        Err(error) if error.refused_with().is_some() => Finding::fail(
            format!("{key}: {error}"),
            format!(
                "correct {key}.client_id and client_secret; secrets are made at \
                 https://app.globus.org/settings/developers"
            ),
        ),
        Err(error) => could_not_look(&error),
    }
}
