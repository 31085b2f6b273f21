//! The functions that figw ships for compute nodes, as source that a worker runs.

use super::codec;

/// A Python function that Globus Compute can run.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// The name in its source.
    pub name: &'static str,
    /// What it does, for the list of registered functions.
    pub description: &'static str,
    /// The file that holds it and nothing else.
    pub source: &'static str,
}

impl Function {
    /// The function as the service keeps it: packed, as pure source.
    #[must_use]
    pub fn code(&self) -> String {
        codec::function_code(self.name, self.source)
    }
}

/// One request to the model's server on a compute node, streamed or not.
pub const INFERENCE: Function = Function {
    name: "vllm_inference_function",
    description: "One request to a vLLM server, streamed to the gateway or returned whole",
    source: include_str!("../../functions/vllm_inference.py"),
};

/// A file of requests.
pub const BATCH: Function = Function {
    name: "vllm_batch_function",
    description: "A file of requests in the format of OpenAI's batches",
    source: include_str!("../../functions/vllm_batch.py"),
};
