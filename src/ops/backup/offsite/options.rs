//! What the query of an `s3://` URL says.

use std::time::Duration;

use percent_encoding::percent_decode_str;
use url::Url;

use super::{super::error::BackupError, place::invalid};

/// What the URL's query may hold.
const KEYS: &str = "endpoint, region, access_key_id, secret_access_key, session_token, \
                    virtual_hosted and retry_for";

/// What the query of an `s3://` URL says.
#[derive(Default)]
pub(super) struct Options {
    pub(super) endpoint: Option<String>,
    pub(super) region: Option<String>,
    pub(super) access_key_id: Option<String>,
    pub(super) secret_access_key: Option<String>,
    pub(super) session_token: Option<String>,
    pub(super) virtual_hosted: Option<bool>,
    pub(super) retry_for: Option<Duration>,
}

impl Options {
    /// Reads the query. Here `+` means itself: secrets of AWS have it in them.
    pub(super) fn read(query: &str) -> Result<Self, BackupError> {
        let mut options = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value)
                .decode_utf8()
                .map_err(|_| invalid(format!("{name} is not UTF-8")))?
                .into_owned();
            if value.is_empty() {
                return Err(invalid(format!("{name} has no value")));
            }
            match name {
                "endpoint" => options.endpoint = Some(check_endpoint(&value)?),
                "region" => options.region = Some(value),
                "access_key_id" => options.access_key_id = Some(value),
                "secret_access_key" => options.secret_access_key = Some(value),
                "session_token" => options.session_token = Some(value),
                "virtual_hosted" => options.virtual_hosted = Some(is_true(&value)?),
                "retry_for" => {
                    let duration = humantime::parse_duration(&value)
                        .map_err(|error| invalid(format!("retry_for: {error}")))?;
                    options.retry_for = Some(duration);
                }
                other => return Err(invalid(format!("it knows no `{other}`, only {KEYS}"))),
            }
        }
        Ok(options)
    }
}

fn is_true(value: &str) -> Result<bool, BackupError> {
    value.parse().map_err(|_| invalid("virtual_hosted must be true or false"))
}

/// The address, if it is one and nothing secret is in it.
pub(super) fn check_endpoint(endpoint: &str) -> Result<String, BackupError> {
    let url = Url::parse(endpoint).ok();
    let is_fine = url.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
    });
    if is_fine {
        return Ok(endpoint.trim_end_matches('/').to_owned());
    }
    Err(invalid("the endpoint must be an address such as https://s3.example.org"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_as_it_was_pasted() {
        let query = "access_key_id=AKIA&secret_access_key=a+b/c%3D=&endpoint=http://h:9000/";
        let options = Options::read(query).unwrap();
        assert_eq!(options.secret_access_key.as_deref(), Some("a+b/c=="));
        assert_eq!(options.endpoint.as_deref(), Some("http://h:9000"));
        assert_eq!(options.virtual_hosted, None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_without_repeating_it() {
        for query in [
            "acess_key_id=hush",
            "secret_access_key=",
            "session_token=%ff",
            "virtual_hosted=hush",
            "retry_for=hush",
            "endpoint=s3.example.org/hush",
            "endpoint=https://me:hush@s3.example.org",
            "endpoint=ftp://hush",
        ] {
            let error = Options::read(query).err().map(|error| error.to_string());
            let error = error.unwrap_or_else(|| panic!("{query} was taken"));
            assert!(error.starts_with("backup.offsite_url: "), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
