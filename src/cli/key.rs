//! `figw key`: API keys for people and services without another login.

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use serde::Serialize;
use uuid::Uuid;

use super::{
    Context, Failure, Outcome, ask,
    changes::{list, missing_flag},
    table::Table,
};
use crate::{
    auth::keys::{self, KeyRequest},
    domain::ApiKey,
};

/// API keys for people and services without another login
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make a key and show it, this once
    Create(CreateArgs),
    /// List every key, without its text
    List,
    /// Refuse a key from now on; running gateways follow within 5 seconds
    Revoke {
        /// The key's id, or its name if no other key has it
        #[arg(value_name = "ID|NAME")]
        key: String,
    },
}

/// Arguments of `key create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Your name for the key, such as `ada's notebook`
    #[arg(long)]
    name: Option<String>,
    /// The user its requests are accounted to, usually an address
    #[arg(long)]
    user: Option<String>,
    /// Groups it brings, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "GROUP")]
    groups: Vec<String>,
    /// When it ends: 90d, 2027-01-31 or 2027-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Models it is confined to, separated by commas [default: all]
    #[arg(long, value_delimiter = ',', value_name = "MODEL")]
    models: Vec<String>,
}

impl KeyCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever kept it from being done.
    pub async fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self {
            Self::Create(args) => create(args, context).await,
            Self::List => show_all(context).await,
            Self::Revoke { key } => revoke(&key, context).await,
        }
    }
}

#[derive(Serialize)]
struct Created<'a> {
    key: &'a str,
    #[serde(flatten)]
    kept: &'a ApiKey,
}

async fn create(args: CreateArgs, context: &Context) -> Result<Outcome, Failure> {
    let now = Timestamp::now();
    let expires_at = args.expires.as_deref().map(|when| parse_end(when, now)).transpose()?;
    let request = KeyRequest {
        name: required(args.name, "--name", "Name", "notebook", context)?,
        user: required(args.user, "--user", "User", "ada@anl.gov", context)?,
        groups: list(args.groups),
        models: list(args.models),
        expires_at,
    };
    let store = context.store().await?;
    let (text, key) = keys::generate(request, now)
        .map_err(|e| anyhow::anyhow!("the operating system gives no random bytes: {e}"))?;
    store.create_key(&key).await?;
    context.hint(format_args!(
        "Key `{}` ({}) for {}. This is the only time it is shown:",
        key.name, key.id, key.user
    ));
    context.print(&Created { key: &text, kept: &key }, text.as_str())?;
    Ok(Outcome::Done)
}

/// A value that must not be empty, asked for on a terminal.
fn required(
    value: Option<String>,
    flag: &str,
    question: &str,
    example: &str,
    context: &Context,
) -> Result<String, Failure> {
    let value = match value {
        None if context.is_interactive() => ask::text(question, None)?,
        None => return Err(missing_flag(flag, example)),
        Some(value) => value,
    };
    match value.trim() {
        "" => Err(Failure::usage(format!("{flag} is empty; give it as {flag} {example}"))),
        value if value.contains(char::is_control) => Err(Failure::usage(format!(
            "{flag} has a line break or another control character; give it as {flag} {example}"
        ))),
        value => Ok(value.to_owned()),
    }
}

/// Reads the end of a key's life: a moment, a day (it ends as that day begins, in UTC) or a time
/// from now.
fn parse_end(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    let wrong = |reason: &str| {
        Failure::usage(format!(
            "--expires {text}: {reason}; expected 90d, 2027-01-31 or 2027-01-31T12:00:00Z"
        ))
    };
    let end = if let Ok(moment) = text.parse::<Timestamp>() {
        moment
    } else if let Ok(day) = text.parse::<Date>() {
        let start = day.to_zoned(TimeZone::UTC).map_err(|_| wrong("is out of range"))?;
        start.timestamp()
    } else {
        let length = humantime::parse_duration(text)
            .map_err(|_| wrong("is neither a moment nor a length of time"))?;
        SignedDuration::try_from(length)
            .and_then(|length| now.checked_add(length))
            .map_err(|_| wrong("is out of range"))?
    };
    if end <= now { Err(wrong("is not in the future")) } else { Ok(end) }
}

/// Whether a key opens the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Active,
    Expired,
    Revoked,
}

