//! The argument of an inference function: the caller's fields, and what the function itself is told.

use std::{borrow::Cow, collections::HashMap, fmt};

use secrecy::{ExposeSecret, SecretString};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::super::streams::{Address, StreamHub, StreamTicket};
use crate::backends::{Call, CallBody};

/// Names that the function takes for itself. A caller who could set one would choose which path and
/// port of the compute node are asked, and where the answer, with the secret that goes along with
/// it, is sent.
const RESERVED: [&str; 7] = [
    "openai_endpoint",
    "api_port",
    "streaming_server_host",
    "streaming_server_port",
    "streaming_server_protocol",
    "stream_task_id",
    "stream_task_token",
];

/// What the function is told beside the caller's own fields.
pub(super) struct Argument {
    /// Members of a JSON object, each with a comma before it.
    told: SecretString,
    /// Whether a stream was asked for on a route that has streams.
    stream: bool,
}

impl Argument {
    pub(super) fn new(
        call: &Call,
        api_port: u16,
        stream: Option<(&StreamHub, &StreamTicket)>,
    ) -> Self {
        let mut told = format!(r#","openai_endpoint":"{}","api_port":{api_port}"#, call.route);
        if let Some((hub, ticket)) = stream {
            told += &way_back(hub.address(), ticket);
        }
        Self { told: told.into(), stream: call.stream }
    }

    /// The argument for a request with this body.
    pub(super) fn around(&self, body: &CallBody) -> serde_json::Result<String> {
        let body = joined(body);
        let fields: Fields<'_> = serde_json::from_slice(&body)?;
        let told = self.told.expose_secret();
        let mut argument = String::with_capacity(body.len() + told.len() + 32);
        argument.push_str(r#"{"model_params":{"#);
        let start = argument.len();
        for (name, value) in &fields.0 {
            if RESERVED.contains(&name.as_ref()) || (name == "stream" && !self.allows(value)) {
                continue;
            }
            if argument.len() > start {
                argument.push(',');
            }
            argument.push_str(&serde_json::to_string(name)?);
            argument.push(':');
            argument.push_str(value.get());
        }
        argument.push_str(if argument.len() > start { told } else { &told[1..] });
        argument.push_str("}}");
        Ok(argument)
    }

    /// The function would stream on any route, which where there are no streams has nobody listen.
    fn allows(&self, stream: &RawValue) -> bool {
        self.stream || stream.get() == "false"
    }
}

/// Where the stream is to be posted. What stands in quotes comes from a URL or is random: it holds
/// nothing that JSON escapes.
fn way_back(Address { protocol, host, port }: &Address, ticket: &StreamTicket) -> String {
    let (task, token) = (ticket.task, ticket.token.expose_secret());
    [
        format!(r#","streaming_server_host":"{host}","streaming_server_port":{port}"#),
        format!(r#","streaming_server_protocol":"{protocol}","stream_task_id":"{task}""#),
        format!(r#","stream_task_token":"{token}""#),
    ]
    .concat()
}

fn joined(body: &CallBody) -> Cow<'_, [u8]> {
    let mut parts = body.parts();
    match (parts.next(), parts.next()) {
        (None, _) => Cow::Borrowed(&[]),
        (Some(all), None) => Cow::Borrowed(all),
        _ => Cow::Owned(body.parts().flat_map(|part| part.iter().copied()).collect()),
    }
}

/// The members of a JSON object in their order, their values unread. Of members with the same name
/// the last one holds, in the place of the first, as in a dict of Python.
struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &RawValue)> = Vec::new();
                let mut places: HashMap<_, usize> = HashMap::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    if let Some(place) = places.get(&name) {
                        fields[*place].1 = value;
                    } else {
                        places.insert(name.clone(), fields.len());
                        fields.push((name, value));
                    }
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(Members)
    }
}

/// A name, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::Route;

    fn call(route: Route, stream: bool, body: &str) -> Call {
        let body = Bytes::copy_from_slice(body.as_bytes()).into();
        Call { route, stream, headers: HeaderMap::new(), body }
    }

    fn built(body: &str) -> String {
        let call = call(Route::ChatCompletions, false, body);
        Argument::new(&call, 8000, None).around(&call.body).unwrap()
    }

    const TOLD: &str = r#""openai_endpoint":"chat/completions","api_port":8000"#;

