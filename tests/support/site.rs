//! A gateway in front of one model that is reached through Globus.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    client::{Answer, Caller},
    gateway::{Gateway, Plan},
    globus::{Endpoint, FakeGlobus, Function},
    requests::chat,
};

/// The model, and the cluster it is on.
pub const MODEL: &str = "globus-model";
pub const CLUSTER: &str = "sophia";

/// Globus, an endpoint with a function, and the gateway.
pub struct Site {
    pub gateway: Gateway,
    pub globus: FakeGlobus,
    pub endpoint: Uuid,
    pub function: Uuid,
}

impl Site {
    /// Starts the gateway with further lines in the section `globus_compute`. The endpoint is online.
    pub fn start(globus: FakeGlobus, function: Function, compute: &[&str]) -> Self {
        Self::start_with(globus, function, compute, |plan| plan)
    }

    /// The same with a changed plan.
    pub fn start_with(
        globus: FakeGlobus,
        function: Function,
        compute: &[&str],
        change: impl FnOnce(Plan) -> Plan,
    ) -> Self {
        let (endpoint, id) = (Uuid::new_v4(), Uuid::new_v4());
        globus.endpoint(endpoint, Endpoint::ONLINE);
        globus.function(id, function);
        let plan = Plan::in_front_of("http://127.0.0.1:9/v1")
            .settings(&globus.config_with(&[], compute))
            .entries([
                FakeGlobus::cluster_entry(CLUSTER, &json!({})),
                FakeGlobus::endpoint_entry(CLUSTER, MODEL, endpoint, id),
            ]);
        let gateway = change(plan).start();
        Self { gateway, globus, endpoint, function: id }
    }

    pub fn caller(&self) -> Caller {
        Caller::of(&self.gateway)
    }

    /// Sends a chat that says this.
    pub async fn say(&self, text: &str) -> Answer {
        self.caller().ask("chat/completions", &saying(text)).await
    }
}

/// A chat that says this.
pub fn saying(text: &str) -> Value {
    let mut body = chat(MODEL);
    body["messages"] = json!([{"role": "user", "content": text}]);
    body
}

/// What the model said.
pub fn said(answer: &Answer) -> String {
    answer.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}
