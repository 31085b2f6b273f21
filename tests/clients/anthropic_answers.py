"""An unmodified Anthropic client gets its answers; it sends its key as x-api-key."""

import unittest

from anthropic import Anthropic, AsyncAnthropic

from support import CHUNKS, KEY, MODEL, PROMPT, PROMPT_TOKENS, TEXT, URL

ASKED = {
    "model": MODEL,
    "max_tokens": CHUNKS,
    "messages": [{"role": "user", "content": PROMPT}],
}
# The client appends /v1/messages.
BASES = (URL, f"{URL}/resource_server", f"{URL}/resource_server/local/vllm")


class Answers(unittest.TestCase):
    def each_base(self):
        for base in BASES:
            with self.subTest(base), Anthropic(base_url=base, api_key=KEY, max_retries=0) as client:
                yield client

    def assert_whole(self, message):
        self.assertEqual([block.text for block in message.content], [TEXT])
        self.assertEqual(message.stop_reason, "end_turn")
        self.assertEqual(message.model, MODEL)
        used = (message.usage.input_tokens, message.usage.output_tokens)
        self.assertEqual(used, (PROMPT_TOKENS, CHUNKS))

    def test_message(self):
        for client in self.each_base():
            self.assert_whole(client.messages.create(**ASKED))

    def test_streamed_message(self):
        for client in self.each_base():
            events = list(client.messages.create(**ASKED, stream=True))
            self.assertEqual(events[0].type, "message_start")
            self.assertEqual(events[-1].type, "message_stop")
            said = [e.delta.text for e in events if e.type == "content_block_delta"]
            self.assertEqual(said, [f"{i} " for i in range(CHUNKS)])
            ends = [e.usage.output_tokens for e in events if e.type == "message_delta"]
            self.assertEqual(ends, [CHUNKS])

    def test_streamed_message_through_the_client_s_own_helper(self):
        for client in self.each_base():
            with client.messages.stream(**ASKED) as stream:
                self.assertEqual("".join(stream.text_stream), TEXT)
                self.assert_whole(stream.get_final_message())

    def test_a_bearer_token_does_as_well(self):
        with Anthropic(base_url=URL, auth_token=KEY, max_retries=0) as client:
            self.assert_whole(client.messages.create(**ASKED))


class AsyncAnswers(unittest.IsolatedAsyncioTestCase):
    async def test_streamed_message(self):
        async with AsyncAnthropic(base_url=URL, api_key=KEY, max_retries=0) as client:
            async with client.messages.stream(**ASKED) as stream:
                said = [text async for text in stream.text_stream]
        self.assertEqual("".join(said), TEXT)


if __name__ == "__main__":
    unittest.main()
