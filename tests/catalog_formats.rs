//! Whatever the catalogue can hold is written and read back as it was, as JSON and as YAML.
#![allow(missing_docs, reason = "tests")]

use std::{num::NonZeroU32, time::Duration};

use figw::domain::{
    AccessPolicy, Endpoint, EndpointSettings, SecretSource,
    catalog::{DirectApi, Echo, GlobusCompute, Metis},
    secret::SecretReference,
};
use proptest::{collection::vec, option, prelude::*};

fn secret() -> impl Strategy<Value = SecretSource> {
    prop_oneof![
        any::<String>().prop_map(SecretSource::Plain),
        any::<String>().prop_map(|s| SecretSource::Reference(SecretReference::Env(s))),
        any::<String>().prop_map(|s| SecretSource::Reference(SecretReference::File(s))),
    ]
}

fn milliseconds() -> impl Strategy<Value = Duration> {
    (0..10_000_000_u64).prop_map(Duration::from_millis)
}

fn settings() -> impl Strategy<Value = EndpointSettings> {
    let limit = || option::of(any::<NonZeroU32>());
    let times = || option::of(milliseconds());
    let direct = (any::<String>(), option::of(secret()), times(), limit()).prop_map(
        |(api_url, api_key, request_timeout, max_in_flight)| {
            EndpointSettings::DirectApi(DirectApi {
                api_url,
                api_key,
                request_timeout,
                max_in_flight,
            })
        },
    );
    let ids = (any::<String>(), any::<String>(), option::of(any::<String>()));
    let globus = (any::<u16>(), ids, limit()).prop_map(
        |(api_port, (endpoint_uuid, function_uuid, batch), max_in_flight)| {
            EndpointSettings::GlobusCompute(GlobusCompute {
                api_port,
                endpoint_uuid,
                function_uuid,
                batch_endpoint_uuid: batch.clone(),
                batch_function_uuid: batch,
                max_in_flight,
            })
        },
    );
    let metis = (option::of(any::<String>()), option::of(secret()), times(), limit()).prop_map(
        |(api_url, api_key, request_timeout, max_in_flight)| {
            EndpointSettings::Metis(Metis { api_url, api_key, request_timeout, max_in_flight })
        },
    );
    let echo = milliseconds().prop_map(|delay| EndpointSettings::Echo(Echo { delay }));
    prop_oneof![direct, globus, metis, echo]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    let names = vec(any::<String>(), 4);
    let lists = (vec(any::<String>(), 0..3), vec(any::<String>(), 0..3));
    (names, settings(), lists, any::<(u64, u64, bool)>()).prop_map(
        |(names, settings, (groups, domains), (tpm_model, tpm_user, enabled))| Endpoint {
            slug: names[0].clone(),
            cluster: names[1].clone(),
            framework: names[2].clone(),
            model: names[3].clone(),
            settings,
            access: AccessPolicy { groups, domains },
            tpm_model,
            tpm_user,
            enabled,
        },
    )
}

proptest! {
    #[test]
    fn every_endpoint_survives_json_and_yaml(endpoint in endpoint()) {
        let json = serde_json::to_string(&endpoint).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Endpoint>(&json).unwrap(), &endpoint);
        let yaml = serde_yaml::to_string(&endpoint).unwrap();
        prop_assert_eq!(&serde_yaml::from_str::<Endpoint>(&yaml).unwrap(), &endpoint);
    }

    #[test]
    fn settings_survive_alone_as_a_table_keeps_them(settings in settings()) {
        let json = serde_json::to_string(&settings).unwrap();
        prop_assert_eq!(&serde_json::from_str::<EndpointSettings>(&json).unwrap(), &settings);
        let values = settings.to_values();
        prop_assert_eq!(EndpointSettings::from_values(settings.adapter(), values).unwrap(), settings);
    }
}

#[test]
fn the_shortest_endpoint_is_enough() {
    let text = "{cluster: dev, framework: api, model: echo, adapter: echo}";
    let endpoint: Endpoint = serde_yaml::from_str(text).unwrap();
    assert_eq!(endpoint.slug, "dev-api-echo");
    assert_eq!(endpoint.settings, EndpointSettings::Echo(Echo::default()));
    assert!(endpoint.enabled);
    let columns = serde_json::to_value(&endpoint.settings).unwrap();
    assert_eq!(columns, serde_json::json!({"adapter": "echo", "settings": {}}));
}

#[test]
fn a_mistyped_field_is_named() {
    let place = "cluster: c, framework: f, model: m";
    for (fields, expected) in [
        ("adapter: echo, modle: x", "unknown field `modle`"),
        ("adapter: echo, settings: {dely: 1s}", "unknown field `dely`"),
        ("adapter: echo, settings: {delay: 1}", "settings.delay of echo: invalid type"),
        ("adapter: echo, settings: {delay: soon}", "`soon` is not a duration"),
        ("adapter: ssh", "unknown variant `ssh`"),
        ("adapter: direct-api", "settings of direct-api: missing field `api_url`"),
    ] {
        let text = format!("{{{place}, {fields}}}");
        let error = serde_yaml::from_str::<Endpoint>(&text).unwrap_err().to_string();
        assert!(error.contains(expected), "{fields}: {error}");
    }
}