    #[test]
    fn the_callers_fields_come_first_as_they_were_written() {
        let body = r#" { "model" : "m", "messages": [ {"role":"user", "content":"hé ✓ \ud83d\ude00"} ],
            "temperature": 0.20, "max_tokens": 1e2, "a field of tomorrow": {"b": [1.0e+3]} } "#;
        let expected = format!(
            r#"{{"model_params":{{"model":"m","messages":[ {{"role":"user", "content":"hé ✓ \ud83d\ude00"}} ],"temperature":0.20,"max_tokens":1e2,"a field of tomorrow":{{"b": [1.0e+3]}},{TOLD}}}}}"#
        );
        assert_eq!(built(body), expected);
        assert_eq!(built("{}"), format!(r#"{{"model_params":{{{TOLD}}}}}"#));
    }

    #[test]
    fn reserved_names_cannot_be_set_in_any_spelling() {
        let attacks = RESERVED.iter().map(|name| format!(r#""{name}": "evil""#));
        let escaped = RESERVED.iter().map(|name| {
            let first = u32::from(name.as_bytes()[0]);
            format!(r#""\u{first:04X}{}": "evil""#, &name[1..])
        });
        let attacks: Vec<_> = attacks.clone().chain(escaped).chain(attacks).collect();
        let body = format!(r#"{{{}, "model": "m", {}}}"#, attacks.join(","), attacks.join(","));
        assert_eq!(built(&body), format!(r#"{{"model_params":{{"model":"m",{TOLD}}}}}"#));

        let inside = r#"{"messages":[{"api_port":1,"x":"\",\"api_port\":2"}]}"#;
        let parsed: Value = serde_json::from_str(&built(inside)).unwrap();
        assert_eq!(parsed["model_params"]["api_port"], 8000);
        assert_eq!(parsed["model_params"]["messages"][0]["api_port"], 1);
    }

    #[test]
    fn of_fields_with_one_name_the_last_holds() {
        let body = r#"{"a": 1, "b": 2, "\u0061": 3}"#;
        assert_eq!(built(body), format!(r#"{{"model_params":{{"a":3,"b":2,{TOLD}}}}}"#));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in ["", "[]", "7", "{", r#"{"a":}"#, r#"{"a":1}x"#, "\u{FEFF}{}"] {
            let call = call(Route::ChatCompletions, false, body);
            assert!(Argument::new(&call, 1, None).around(&call.body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_body_in_pieces_is_the_same_argument() {
        let mut call = call(Route::Completions, false, "");
        call.body = [r#"{"mod"#, r#"el": ""#, r#"other"}"#].map(Bytes::from).into_iter().collect();
        let argument = Argument::new(&call, 1, None).around(&call.body).unwrap();
        let expected = json!({"model_params":
            {"model": "other", "openai_endpoint": "completions", "api_port": 1}});
        assert_eq!(serde_json::from_str::<Value>(&argument).unwrap(), expected);
    }

    #[test]
    fn a_stream_comes_with_its_address_and_token() {
        let hub = StreamHub::new(&"secret".into(), &"http://[::1]:8000".parse().unwrap()).unwrap();
        let (ticket, _inbox) = hub.open().unwrap();
        let call = call(Route::Messages, true, r#"{"model": "m", "stream": true}"#);
        let argument = Argument::new(&call, 9, Some((&hub, &ticket))).around(&call.body).unwrap();
        let expected = json!({"model_params": {
            "model": "m", "stream": true, "openai_endpoint": "messages", "api_port": 9,
            "streaming_server_host": "[::1]", "streaming_server_port": 8000,
            "streaming_server_protocol": "http", "stream_task_id": ticket.task.to_string(),
            "stream_task_token": ticket.token.expose_secret(),
        }});
        assert_eq!(serde_json::from_str::<Value>(&argument).unwrap(), expected);
    }

    #[test]
    fn a_route_without_streams_starts_none() {
        for (stream, kept) in [("true", false), ("1", false), ("false", true)] {
            let call = call(Route::Embeddings, false, &format!(r#"{{"stream": {stream}}}"#));
            let argument = Argument::new(&call, 1, None).around(&call.body).unwrap();
            assert_eq!(argument.contains("stream"), kept, "{argument}");
        }
    }
}
