//! What a store's errors mean, in one line that says what to do.

use std::{error::Error, io};

use object_store::client::{HttpError, HttpErrorKind};

use super::{
    super::error::BackupError,
    place::{INSTANCE_METADATA, Place},
};

/// What to do about keys that the store does not take.
const KEYS: &str = "check the access key and what it may do: AWS_ACCESS_KEY_ID and \
                    AWS_SECRET_ACCESS_KEY, or backup.offsite_url";
/// What to do about a region.
const REGION: &str = "set the region of the bucket: AWS_REGION, or ?region=… in backup.offsite_url";

impl Place {
    /// What the store met; `action` is what figw tried, such as `upload x to`.
    pub(super) fn failed(&self, action: &str, error: &object_store::Error) -> BackupError {
        if let Some(directory) = &self.directory
            && let Some(error) = find::<io::Error>(error)
        {
            return BackupError::io(action, directory, error);
        }
        BackupError::failed(format!("cannot {action} {self}: {}", explain(error)))
    }
}

fn explain(error: &object_store::Error) -> String {
    let text = error.to_string();
    if text.contains(INSTANCE_METADATA) {
        return "there is no access key; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or \
                ?access_key_id=…&secret_access_key=… in backup.offsite_url"
            .to_owned();
    }
    if let Some(http) = find::<HttpError>(error) {
        let why = innermost(http);
        return match http.kind() {
            HttpErrorKind::Connect => {
                format!("no connection: {why}; check the endpoint, and whether the store is up")
            }
            HttpErrorKind::Timeout => {
                format!("it did not answer in time: {why}; check the network and the store")
            }
            _ => format!("the connection broke: {why}"),
        };
    }
    refusal(error, &text)
}

/// What the store itself said.
fn refusal(error: &object_store::Error, text: &str) -> String {
    let code = between(text, "<Code>", "</Code>").unwrap_or_default();
    let is_keys = ["401 Unauthorized", "403 Forbidden"].iter().any(|status| text.contains(status));
    match code {
        "NoSuchBucket" => {
            "there is no such bucket; create it, or correct backup.offsite_url".to_owned()
        }
        "RequestTimeTooSkewed" => {
            "its clock and this machine's differ too much; set this machine's clock".to_owned()
        }
        "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired" => {
            format!("the session token is no longer good ({code}); {KEYS}")
        }
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            format!("the bucket is elsewhere ({code}); {REGION}")
        }
        _ if text.contains("redirect without LOCATION") || text.contains("301 Moved") => {
            format!("the bucket is elsewhere; {REGION}")
        }
        "" if is_keys => format!("the store refuses this access key; {KEYS}"),
        code if is_keys => format!("the store refuses this access key ({code}); {KEYS}"),
        "" => one_line(&innermost(error)),
        code => {
            let message = between(text, "<Message>", "</Message>").unwrap_or_default();
            one_line(&format!("{code}: {message}"))
        }
    }
}

/// The first error of this type among the causes.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut cause = Some(error);
    while let Some(this) = cause {
        if let Some(found) = this.downcast_ref() {
            return Some(found);
        }
        cause = this.source();
    }
    None
}

/// The last cause, which is the one that tells something.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(cause) = last.source() {
        last = cause;
    }
    last.to_string()
}

fn between<'a>(text: &'a str, from: &str, to: &str) -> Option<&'a str> {
    Some(text.split_once(from)?.1.split_once(to)?.0)
}

/// An answer can be a page.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(LONGEST).collect()
}
