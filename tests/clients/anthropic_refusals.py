"""Errors on the messages route have Anthropic's own shape and raise its typed exceptions."""

import unittest

import anthropic
from anthropic import Anthropic

from support import KEY, MODEL, URL

MESSAGES = [{"role": "user", "content": "hello"}]


class Refusals(unittest.TestCase):
    def refused(self, kind, status, error_type, key: str = KEY, **asked):
        asked = {"model": MODEL, "max_tokens": 5, "messages": MESSAGES} | asked
        client = Anthropic(base_url=URL, api_key=key, max_retries=0)
        with client, self.assertRaises(kind) as caught:
            client.messages.create(**asked)
        error = caught.exception
        self.assertEqual(error.status_code, status)
        self.assertEqual(error.body["type"], "error")
        self.assertEqual(error.body["error"]["type"], error_type)
        self.assertTrue(error.body["error"]["message"])
        self.assertTrue(error.response.headers.get("x-request-id"))
        return error

    def test_400(self):
        for wrong in ({"max_tokens": 0}, {"messages": []}, {"temperature": 2}):
            with self.subTest(wrong):
                # The client has no parameter for each of them; figw must refuse all the same.
                error = self.refused(
                    anthropic.BadRequestError, 400, "invalid_request_error", extra_body=wrong
                )
                self.assertIn(next(iter(wrong)), error.body["error"]["message"])

    def test_401(self):
        self.refused(
            anthropic.AuthenticationError, 401, "authentication_error", key="nobody-made-this"
        )

    def test_403(self):
        self.refused(
            anthropic.PermissionDeniedError, 403, "permission_error", model="restricted-model"
        )

    def test_404(self):
        self.refused(anthropic.NotFoundError, 404, "not_found_error", model="no-such-model")

    def test_429_from_the_back_end(self):
        error = self.refused(
            anthropic.RateLimitError, 429, "rate_limit_error", model="fault-status-429"
        )
        self.assertEqual(error.response.headers["retry-after"], "7")

    def test_503_during_maintenance(self):
        with self.assertRaises(anthropic.InternalServerError) as caught:
            Anthropic(base_url=URL, api_key=KEY, max_retries=0).messages.create(
                model="model-in-maintenance", max_tokens=5, messages=MESSAGES
            )
        self.assertEqual(caught.exception.status_code, 503)
        self.assertEqual(caught.exception.body["type"], "error")


if __name__ == "__main__":
    unittest.main()
