"""The answers and errors recorded from llm-d-inference-sim v0.10, row by row."""

import asyncio
import json
import re
import time
from collections.abc import Callable
from typing import Any

import pytest

Play = Callable[..., None]


def events(text: str) -> list[Any]:
    """The documents of an event stream, with its end marker as text."""
    blocks = text.split("\n\n")
    assert blocks.pop() == ""
    data = [block.removeprefix("data: ") for block in blocks]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


def test_models(play: Play) -> None:
    async def scenario(world: Any) -> None:
        response = await world.client.get("/v1/models")
        assert response.headers["content-type"] == "application/json"
        document = response.json()
        first, adapter = document["data"]
        assert document["object"] == "list"
        assert list(first) == ["id", "object", "created", "owned_by", "root", "parent", "max_model_len"]
        assert (first["id"], first["root"], first["parent"]) == (world.model, world.model, None)
        assert (first["owned_by"], first["max_model_len"]) == ("vllm", 1024)
        assert (adapter["id"], adapter["parent"]) == ("tuned", world.model)

    play(scenario, lora=("tuned",))


def test_plain_chat(play: Play) -> None:
    async def scenario(world: Any) -> None:
        response = await world.chat(max_tokens=100, stream=False, stream_options={"include_usage": True})
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert int(response.headers["content-length"]) == len(response.content)
        document = response.json()
        assert list(document) == ["id", "model", "object", "created", "usage", "choices"]
        assert document["id"].startswith("chatcmpl-")
        assert document["object"] == "chat.completion"
        usage = document["usage"]
        assert usage["prompt_tokens"] == 13
        assert 1 <= usage["completion_tokens"] <= 100
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert usage["prompt_tokens_details"] == {"cached_tokens": 0}
        (choice,) = document["choices"]
        assert list(choice) == ["index", "finish_reason", "message"]
        assert choice["message"]["role"] == "assistant"

    play(scenario)


def test_plain_text_completion(play: Play) -> None:
    async def scenario(world: Any) -> None:
        document = (await world.text(max_tokens=1)).json()
        assert document["object"] == "text_completion"
        assert document["id"].startswith("cmpl-")
        assert document["id"].endswith("-0")
        assert document["usage"]["prompt_tokens"] == 8
        assert document["choices"][0]["finish_reason"] == "length"
        assert list(document["choices"][0]) == ["index", "finish_reason", "text"]

    play(scenario)


@pytest.mark.parametrize("include_usage", [True, False])
def test_streamed_chat(play: Play, include_usage: bool) -> None:
    async def scenario(world: Any) -> None:
        response = await world.chat(max_tokens=20, stream=True, stream_options={"include_usage": include_usage})
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["transfer-encoding"] == "chunked"
        *documents, done = events(response.text)
        assert done == "[DONE]"
        usage_event = documents.pop() if include_usage else None
        role, *tokens, finish = documents
        assert len({document["id"] for document in documents}) == 1
        assert all(document["object"] == "chat.completion.chunk" for document in documents)
        assert all(document["usage"] is None for document in documents)
        assert role["choices"] == [{"index": 0, "finish_reason": None, "delta": {"role": "assistant"}}]
        assert all(list(token["choices"][0]["delta"]) == ["content"] for token in tokens)
        assert finish["choices"][0]["delta"] == {}
        assert finish["choices"][0]["finish_reason"] == ("length" if len(tokens) == 20 else "stop")
        if usage_event is not None:
            assert usage_event["choices"] == []
            assert usage_event["usage"]["completion_tokens"] == len(tokens)
            assert usage_event["usage"]["total_tokens"] == 13 + len(tokens)

    play(scenario)


def test_streamed_text_completion_has_no_role_event(play: Play) -> None:
    async def scenario(world: Any) -> None:
        response = await world.text(max_tokens=2, ignore_eos=True, stream=True)
        first, second, finish, done = events(response.text)
        assert first["object"] == "text_completion"
        assert first["choices"][0]["text"]
        assert second["choices"][0]["text"]
        assert finish["choices"] == [{"index": 0, "finish_reason": "length", "text": ""}]
        assert done == "[DONE]"

    play(scenario)


