//! For which gateway a login is: from the command line, the configuration, or the last login.

use std::{
    env, fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::file::write_private;
use crate::config::Config;

/// FIRST's own name for its helper, so that both use one login.
const APP_NAME: &str = "inference_app";

/// What the command line says; it goes before everything else.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The native application that asks.
    pub client_id: Option<Uuid>,
    /// The gateway that the login is for.
    pub gateway_id: Option<Uuid>,
    /// The application's name.
    pub app_name: Option<String>,
    /// Policies that the login must satisfy.
    pub policies: Vec<String>,
    /// Domains, of which the login must be with one.
    pub domains: Vec<String>,
}

/// For which gateway a login is, and through which application.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The native application that asks.
    pub client_id: Uuid,
    /// The gateway that the login is for.
    pub gateway_id: Uuid,
    /// The application's name.
    pub app_name: String,
    /// Policies that the login must satisfy.
    #[serde(default)]
    pub policies: Vec<String>,
    /// Domains, of which the login must be with one.
    #[serde(default)]
    pub domains: Vec<String>,
}

/// What is missing or wrong.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// Nothing says which application asks.
    #[error(
        "which application should log you in? Give --client-id UUID, or set login.client_id in the configuration; the gateway's operator knows it"
    )]
    NoClient,
    /// Nothing says which gateway the login is for.
    #[error(
        "which gateway is the login for? Give --gateway UUID, or set login.gateway_id in the configuration; the gateway's operator knows it"
    )]
    NoGateway,
    /// An id that Globus cannot have given.
    #[error("{0} is not a UUID, as Globus gives them")]
    NotAnId(&'static str),
    /// There is no place for a login's files.
    #[error("there is no home directory: set HOME")]
    NoHome,
}

impl Choice {
    /// Puts together what the command line, the configuration and the last login say.
    ///
    /// # Errors
    /// When they do not say enough.
    pub fn make(wanted: Wanted, config: &Config, last: Option<Self>) -> Result<Self, ChoiceError> {
        let (login, globus) = (&config.login, &config.auth.globus);
        let client =
            or_configured(wanted.client_id, login.client_id.as_deref(), "login.client_id")?;
        let gateway =
            or_configured(wanted.gateway_id, login.gateway_id.as_deref(), "login.gateway_id")?;
        let gateway =
            or_configured(gateway, globus.application_id.as_deref(), "auth.globus.application_id")?;
        // The last login counts only where nothing said so far speaks of another one.
        let last = last.filter(|last| {
            client.is_none_or(|id| id == last.client_id)
                && gateway.is_none_or(|id| id == last.gateway_id)
        });
        let app_name = wanted.app_name.or_else(|| login.app_name.clone());
        let said = Said::of(wanted.policies, wanted.domains)
            .or_else(|| Said::of(login.policies.clone(), login.domains.clone()))
            .or_else(|| Said::of(globus.policies.clone(), Vec::new()))
            .or_else(|| Said::of(Vec::new(), globus.authorized_idp_domains.clone()));
        let said = said.or_else(|| {
            last.as_ref().and_then(|last| Said::of(last.policies.clone(), last.domains.clone()))
        });
        let Said { policies, domains } = said.unwrap_or_default();
        let last_ids = last.as_ref().map(|last| (last.client_id, last.gateway_id));
        Ok(Self {
            client_id: client.or(last_ids.map(|ids| ids.0)).ok_or(ChoiceError::NoClient)?,
            gateway_id: gateway.or(last_ids.map(|ids| ids.1)).ok_or(ChoiceError::NoGateway)?,
            app_name: app_name
                .or_else(|| last.map(|last| last.app_name))
                .unwrap_or_else(|| APP_NAME.to_owned()),
            policies,
            domains,
        })
    }

    /// The choice of the last login on this account, when there was one.
    #[must_use]
    pub fn last(home: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(remembered_in(home)).ok()?).ok()
    }

    /// Remembers the choice for commands that say nothing else. It holds nothing secret.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn remember(&self, home: &Path) -> io::Result<()> {
        let path = remembered_in(home);
        let directory = path.parent().unwrap_or(home);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        write_private(&path, self)
    }
}