impl State {
    fn of(key: &ApiKey, now: Timestamp) -> Self {
        match key.revoked_at {
            Some(_) => Self::Revoked,
            None if key.is_valid(now) => Self::Active,
            None => Self::Expired,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    key: ApiKey,
    state: State,
}

async fn show_all(context: &Context) -> Result<Outcome, Failure> {
    let keys = context.store().await?.keys().await?;
    let now = Timestamp::now();
    let mut table =
        Table::new(&["ID", "NAME", "USER", "STATE", "GROUPS", "MODELS", "EXPIRES", "LAST USE"]);
    let moment = |at: Option<Timestamp>, none: &str| {
        at.map_or(none.to_owned(), |at| at.strftime("%Y-%m-%d %H:%MZ").to_string())
    };
    for key in &keys {
        table.row([
            key.id.to_string(),
            key.name.clone(),
            key.user.clone(),
            State::of(key, now).as_str().to_owned(),
            key.groups.join(","),
            if key.models.is_empty() { "all".to_owned() } else { key.models.join(",") },
            moment(key.expires_at, "never"),
            moment(key.last_used_at, "never"),
        ]);
    }
    let listed: Vec<_> =
        keys.into_iter().map(|key| Listed { state: State::of(&key, now), key }).collect();
    context.print(&listed, table)?;
    Ok(Outcome::Done)
}

#[derive(Serialize)]
struct Revocation<'a> {
    id: Uuid,
    name: &'a str,
    revoked_at: Timestamp,
    already_revoked: bool,
}

async fn revoke(wanted: &str, context: &Context) -> Result<Outcome, Failure> {
    let store = context.store().await?;
    let keys = store.keys().await?;
    let key = choose(&keys, wanted)?;
    let now = Timestamp::now();
    if key.revoked_at.is_none() && !store.revoke_key(key.id, now).await? {
        return Err(anyhow::anyhow!("key {} vanished while it was being revoked", key.id).into());
    }
    let revocation = Revocation {
        id: key.id,
        name: &key.name,
        revoked_at: key.revoked_at.unwrap_or(now),
        already_revoked: key.revoked_at.is_some(),
    };
    let text = match key.revoked_at {
        Some(at) => format!("Key `{}` ({}) was revoked already, at {at}", key.name, key.id),
        None => format!("Key `{}` ({}) is revoked", key.name, key.id),
    };
    context.print(&revocation, text)?;
    Ok(Outcome::Done)
}

/// The key with that id or name. Among keys of one name, a single one that is not revoked is meant.
fn choose<'a>(keys: &'a [ApiKey], wanted: &str) -> Result<&'a ApiKey, Failure> {
    if let Some(key) = wanted.parse().ok().and_then(|id: Uuid| keys.iter().find(|k| k.id == id)) {
        return Ok(key);
    }
    let named: Vec<_> = keys.iter().filter(|key| key.name == wanted).collect();
    let live: Vec<_> = named.iter().filter(|key| key.revoked_at.is_none()).collect();
    match (named.as_slice(), live.as_slice()) {
        ([], _) => Err(anyhow::anyhow!("there is no key `{wanted}`; see `figw key list`").into()),
        (_, [key]) => Ok(key),
        ([.., newest], []) => Ok(newest),
        (_, several) => {
            let ids: Vec<_> = several.iter().map(|key| key.id.to_string()).collect();
            Err(anyhow::anyhow!(
                "{} keys are named `{wanted}`; give the id of one: {}",
                ids.len(),
                ids.join(", ")
            )
            .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u128, name: &str, revoked: bool) -> ApiKey {
        let request = KeyRequest { name: name.into(), ..KeyRequest::default() };
        let (_, key) = keys::generate(request, Timestamp::UNIX_EPOCH).unwrap();
        let revoked_at = revoked.then_some(Timestamp::UNIX_EPOCH);
        ApiKey { id: Uuid::from_u128(id), revoked_at, ..key }
    }

    #[test]
    fn an_end_is_a_length_of_time_a_day_or_a_moment() {
        let now: Timestamp = "2026-12-01T10:00:00Z".parse().unwrap();
        for (text, end) in [
            ("90d", "2027-03-01T10:00:00Z"),
            ("2027-01-31", "2027-01-31T00:00:00Z"),
            ("2027-01-31T12:00:00+02:00", "2027-01-31T10:00:00Z"),
        ] {
            assert_eq!(parse_end(text, now).unwrap(), end.parse().unwrap(), "{text}");
        }
        for (text, reason) in [
            ("2026-11-30", "not in the future"),
            ("0s", "not in the future"),
            ("soon", "neither a moment nor a length of time"),
            ("99999999y", "out of range"),
        ] {
            let failure = parse_end(text, now).unwrap_err();
            assert_eq!(failure.exit_status(), 2);
            assert!(failure.to_string().contains(reason), "{failure}");
        }
    }

    #[test]
    fn a_key_is_chosen_by_id_or_by_a_name_that_leaves_no_doubt() {
        let keys = [key(1, "a", true), key(2, "a", false), key(3, "b", false), key(4, "b", false)];
        assert_eq!(choose(&keys, "a").unwrap().id, keys[1].id);
        assert_eq!(choose(&keys, &keys[3].id.to_string()).unwrap().id, keys[3].id);
        let doubt = choose(&keys, "b").unwrap_err().to_string();
        assert!(doubt.contains(&keys[2].id.to_string()), "{doubt}");
        assert!(doubt.contains(&keys[3].id.to_string()), "{doubt}");
        assert_eq!(choose(&keys, "c").unwrap_err().exit_status(), 1);
    }
}