def test_choices_count_their_prompt_once_and_their_tokens_each(play: Play) -> None:
    async def scenario(world: Any) -> None:
        chat = (await world.chat("one two", n=3, max_tokens=4, ignore_eos=True)).json()
        assert [choice["index"] for choice in chat["choices"]] == [0, 1, 2]
        assert chat["usage"]["prompt_tokens"] == 7
        assert chat["usage"]["completion_tokens"] == 12
        text = (await world.text(["one two", [5, 6, 7]], n=2, max_tokens=4, ignore_eos=True)).json()
        assert text["usage"]["prompt_tokens"] == 5
        assert text["usage"]["completion_tokens"] == 16

    play(scenario)


def test_echo_answers_the_last_message(play: Play) -> None:
    async def scenario(world: Any) -> None:
        messages = [{"role": "user", "content": "first"}, {"role": "assistant", "content": "a <b> & c"}]
        response = await world.client.post("/v1/chat/completions", json={"model": world.model, "messages": messages})
        assert b"a \\u003cb\\u003e \\u0026 c" in response.content
        choice = response.json()["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == ("a <b> & c", "stop")
        cut = (await world.chat("one two three", max_tokens=2)).json()["choices"][0]
        assert (cut["message"]["content"], cut["finish_reason"]) == ("one two ", "length")
        assert (await world.text([3, 1, 2])).json()["choices"][0]["text"] == "3,1,2"
        assert (await world.chat("")).json()["usage"]["completion_tokens"] == 0

    play(scenario, mode="echo")


def test_content_may_come_in_parts(play: Play) -> None:
    async def scenario(world: Any) -> None:
        parts = [{"type": "text", "text": "one two"}, {"type": "input_audio", "input_audio": {}}]
        assert (await world.chat(parts)).json()["usage"]["prompt_tokens"] == 7

    play(scenario)


def error(message: str, kind: str, code: int) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


BAD_MAX_TOKENS = "Max completion tokens and max tokens should be positive"
END_OF_INPUT = "Failed to read and parse request body, unexpected end of JSON input"


@pytest.mark.parametrize(
    ("path", "body", "status", "message", "kind"),
    [
        ("chat/completions", {"model": "nope"}, 404, "The model `nope` does not exist.", "NotFoundError"),
        ("chat/completions", {"messages": []}, 404, "The model `` does not exist.", "NotFoundError"),
        ("chat/completions", b"{", 400, END_OF_INPUT, "BadRequestError"),
        ("completions", b"", 400, END_OF_INPUT, "BadRequestError"),
        ("chat/completions", {"max_tokens": 0}, 400, BAD_MAX_TOKENS, "BadRequestError"),
        ("chat/completions", {"max_completion_tokens": -1}, 400, BAD_MAX_TOKENS, "BadRequestError"),
        ("completions", {}, 400, "prompt array must contain at least one prompt", "BadRequestError"),
        ("completions", {"prompt": ""}, 400, "prompt must not contain an empty string", "BadRequestError"),
        ("completions", {"prompt": "x", "n": 0}, 400, "n must be at least 1", "BadRequestError"),
        ("completions", {"prompt": "x", "n": 129}, 400, "at most 128 choices in one request", "BadRequestError"),
        (
            "completions",
            {"model": "meta-llama/Llama-3.1-8B-Instruct", "prompt": "x " * 1024},
            400,
            "This model's maximum context length is 1024 tokens. However, you requested 1025 tokens (1024 in the "
            "messages, 1 in the completion). Please reduce the length of the messages or completion",
            "BadRequestError",
        ),
    ],
)
def test_errors(play: Play, path: str, body: Any, status: int, message: str, kind: str) -> None:
    async def scenario(world: Any) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        response = await world.client.post(f"/v1/{path}", content=content)
        assert response.status_code == status
        assert response.headers["content-type"] == "application/json"
        assert response.json() == error(message, kind, status)

    play(scenario)


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"nonsense",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"model": 1}',
        b'{"messages": "hello"}',
        b'{"max_tokens": "100"}',
        b'{"max_tokens": 1' + b"0" * 5000 + b"}",
        b'{"messages": [{"content": 5}]}',
        b'{"stream": "yes"}',
    ],
)
def test_bodies_of_another_shape_are_refused(play: Play, body: bytes) -> None:
    async def scenario(world: Any) -> None:
        response = await world.client.post("/v1/chat/completions", content=body)
        assert response.status_code == 400
        assert response.json()["error"]["message"].startswith("Failed to read and parse request body, ")

    play(scenario)


