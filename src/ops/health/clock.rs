//! This machine's clock beside everybody else's: tokens, certificates, keys and backups go by it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::header;
use jiff::{SignedDuration, Timestamp, fmt::rfc2822};
use url::Url;

use super::{Finding, Measure, State, Subject};
use crate::{
    cache,
    domain::EndpointSettings,
    ops::globus::{auth_address, compute_address},
    outbound,
    store::{Location, Session},
};

/// How long each may take to tell.
const PATIENCE: Duration = Duration::from_secs(4);

/// Back ends that are asked; they all have the same time where all is well.
const MOST_BACK_ENDS: usize = 8;

/// How far a clock is ahead of this machine's, and how exactly that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Offset {
    whose: String,
    ahead: SignedDuration,
    /// By so much it may be wrong.
    tolerance: Duration,
}

impl Offset {
    /// By how much the two surely differ.
    fn surely(&self) -> Duration {
        self.ahead.unsigned_abs().saturating_sub(self.tolerance)
    }
}

pub(super) async fn check(subject: &Subject) -> Option<Finding> {
    let asked = tokio::join!(database(subject), redis(subject), by_http(subject));
    let (database, redis, others) = asked;
    let offsets: Vec<_> = database.into_iter().chain(redis).chain(others).collect();
    if offsets.is_empty() {
        return None;
    }
    Some(judge(&subject.config.health, &offsets))
}

fn judge(settings: &crate::config::Health, offsets: &[Offset]) -> Finding {
    let worst = offsets.iter().map(Offset::surely).max().unwrap_or_default();
    let state = match worst {
        worst if worst > settings.clock_critical => State::Critical,
        worst if worst > settings.clock_warning => State::Warning,
        _ => State::Ok,
    };
    let wrong: Vec<_> = offsets.iter().filter(|o| o.surely() > settings.clock_warning).collect();
    let evidence = if wrong.is_empty() {
        let names: Vec<_> = offsets.iter().map(|offset| offset.whose.as_str()).collect();
        format!("the same time as {}", names.join(", "))
    } else {
        let told: Vec<_> = wrong.iter().map(|offset| describe(offset)).collect();
        // Where all others agree, it is this machine that is wrong.
        let own = if wrong.len() == offsets.len() && offsets.len() > 1 {
            "this machine's clock is wrong: "
        } else {
            ""
        };
        format!("{own}{}; look at chrony or systemd-timesyncd", told.join(", "))
    };
    let (warning, critical) = (settings.clock_warning, settings.clock_critical);
    Finding::new(state, evidence).measuring([Measure::seconds("clock_offset", worst.as_secs_f64())
        .above(Some(warning.as_secs_f64()), Some(critical.as_secs_f64()))])
}

fn describe(offset: &Offset) -> String {
    let by = Duration::from_secs(offset.surely().as_secs().max(1));
    let word = if offset.ahead.is_negative() { "behind" } else { "ahead" };
    format!("{} is {} {word}", offset.whose, humantime::format_duration(by))
}

async fn database(subject: &Subject) -> Option<Offset> {
    let options = subject.store_options().ok()?;
    let Ok(Location::Postgres(url)) = options.location() else { return None };
    let asked = async {
        let session = Session::open(&url, &options).await.ok()?;
        let (begun, sent) = (Instant::now(), Timestamp::now());
        let rows = session.client.query_typed("SELECT clock_timestamp()", &[]).await.ok()?;
        let told: Timestamp = rows.first()?.try_get(0).ok()?;
        Some(offset("the database", told, sent, begun.elapsed(), Duration::ZERO))
    };
    tokio::time::timeout(PATIENCE, asked).await.ok()?
}

async fn redis(subject: &Subject) -> Option<Offset> {
    let url = subject.config.cache.redis_url.as_ref()?.reveal().ok()?;
    let seen = cache::inspect(&url).await.ok()?;
    Some(Offset { whose: "Redis".to_owned(), ahead: seen.ahead, tolerance: seen.round_trip / 2 })
}

/// Everybody who answers over HTTP says what time it is.
async fn by_http(subject: &Subject) -> Vec<Offset> {
    let Ok(client) = outbound::client(PATIENCE) else { return Vec::new() };
    let asked = places(subject).await.into_iter().map(|(whose, url)| ask(&client, whose, url));
    join_all(asked).await.into_iter().flatten().collect()
}

async fn places(subject: &Subject) -> Vec<(String, Url)> {
    let config = &subject.config;
    let mut places = Vec::new();
    if config.auth.globus.application_id.is_some()
        && let Ok(url) = auth_address(&config.auth.globus)
    {
        places.push(("Globus Auth".to_owned(), url));
    }
    if config.globus_compute.client_id.is_some()
        && let Ok(url) = compute_address(config)
    {
        places.push(("Globus Compute".to_owned(), url));
    }
    let Ok(catalogue) = subject.catalogue().await else { return places };
    let mut back_ends: Vec<_> = catalogue
        .snapshot
        .endpoints()
        .iter()
        .filter(|served| served.endpoint.enabled && served.cluster.maintenance.is_none())
        .filter_map(|served| match &served.endpoint.settings {
            EndpointSettings::DirectApi(settings) => Url::parse(&settings.api_url).ok(),
            _ => None,
        })
        .filter_map(|mut url| {
            url.set_path("/");
            url.set_query(None);
            Some((url.host_str()?.to_owned(), url))
        })
        .collect();
    back_ends.sort();
    back_ends.dedup();
    places.extend(back_ends.into_iter().take(MOST_BACK_ENDS));
    places
}

async fn ask(client: &reqwest::Client, whose: String, url: Url) -> Option<Offset> {
    let (begun, sent) = (Instant::now(), Timestamp::now());
    let answer = client.head(url).send().await.ok()?;
    let date = answer.headers().get(header::DATE)?.to_str().ok()?;
    let told = rfc2822::DateTimeParser::new().parse_timestamp(date).ok()?;
    // The header has whole seconds, and servers may keep it for another one.
    Some(offset(&whose, told, sent, begun.elapsed(), Duration::from_secs(2)))
}

fn offset(
    whose: &str,
    told: Timestamp,
    sent: Timestamp,
    took: Duration,
    coarse: Duration,
) -> Offset {
    let half = SignedDuration::try_from(took / 2).unwrap_or_default();
    let ahead = told.duration_since(sent) - half;
    Offset { whose: whose.to_owned(), ahead, tolerance: took / 2 + coarse }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(whose: &str, seconds: i64) -> Offset {
        let ahead = SignedDuration::from_secs(seconds);
        Offset { whose: whose.to_owned(), ahead, tolerance: Duration::from_millis(10) }
    }

    #[test]
    fn who_is_wrong_is_told_by_the_others() {
        let settings = crate::config::Health::default();
        for (offsets, state, word) in [
            (vec![off("a", 0), off("b", 5)], State::Ok, "the same time as a, b"),
            (vec![off("a", 0), off("b", -6)], State::Warning, "b is 5s behind"),
            (vec![off("a", 0), off("b", 61)], State::Critical, "b is 1m ahead"),
            (vec![off("a", 7), off("b", 7)], State::Warning, "this machine's clock is wrong: a"),
        ] {
            let found = judge(&settings, &offsets);
            assert_eq!(found.state, state, "{found:?}");
            assert!(found.evidence.contains(word), "{found:?}");
        }
    }
}
