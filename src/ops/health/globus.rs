//! Whether Globus' services answer, and know who this gateway is.

use std::time::{Duration, Instant};

use super::{Finding, Measure, State, Subject};
use crate::{
    auth::globus::Services,
    config::{Config, Secret},
    globus::{
        GlobusError, Service, ServiceAccount, Tokens,
        compute::{RESOURCE_SERVER, SCOPE},
    },
    ops::globus::{auth_service, compute_service, services},
};

/// How long a service may take, however often it is asked again.
const PATIENCE: Duration = Duration::from_secs(8);

/// The same for one request.
const REQUEST: Duration = Duration::from_secs(5);

/// Whether Globus Auth accepts the application's own id and secret.
pub(super) async fn auth(subject: &Subject) -> Option<Finding> {
    let ask = async |services: &Services| services.auth.check_credentials().await;
    let good = "Globus Auth accepts the application's id and secret";
    let bad = "nobody whom this gateway does not know yet can come in";
    logins(&subject.config, ask, "globus_auth_time", good, bad).await
}

/// Whether Globus Groups answers; it is asked only where groups matter.
pub(super) async fn groups(subject: &Subject) -> Option<Finding> {
    let ask = async |services: &Services| services.groups.check_reachable().await;
    let bad = "people whose groups matter cannot come in for the first time";
    logins(&subject.config, ask, "globus_groups_time", "Globus Groups answers", bad).await
}

/// Whether Globus Auth has tokens for every service account, and Globus Compute answers.
pub(super) async fn compute(subject: &Subject) -> Option<Finding> {
    let accounts = accounts(&subject.config);
    if accounts.is_empty() {
        return None;
    }
    let begun = Instant::now();
    let asked = async {
        for (key, id, secret) in accounts {
            accept(&subject.config, &key, id, secret).await?;
        }
        let service = compute_service(&subject.config, REQUEST).map_err(unknown)?;
        match service.send::<serde_json::Value>(service.get("/v2/version")).await {
            // A refusal shows that the service is there.
            Ok(_) | Err(GlobusError::Refused { .. } | GlobusError::Malformed { .. }) => Ok(()),
            Err(error) => Err(critical(&error.to_string())),
        }
    };
    let good = "Globus Compute answers, and the service accounts are accepted";
    let bad = "models behind Globus Compute cannot be reached";
    Some(timed("Globus Compute", "globus_compute_time", begun, asked, good, bad).await)
}

/// Every service account with the key that it stands under.
fn accounts(config: &Config) -> Vec<(String, &str, &Secret)> {
    let settings = &config.globus_compute;
    let main = settings.client_id.as_deref().zip(settings.client_secret.as_ref());
    let main = main.map(|(id, secret)| ("globus_compute".to_owned(), id, secret));
    let others = settings.credentials_overrides.iter().map(|(endpoint, account)| {
        let key = format!("globus_compute.credentials_overrides.{endpoint}");
        (key, account.client_id.as_str(), &account.client_secret)
    });
    main.into_iter().chain(others).collect()
}

async fn accept(config: &Config, key: &str, id: &str, secret: &Secret) -> Result<(), Finding> {
    let secret = secret.reveal().map_err(unknown)?;
    let auth: Service = auth_service(&config.auth.globus, REQUEST).map_err(unknown)?;
    let account = ServiceAccount { id: id.to_owned(), secret };
    let tokens = Tokens::new(auth, account, SCOPE, RESOURCE_SERVER);
    let asked = tokens.with(|_| async { Ok(()) }).await;
    asked.map_err(|error| critical(&format!("{key}: {error}")))
}

async fn logins(
    config: &Config,
    ask: impl AsyncFnOnce(&Services) -> Result<(), GlobusError>,
    name: &'static str,
    good: &str,
    bad: &str,
) -> Option<Finding> {
    let begun = Instant::now();
    let services = match services(&config.auth.globus) {
        Ok(Some((services, _))) => services,
        Ok(None) => return None,
        Err(error) => return Some(unknown(error)),
    };
    let asked = async { ask(&services).await.map_err(|error| critical(&error.to_string())) };
    Some(timed("Globus", name, begun, asked, good, bad).await)
}

/// What came of it, within the time that it may take.
async fn timed(
    service: &str,
    name: &'static str,
    begun: Instant,
    asked: impl Future<Output = Result<(), Finding>>,
    good: &str,
    bad: &str,
) -> Finding {
    let asked = tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| {
        Err(critical(&format!("{service}: no answer within {} s", PATIENCE.as_secs())))
    });
    let finding = asked.map_or_else(
        |finding| match finding.state {
            State::Critical => {
                let seen = &finding.evidence;
                critical(&format!("{seen}: {bad}; see https://status.globus.org"))
            }
            _ => finding,
        },
        |()| Finding::new(State::Ok, good),
    );
    finding.measuring([Measure::seconds(name, begun.elapsed().as_secs_f64())])
}

fn critical(evidence: &str) -> Finding {
    Finding::new(State::Critical, evidence)
}

fn unknown(error: impl Into<anyhow::Error>) -> Finding {
    Finding::new(State::Unknown, format!("{:#}", error.into()))
}
