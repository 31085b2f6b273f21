"""What goes wrong reaches an OpenAI client as the typed error that its author expects."""

import unittest

import openai
from openai import OpenAI

from support import KEY, MODEL, URL

MESSAGES = [{"role": "user", "content": "hello"}]


def client(key: str = KEY, base: str = f"{URL}/v1") -> OpenAI:
    return OpenAI(base_url=base, api_key=key, max_retries=0)


class Refusals(unittest.TestCase):
    def refused(self, kind, status, call):
        """The error of a call that must be refused, on a response that can be looked up."""
        with self.assertRaises(kind) as caught:
            call()
        error = caught.exception
        self.assertEqual(error.status_code, status)
        self.assertTrue(error.response.headers.get("x-request-id"))
        self.assertEqual(set(error.body), {"message", "type", "param", "code"})
        self.assertTrue(error.body["message"])
        return error

    def refused_chat(self, kind, status, key: str = KEY, **asked):
        asked = {"model": MODEL, "messages": MESSAGES} | asked
        with client(key) as opened:
            return self.refused(kind, status, lambda: opened.chat.completions.create(**asked))

    def test_400_names_the_parameter(self):
        wrong = {
            "temperature": 3,
            "n": 0,
            "messages": [],
            "top_p": "high",
            "tool_choice": "perhaps",
        }
        for param, value in wrong.items():
            with self.subTest(param):
                error = self.refused_chat(openai.BadRequestError, 400, **{param: value})
                self.assertEqual(error.param.split("[")[0].split(".")[0], param)
                self.assertEqual(error.type, "invalid_request_error")

    def test_400_on_the_other_routes(self):
        with client() as opened:
            calls = {
                "prompt": lambda: opened.completions.create(model=MODEL, prompt={}),
                "input": lambda: opened.embeddings.create(model=MODEL, input={}),
                "max_output_tokens": lambda: opened.responses.create(
                    model=MODEL, input="hello", max_output_tokens=-1
                ),
            }
            for param, call in calls.items():
                with self.subTest(param):
                    error = self.refused(openai.BadRequestError, 400, call)
                    self.assertEqual(error.param.split("[")[0].split(".")[0], param)

    def test_401_for_a_key_that_nobody_made(self):
        self.refused_chat(openai.AuthenticationError, 401, key="nobody-made-this")
        with client("nobody-made-this") as opened:
            self.refused(openai.AuthenticationError, 401, opened.models.list)

    def test_403_for_a_model_of_another_group(self):
        self.refused_chat(openai.PermissionDeniedError, 403, model="restricted-model")

    def test_a_model_of_another_group_is_not_listed(self):
        with client() as opened:
            self.assertNotIn("restricted-model", [model.id for model in opened.models.list()])

    def test_404_for_what_does_not_exist(self):
        self.refused_chat(openai.NotFoundError, 404, model="no-such-model")
        with client() as opened:
            retrieve = opened.models.retrieve
            self.refused(openai.NotFoundError, 404, lambda: retrieve("no-such-model"))
        with client(base=f"{URL}/resource_server/no-such-cluster/vllm/v1") as opened:
            create = opened.chat.completions.create
            self.refused(
                openai.NotFoundError, 404, lambda: create(model=MODEL, messages=MESSAGES)
            )

    def test_503_during_maintenance_says_when_to_come_back(self):
        error = self.refused_chat(openai.InternalServerError, 503, model="model-in-maintenance")
        self.assertTrue(error.response.headers.get("retry-after"))


class BackEndRefusals(unittest.TestCase):
    """The back end's own refusals pass through."""

    def refused_chat(self, kind, **asked):
        asked = {"messages": MESSAGES} | asked
        with client() as opened, self.assertRaises(kind) as caught:
            opened.chat.completions.create(**asked)
        return caught.exception

    def test_429_with_its_retry_after(self):
        for streamed in (False, True):
            with self.subTest(streamed=streamed):
                error = self.refused_chat(
                    openai.RateLimitError, model="fault-status-429", stream=streamed
                )
                self.assertEqual(error.status_code, 429)
                self.assertEqual(error.response.headers["retry-after"], "7")
                self.assertEqual(error.message.split("{")[0][:15], "Error code: 429")
                self.assertEqual(error.body["message"], "the fake back end says 429")

    def test_400_and_404(self):
        self.refused_chat(openai.BadRequestError, model="fault-status-400")
        self.refused_chat(openai.NotFoundError, model="fault-status-404")

    def test_5xx_is_a_server_s_error(self):
        for status in (500, 503):
            error = self.refused_chat(
                openai.InternalServerError, model=f"fault-status-{status}"
            )
            self.assertGreaterEqual(error.status_code, 500)

    def test_an_error_amid_a_stream_is_raised_after_what_came_before(self):
        said = []
        with client() as opened, self.assertRaises(openai.APIError):
            chunks = opened.chat.completions.create(
                model="fault-error-event", messages=MESSAGES, stream=True
            )
            for chunk in chunks:
                said.append(chunk.choices[0].delta.content)
        self.assertEqual(said, ["", "0 "])


class Truthfulness(unittest.TestCase):
    """No failure is dressed as an answer."""

    def assert_fails(self, model: str, **asked):
        with client() as opened, self.assertRaises(openai.APIError):
            answer = opened.chat.completions.create(model=model, messages=MESSAGES, **asked)
            for _ in answer if asked.get("stream") else ():
                pass

    def test_a_web_page_or_broken_json_is_not_an_answer(self):
        self.assert_fails("fault-html")
        self.assert_fails("fault-malformed-json")

    def test_a_stream_that_is_cut_off_is_not_an_answer(self):
        self.assert_fails("fault-reset-midway", stream=True)


if __name__ == "__main__":
    unittest.main()