/// What a login must satisfy, where anything was said about it.
#[derive(Default)]
struct Said {
    policies: Vec<String>,
    domains: Vec<String>,
}

impl Said {
    fn of(policies: Vec<String>, domains: Vec<String>) -> Option<Self> {
        (!policies.is_empty() || !domains.is_empty()).then_some(Self { policies, domains })
    }
}

fn or_configured(
    given: Option<Uuid>,
    configured: Option<&str>,
    key: &'static str,
) -> Result<Option<Uuid>, ChoiceError> {
    match (given, configured) {
        (None, Some(text)) => {
            Uuid::parse_str(text).map(Some).map_err(|_| ChoiceError::NotAnId(key))
        }
        (given, _) => Ok(given),
    }
}

fn remembered_in(home: &Path) -> PathBuf {
    let base = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    base.unwrap_or_else(|| home.join(".config")).join("figw/login.json")
}

/// The person's home directory.
///
/// # Errors
/// When there is none.
pub fn home() -> Result<PathBuf, ChoiceError> {
    env::home_dir().filter(|home| home.is_absolute()).ok_or(ChoiceError::NoHome)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_u128(1);
    const TWO: Uuid = Uuid::from_u128(2);
    const THREE: Uuid = Uuid::from_u128(3);

    fn last() -> Choice {
        Choice {
            client_id: ONE,
            gateway_id: TWO,
            app_name: "app".into(),
            policies: vec!["p".into()],
            domains: vec![],
        }
    }

    #[test]
    fn without_anything_each_missing_thing_is_named() {
        let config = Config::default();
        let error = Choice::make(Wanted::default(), &config, None).unwrap_err();
        assert!(error.to_string().contains("--client-id"), "{error}");
        let wanted = Wanted { client_id: Some(ONE), ..Wanted::default() };
        let error = Choice::make(wanted, &config, None).unwrap_err();
        assert!(error.to_string().contains("--gateway"), "{error}");
    }

    #[test]
    fn the_last_login_fills_in_only_for_the_same_gateway() {
        let config = Config::default();
        assert_eq!(Choice::make(Wanted::default(), &config, Some(last())).unwrap(), last());
        let other = Wanted { gateway_id: Some(THREE), ..Wanted::default() };
        assert!(matches!(Choice::make(other, &config, Some(last())), Err(ChoiceError::NoClient)));
    }

    #[test]
    fn the_gateway_s_own_configuration_is_enough_but_for_the_client() {
        let mut config = Config::default();
        config.login.client_id = Some(ONE.to_string());
        config.auth.globus.application_id = Some(TWO.to_string());
        config.auth.globus.authorized_idp_domains = vec!["anl.gov".into()];
        let choice = Choice::make(Wanted::default(), &config, None).unwrap();
        assert_eq!((choice.client_id, choice.gateway_id), (ONE, TWO));
        assert_eq!((choice.app_name.as_str(), choice.domains), (APP_NAME, vec!["anl.gov".into()]));
        config.auth.globus.policies = vec!["p".into()];
        let choice = Choice::make(Wanted::default(), &config, None).unwrap();
        assert_eq!((choice.policies, choice.domains), (vec!["p".into()], vec![]));
        config.auth.globus.application_id = Some("app".into());
        let error = Choice::make(Wanted::default(), &config, None).unwrap_err();
        assert!(error.to_string().contains("auth.globus.application_id"), "{error}");
    }

    #[test]
    fn the_command_line_goes_first() {
        let mut config = Config::default();
        config.login.client_id = Some(ONE.to_string());
        config.login.gateway_id = Some(ONE.to_string());
        config.login.domains = vec!["anl.gov".into()];
        let wanted = Wanted {
            client_id: Some(TWO),
            gateway_id: Some(THREE),
            app_name: Some("mine".into()),
            policies: vec!["q".into()],
            domains: vec![],
        };
        let choice = Choice::make(wanted, &config, Some(last())).unwrap();
        assert_eq!((choice.client_id, choice.gateway_id), (TWO, THREE));
        assert_eq!((choice.app_name.as_str(), choice.policies), ("mine", vec!["q".to_owned()]));
        assert!(choice.domains.is_empty());
    }
}
