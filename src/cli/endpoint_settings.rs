//! The flags of `figw endpoint` that say how an endpoint is reached.

use clap::Args;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Failure, ask, changes::missing_flag};
use crate::domain::{Adapter, EndpointSettings};

/// What adapters need. Each flag belongs to the adapters that its help names.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(super) struct SettingsFields {
    /// direct-api, metis: base address to which the route is appended, such as `http://host:8000/v1`
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    /// direct-api, metis: environment variable of the gateway that holds the back end's API key
    #[arg(long, value_name = "NAME", conflicts_with = "api_key_file")]
    api_key_env: Option<String>,
    /// direct-api, metis: file that holds the back end's API key
    #[arg(long, value_name = "PATH")]
    api_key_file: Option<String>,
    /// direct-api, metis: how long one whole request may take, such as 120s
    #[arg(long, value_name = "DURATION")]
    request_timeout: Option<String>,
    /// globus-compute: port of the model's API on the compute node
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    api_port: Option<u16>,
    /// globus-compute: the endpoint for inference
    #[arg(long, value_name = "UUID")]
    endpoint_uuid: Option<Uuid>,
    /// globus-compute: the registered inference function
    #[arg(long, value_name = "UUID")]
    function_uuid: Option<Uuid>,
    /// globus-compute: the endpoint for batches
    #[arg(long, value_name = "UUID")]
    batch_endpoint_uuid: Option<Uuid>,
    /// globus-compute: the registered batch function
    #[arg(long, value_name = "UUID")]
    batch_function_uuid: Option<Uuid>,
    /// direct-api, globus-compute, metis: most requests sent to it at one time; 0 for no limit
    #[arg(long, value_name = "COUNT")]
    max_in_flight: Option<u32>,
    /// echo: pause before each piece of a stream, such as 20ms
    #[arg(long, value_name = "DURATION")]
    delay: Option<String>,
}

/// A flag that was given: its name, the setting it stands for and the new value, none to clear it.
type Given = (&'static str, &'static str, Option<Value>);

impl SettingsFields {
    /// Leaves the function to be registered: its id is put in when it is known.
    pub(super) const fn await_functions(&mut self) {
        self.function_uuid = Some(Uuid::nil());
    }

    /// The settings of a new endpoint.
    pub(super) fn create(&self, adapter: Adapter) -> Result<EndpointSettings, Failure> {
        let given = self.given();
        self.check_owners(adapter)?;
        for (flag, example) in required(adapter) {
            if !given.iter().any(|(known, _, value)| known == flag && value.is_some()) {
                return Err(missing_flag(flag, example));
            }
        }
        overlay(adapter, Map::new(), given)
    }

    /// The settings of an endpoint with what was given changed.
    pub(super) fn change(&self, old: &EndpointSettings) -> Result<EndpointSettings, Failure> {
        self.check_owners(old.adapter())?;
        overlay(old.adapter(), old.to_values(), self.given())
    }

    fn check_owners(&self, adapter: Adapter) -> Result<(), Failure> {
        self.foreign_flag(adapter).map_or(Ok(()), |(flag, owner)| {
            Err(Failure::usage(format!(
                "{flag} is a setting of {owner}, but the endpoint's adapter is {adapter}"
            )))
        })
    }

    /// A flag that was given although it is not `adapter`'s, and whose it is first of all.
    pub(super) fn foreign_flag(&self, adapter: Adapter) -> Option<(&'static str, Adapter)> {
        let flags = self.given().into_iter().map(|(flag, ..)| match flag {
            "--function-uuid" if self.function_uuid == Some(Uuid::nil()) => "--register-functions",
            flag => flag,
        });
        flags
            .map(|flag| (flag, owners(flag)))
            .filter(|(_, owners)| !owners.contains(&adapter))
            .find_map(|(flag, owners)| Some((flag, *owners.first()?)))
    }

