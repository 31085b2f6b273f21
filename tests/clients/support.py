"""What the stories share: where the gateway is, and what an answer must say."""

import os


def setting(name: str) -> str:
    """Reads a variable that tests/clients.rs sets."""
    try:
        return os.environ[name]
    except KeyError:
        raise SystemExit(f"{name} is not set; run these through `cargo test --test clients`")


URL = setting("FIGW_URL")
KEY = setting("FIGW_KEY")
MODEL = "fake-model"

# An answer has as many chunks as it may have tokens; chunk i says i.
CHUNKS = 7
TEXT = "".join(f"{i} " for i in range(CHUNKS))
PROMPT = "three words here"
PROMPT_TOKENS = 3

OPENAI_BASES = {
    "federated": f"{URL}/v1",
    "federated, as in FIRST": f"{URL}/resource_server/v1",
    "one cluster": f"{URL}/resource_server/local/vllm/v1",
}