def test_members_that_are_null_are_as_good_as_absent(play: Play) -> None:
    async def scenario(world: Any) -> None:
        response = await world.chat(max_tokens=None, stream=None, stream_options=None, n=None)
        assert response.status_code == 200

    play(scenario)


def test_a_body_that_is_too_large_is_refused(play: Play) -> None:
    async def scenario(world: Any) -> None:
        assert (await world.chat("x" * 1001)).status_code == 413
        assert (await world.chat("x" * 500)).status_code == 200

    play(scenario, max_request_body_size=1000)


def test_other_paths_and_methods(play: Play) -> None:
    async def scenario(world: Any) -> None:
        wrong = await world.client.get("/v1/chat/completions")
        assert (wrong.status_code, wrong.text, wrong.headers["allow"]) == (405, "Method Not Allowed", "POST, OPTIONS")
        missing = await world.client.get("/nowhere")
        assert (missing.status_code, missing.text) == (404, "Not Found")
        for path in ("/health", "/ready"):
            healthy = await world.client.get(path)
            assert (healthy.status_code, healthy.content) == (200, b"")
            assert healthy.headers["content-type"] == "application/json"

    play(scenario)


def test_metrics_count_what_was_answered(play: Play) -> None:
    async def scenario(world: Any) -> None:
        usage = (await world.chat(max_tokens=5)).json()["usage"]
        response = await world.client.get("/metrics")
        assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        label = f'{{model_name="{world.model}"}}'
        lines = response.text.splitlines()
        assert f"vllm:prompt_tokens_total{label} {usage['prompt_tokens']}.0" in lines
        assert f"vllm:generation_tokens_total{label} {usage['completion_tokens']}.0" in lines
        assert f"vllm:num_requests_running{label} 0.0" in lines
        assert f"vllm:request_params_max_tokens_sum{label} 5.0" in lines
        assert "_created" not in response.text

    play(scenario)


def test_the_same_seed_gives_the_same_answers(play: Play) -> None:
    texts: list[str] = []

    async def scenario(world: Any) -> None:
        texts.extend([(await world.chat()).json()["choices"][0]["message"]["content"] for _ in range(3)])

    play(scenario, seed=11)
    play(scenario, seed=11)
    play(scenario, seed=12)
    assert texts[0:3] == texts[3:6]
    assert texts[0:3] != texts[6:9]


def test_latencies_are_kept(play: Play) -> None:
    async def scenario(world: Any) -> None:
        for stream in (False, True):
            began = time.monotonic()
            response = await world.chat(max_tokens=5, ignore_eos=True, stream=stream)
            assert response.status_code == 200
            assert 0.1 + 4 * 0.02 <= time.monotonic() - began < 2
        metrics = (await world.client.get("/metrics")).text
        first = re.search(r"^vllm:time_to_first_token_seconds_sum.* (.+)$", metrics, re.MULTILINE)
        whole = re.search(r"^vllm:e2e_request_latency_seconds_sum.* (.+)$", metrics, re.MULTILINE)
        assert first is not None
        assert whole is not None
        assert 0.28 <= float(first[1]) < float(whole[1])

    play(scenario, time_to_first_token=0.1, inter_token_latency=0.02)


def test_requests_above_the_number_of_sequences_wait(play: Play) -> None:
    async def scenario(world: Any) -> None:
        began = time.monotonic()
        tasks = [asyncio.create_task(world.chat()) for _ in range(4)]
        await asyncio.sleep(0.05)
        waiting = f'vllm:num_requests_waiting{{model_name="{world.model}"}} 2.0'
        assert waiting in (await world.client.get("/metrics")).text.splitlines()
        await asyncio.gather(*tasks)
        assert time.monotonic() - began >= 0.4

    play(scenario, max_num_seqs=2, time_to_first_token=0.2)


def test_failures_are_injected_at_their_rate(play: Play) -> None:
    async def scenario(world: Any) -> None:
        responses = [await world.chat(headers={"authorization": "Bearer k"}) for _ in range(60)]
        failed = [response for response in responses if response.status_code == 429]
        assert 15 < len(failed) < 45
        assert failed[0].json()["error"]["type"] == "RateLimitError"
        account = world.running.ledger.snapshot()["k"]
        assert (account.errors, account.requests) == (len(failed), 60 - len(failed))

    play(scenario, failure_injection_rate=50, failure_types=("rate_limit",))