    fn given(&self) -> Vec<Given> {
        let text = |value: &Option<String>| {
            value.as_ref().map(|text| Some(text.trim()).filter(|t| !t.is_empty()).map(Value::from))
        };
        let reference = |place: &str, value: &Option<String>| {
            text(value).map(|value| value.map(|value| json!({ place: value })))
        };
        let limit = |count: u32| Some(count).filter(|count| *count > 0).map(Value::from);
        let uuid = |value: Option<Uuid>| value.map(|uuid| Some(uuid.to_string().into()));
        let flags = [
            ("--api-url", "api_url", text(&self.api_url)),
            ("--api-key-env", "api_key", reference("env", &self.api_key_env)),
            ("--api-key-file", "api_key", reference("file", &self.api_key_file)),
            ("--request-timeout", "request_timeout", text(&self.request_timeout)),
            ("--api-port", "api_port", self.api_port.map(|port| Some(port.into()))),
            ("--endpoint-uuid", "endpoint_uuid", uuid(self.endpoint_uuid)),
            ("--function-uuid", "function_uuid", uuid(self.function_uuid)),
            ("--batch-endpoint-uuid", "batch_endpoint_uuid", uuid(self.batch_endpoint_uuid)),
            ("--batch-function-uuid", "batch_function_uuid", uuid(self.batch_function_uuid)),
            ("--max-in-flight", "max_in_flight", self.max_in_flight.map(limit)),
            ("--delay", "delay", text(&self.delay)),
        ];
        flags.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value?))).collect()
    }

    /// Asks for what `adapter` requires, and with `everything` for what it can take.
    pub(super) fn ask(&mut self, adapter: Adapter, everything: bool) -> Result<(), Failure> {
        match adapter {
            Adapter::DirectApi => {
                if self.api_url.is_none() {
                    self.api_url = Some(ask::text("API URL, such as http://host:8000/v1", None)?);
                }
                if everything {
                    self.api_key_env = ask::optional_text("Environment variable with its API key")?;
                }
            }
            Adapter::GlobusCompute => {
                ask_parsed(&mut self.api_port, "API port")?;
                ask_parsed(&mut self.endpoint_uuid, "Endpoint UUID")?;
                ask_parsed(&mut self.function_uuid, "Function UUID")?;
            }
            Adapter::Metis | Adapter::Echo => {}
        }
        Ok(())
    }
}

fn overlay(
    adapter: Adapter,
    mut values: Map<String, Value>,
    given: Vec<Given>,
) -> Result<EndpointSettings, Failure> {
    for (_, key, value) in given {
        match value {
            Some(value) => values.insert(key.to_owned(), value),
            None => values.shift_remove(key),
        };
    }
    EndpointSettings::from_values(adapter, values).map_err(Failure::usage)
}

fn ask_parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    value: &mut Option<T>,
    question: &str,
) -> Result<(), Failure> {
    if value.is_none() {
        let answer = ask::text(question, None)?;
        let parsed = answer.trim().parse();
        *value = Some(parsed.map_err(|e| Failure::usage(format!("{question}: `{answer}`: {e}")))?);
    }
    Ok(())
}

fn owners(flag: &str) -> &'static [Adapter] {
    match flag {
        "--api-url" | "--api-key-env" | "--api-key-file" | "--request-timeout" => {
            &[Adapter::DirectApi, Adapter::Metis]
        }
        "--max-in-flight" => &[Adapter::DirectApi, Adapter::GlobusCompute, Adapter::Metis],
        "--delay" => &[Adapter::Echo],
        _ => &[Adapter::GlobusCompute],
    }
}

/// The flags without which an endpoint of `adapter` cannot be added, each with an example.
const fn required(adapter: Adapter) -> &'static [(&'static str, &'static str)] {
    match adapter {
        Adapter::DirectApi => &[("--api-url", "http://host:8000/v1")],
        Adapter::GlobusCompute => {
            &[("--api-port", "8000"), ("--endpoint-uuid", "UUID"), ("--function-uuid", "UUID")]
        }
        Adapter::Metis | Adapter::Echo => &[],
    }
}
