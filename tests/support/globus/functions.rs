//! Registered functions: closures of the test, run as a worker runs Python's.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use uuid::Uuid;

use super::{FakeGlobus, Script};

/// What a call comes to.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It returns this; a text is a Python `str`.
    Returns(Value),
    /// It raises an exception with this text.
    Raises(String),
    /// Its result is exactly this buffer, however broken.
    Buffer(String),
    /// It posts these pieces of a stream to where its argument says, and returns a summary.
    Streams(Script),
    /// It comes to this a while later than the function's own delay.
    After(Duration, Box<Outcome>),
    /// It runs for ever.
    Never,
}

type Body = dyn Fn(&Value) -> Outcome + Send + Sync;

/// A function: what it does with its argument, how long it takes, and how its worker writes results.
#[derive(Clone)]
pub struct Function {
    body: Arc<Body>,
    pub(super) delay: Duration,
    pub(super) pickles: bool,
    pub(super) result_withheld: bool,
}

impl Function {
    /// A function of its first positional argument; null when there is none.
    pub fn new(body: impl Fn(&Value) -> Outcome + Send + Sync + 'static) -> Self {
        Self { body: Arc::new(body), delay: Duration::ZERO, pickles: false, result_withheld: false }
    }

    /// The inference function on a node whose model answers each chat with the last message's text,
    /// and streams as many pieces as `max_tokens` says (5 without), each after `pace`.
    pub fn inference(pace: Duration) -> Self {
        Self::new(move |argument| infer(&argument["model_params"], pace))
    }

    /// What it comes to for this argument.
    pub fn call(&self, argument: &Value) -> Outcome {
        (self.body)(argument)
    }

    /// It takes this long.
    #[must_use]
    pub fn taking(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Its worker is older than 3.6.0: results are pickled whatever was asked for.
    #[must_use]
    pub fn pickled(self) -> Self {
        Self { pickles: true, ..self }
    }

    /// Its endpoint is a high-assurance one: AMQP tells only that a result is there.
    #[must_use]
    pub fn withheld(self) -> Self {
        Self { result_withheld: true, ..self }
    }
}

fn infer(parameters: &Value, pace: Duration) -> Outcome {
    if parameters["openai_endpoint"].as_str().is_none() || !parameters["api_port"].is_u64() {
        return Outcome::Raises(format!("KeyError: no endpoint or port in {parameters}"));
    }
    let pieces = parameters["max_tokens"].as_u64().unwrap_or(5);
    if parameters["stream"] == true {
        let pieces = usize::try_from(pieces).expect("few pieces");
        return Outcome::Streams(Script::chat(pieces, pace));
    }
    let said = parameters["messages"].as_array().and_then(|all| all.last());
    let said = said.map_or(Value::Null, |message| message["content"].clone());
    let answer = json!({
        "id": "chatcmpl-globus", "object": "chat.completion", "created": 1, "model": parameters["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": said},
            "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": pieces, "total_tokens": 3 + pieces},
        "response_time": 0.1, "throughput_tokens_per_second": 80.0,
    });
    // `json.dumps(output, indent=4)` on the node.
    let text = serde_json::to_string_pretty(&answer).expect("a document of JSON");
    Outcome::Returns(text.into())
}

/// How FIRST's function says that the model refused.
pub fn model_refusal(status: u16, body: &str) -> Outcome {
    Outcome::Raises(format!(
        "API request failed with status code: {status}\nResponse text: {body}\nResponse headers: {{}}"
    ))
}

impl FakeGlobus {
    /// Registers a function, or replaces it.
    pub fn function(&self, id: Uuid, function: Function) {
        self.world.cluster.functions.lock().unwrap().insert(id, function);
    }
}
