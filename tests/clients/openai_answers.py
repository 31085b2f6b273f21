"""An unmodified OpenAI client gets its answers, on every route and from every base URL."""

import unittest

from openai import AsyncOpenAI, OpenAI

from support import CHUNKS, KEY, MODEL, OPENAI_BASES, PROMPT, PROMPT_TOKENS, TEXT, URL

MESSAGES = [{"role": "user", "content": PROMPT}]
CHAT = {"model": MODEL, "messages": MESSAGES, "max_tokens": CHUNKS}


class Answers(unittest.TestCase):
    def each_base(self):
        for name, base in OPENAI_BASES.items():
            with self.subTest(name), OpenAI(base_url=base, api_key=KEY, max_retries=0) as client:
                yield client

    def assert_used(self, usage):
        counted = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
        self.assertEqual(counted, (PROMPT_TOKENS, CHUNKS, PROMPT_TOKENS + CHUNKS))

    def test_chat(self):
        for client in self.each_base():
            answer = client.chat.completions.create(**CHAT)
            self.assertEqual(answer.choices[0].message.content, TEXT)
            self.assertEqual(answer.choices[0].finish_reason, "stop")
            self.assertEqual(answer.model, MODEL)
            self.assert_used(answer.usage)

    def test_streamed_chat_without_usage_asked_for(self):
        for client in self.each_base():
            chunks = list(client.chat.completions.create(**CHAT, stream=True))
            self.assertTrue(all(chunk.choices for chunk in chunks), "no chunk is there for usage")
            self.assertTrue(all(chunk.usage is None for chunk in chunks))
            said = [c.choices[0].delta.content for c in chunks if c.choices[0].delta.content]
            self.assertEqual(said, [f"{i} " for i in range(CHUNKS)])
            self.assertEqual(chunks[-1].choices[0].finish_reason, "stop")

    def test_streamed_chat_with_usage_asked_for(self):
        for client in self.each_base():
            options = {"include_usage": True}
            chunks = list(
                client.chat.completions.create(**CHAT, stream=True, stream_options=options)
            )
            *texts, last = chunks
            said = "".join(chunk.choices[0].delta.content or "" for chunk in texts)
            self.assertEqual(said, TEXT)
            self.assertEqual(last.choices, [])
            self.assert_used(last.usage)

    def test_streamed_chat_through_the_client_s_own_helper(self):
        for client in self.each_base():
            with client.chat.completions.stream(**CHAT) as stream:
                deltas = [event.delta for event in stream if event.type == "content.delta"]
                self.assertEqual("".join(deltas), TEXT)
                self.assertEqual(stream.get_final_completion().choices[0].message.content, TEXT)

    def test_completions(self):
        for client in self.each_base():
            asked = {"model": MODEL, "prompt": PROMPT, "max_tokens": CHUNKS}
            answer = client.completions.create(**asked)
            self.assertEqual(answer.choices[0].text, TEXT)
            self.assert_used(answer.usage)
            chunks = client.completions.create(**asked, stream=True)
            self.assertEqual("".join(chunk.choices[0].text for chunk in chunks), TEXT)
            options = {"include_usage": True}
            *_, last = client.completions.create(**asked, stream=True, stream_options=options)
            self.assert_used(last.usage)

    def test_embeddings(self):
        for client in self.each_base():
            # The client asks for base64 by itself and decodes it.
            answer = client.embeddings.create(model=MODEL, input=[PROMPT, PROMPT])
            self.assertEqual([item.index for item in answer.data], [0, 1])
            self.assertEqual(answer.data[0].embedding, [0.5] * 4)
            self.assertEqual(answer.usage.prompt_tokens, 2 * PROMPT_TOKENS)
            floats = client.embeddings.create(model=MODEL, input=PROMPT, encoding_format="float")
            self.assertEqual(floats.data[0].embedding, [0.5] * 4)

    def test_responses(self):
        for client in self.each_base():
            answer = client.responses.create(
                model=MODEL, input=PROMPT, max_output_tokens=16
            )
            self.assertEqual(answer.output_text, "".join(f"{i} " for i in range(16)))
            self.assertEqual(answer.status, "completed")
            used = answer.usage
            self.assertEqual((used.input_tokens, used.output_tokens), (PROMPT_TOKENS, 16))

    def test_streamed_responses(self):
        for client in self.each_base():
            asked = {"model": MODEL, "input": PROMPT, "max_output_tokens": 16}
            events = list(client.responses.create(**asked, stream=True))
            self.assertEqual(events[0].type, "response.created")
            self.assertEqual([e.sequence_number for e in events], list(range(len(events))))
            said = [e.delta for e in events if e.type == "response.output_text.delta"]
            self.assertEqual(said, [f"{i} " for i in range(16)])
            self.assertEqual(events[-1].type, "response.completed")
            self.assertEqual(events[-1].response.usage.output_tokens, 16)
            with client.responses.stream(**asked) as stream:
                for _ in stream:
                    pass
                self.assertEqual(stream.get_final_response().output_text, "".join(said))

    def test_models(self):
        for name in ("federated", "federated, as in FIRST"):
            with self.subTest(name), OpenAI(base_url=OPENAI_BASES[name], api_key=KEY) as client:
                self.assertIn(MODEL, [model.id for model in client.models.list()])
                model = client.models.retrieve(MODEL)
                self.assertEqual((model.id, model.object), (MODEL, "model"))

    def test_every_answer_has_a_request_id(self):
        for client in self.each_base():
            raw = client.chat.completions.with_raw_response.create(**CHAT)
            self.assertTrue(raw.headers.get("x-request-id"))
            self.assertEqual(raw.parse().choices[0].message.content, TEXT)


class AsyncAnswers(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.client = AsyncOpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
        self.addAsyncCleanup(self.client.close)

    async def test_chat(self):
        answer = await self.client.chat.completions.create(**CHAT)
        self.assertEqual(answer.choices[0].message.content, TEXT)

    async def test_streamed_chat(self):
        stream = await self.client.chat.completions.create(**CHAT, stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
        self.assertEqual("".join(said), TEXT)

    async def test_a_stream_left_early_leaves_the_client_usable(self):
        stream = await self.client.chat.completions.create(**CHAT, stream=True)
        async for _ in stream:
            break
        await stream.close()
        await self.test_chat()


if __name__ == "__main__":
    unittest.main()
