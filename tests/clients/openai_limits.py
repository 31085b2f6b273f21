"""What an OpenAI client reads of its limits, and how it takes being over them."""

import re
import time
import unittest

import openai
from openai import OpenAI

from support import KEY, MODEL, URL

# What tests/clients.rs has set.
REQUESTS_PER_SECOND = 4
TOKENS_PER_MINUTE = 100
LIMITED_MODEL = "fake-model-2"
DURATION = re.compile(r"^(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s|(\d+)ms)$")

ASKED = {"max_tokens": 5, "messages": [{"role": "user", "content": "hello"}]}


class Limits(unittest.TestCase):
    def setUp(self):
        # The requests of the story before have left the window.
        time.sleep(1.1)

    def client(self, retries: int = 0) -> OpenAI:
        return OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=retries)

    def test_headers_have_openai_s_names_and_formats(self):
        with self.client() as client:
            raw = client.chat.completions.with_raw_response.create(model=MODEL, **ASKED)
        self.assertEqual(raw.parse().usage.completion_tokens, 5)
        self.assertEqual(int(raw.headers["x-ratelimit-limit-requests"]), REQUESTS_PER_SECOND)
        self.assertEqual(int(raw.headers["x-ratelimit-remaining-requests"]), REQUESTS_PER_SECOND - 1)
        self.assertRegex(raw.headers["x-ratelimit-reset-requests"], DURATION)
        self.assertNotIn("x-ratelimit-limit-tokens", raw.headers)

    def test_over_the_requests_of_a_second_it_waits_as_told_and_is_served(self):
        with self.client(retries=2) as client:
            for _ in range(2 * REQUESTS_PER_SECOND):
                client.chat.completions.create(model=MODEL, **ASKED)

    def test_over_the_tokens_of_a_minute_it_raises_a_typed_error(self):
        with self.client() as client:
            raw = client.chat.completions.with_raw_response.create(
                model=LIMITED_MODEL, **ASKED | {"max_tokens": 80}
            )
            self.assertEqual(int(raw.headers["x-ratelimit-limit-tokens"]), TOKENS_PER_MINUTE)
            self.assertEqual(int(raw.headers["x-ratelimit-remaining-tokens"]), 18)
            self.assertRegex(raw.headers["x-ratelimit-reset-tokens"], DURATION)
            with self.assertRaises(openai.RateLimitError) as caught:
                client.chat.completions.create(
                    model=LIMITED_MODEL, **ASKED | {"max_tokens": 80}
                )
        error = caught.exception
        self.assertEqual((error.type, error.code), ("tokens", "rate_limit_exceeded"))
        self.assertGreater(int(error.response.headers["retry-after"]), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
