"""From a completion request to its answer: who may ask what, the generated choices, and their order on the wire."""

import random
import uuid
from collections.abc import AsyncIterator, Sequence
from typing import Final

from host_sim.world.llm.answer import Client, Part
from host_sim.world.llm.config import FailureType, SimulatorConfig
from host_sim.world.llm.ledger import Answered
from host_sim.world.llm.override import ResponseOverride
from host_sim.world.llm.protocol import (
    DONE,
    ApiError,
    ChatRequest,
    Choice,
    CompletionRequest,
    Shape,
    TextRequest,
    Usage,
    encode,
    encode_event,
)
from host_sim.world.llm.tokens import random_length, random_tokens, tokenize

_FAILURES: Final[dict[FailureType, tuple[int, str, str | None]]] = {
    "rate_limit": (429, "Rate limit reached for {model}: too many requests per minute.", None),
    "invalid_api_key": (401, "Incorrect API key provided.", None),
    "context_length": (400, "The messages are longer than this model's maximum context length.", "messages"),
    "server_error": (503, "The server is overloaded or not ready yet.", None),
    "invalid_request": (400, "Invalid request: missing required parameter 'model'.", "model"),
    "model_not_found": (404, "The model '{model}-nonexistent' does not exist", "model"),
}


def injected_failure(config: SimulatorConfig, rng: random.Random) -> ApiError | None:
    """The error a completion is answered with instead of tokens, as often as the configuration says."""
    if config.failure_injection_rate == 0 or rng.randint(1, 100) > config.failure_injection_rate:
        return None
    status, message, param = _FAILURES[rng.choice(config.failure_types)]
    return ApiError(status, message.format(model=config.model), param)


class Completion:
    """One accepted request with its generated answer."""

    def __init__(self, config: SimulatorConfig, rng: random.Random, request: CompletionRequest) -> None:
        """Generate the answer.

        Raises ApiError: 404 for a model that is not served, 400 for a prompt the context window cannot hold.
        """
        if request.model not in (*config.names, *config.lora):
            raise ApiError(404, f"The model `{request.model}` does not exist.")
        copies = request.n or 1
        prompts = _prompt_tokens(request)
        for tokens in prompts:
            _check_window(len(tokens), request.limit, config.max_model_len)
        self.request: Final = request
        self.choices: Final = [
            _generate(config, rng, request, tokens, index * copies + copy)
            for index, tokens in enumerate(prompts)
            for copy in range(copies)
        ]
        self.usage: Final = Usage(
            prompt_tokens=sum(map(len, prompts)), completion_tokens=sum(len(choice.tokens) for choice in self.choices)
        )
        self._config = config
        displayed = request.model if request.model in config.lora else config.names[0]
        self._shape = Shape(request, displayed, str(uuid.uuid4()))

    def plain(self, override: ResponseOverride) -> bytes:
        """The whole answer as one JSON document."""
        return encode(override.usage_of(self._shape.plain(self.choices, self.usage.document())))

    async def wait(self, client: Client) -> None:
        """Let the time pass that generating the longest choice takes. Raises ClientLeft."""
        length = max(len(choice.tokens) for choice in self.choices)
        config = self._config
        await client.sleep(config.time_to_first_token + config.inter_token_latency * max(0, length - 1))

    async def plain_parts(self, body: bytes, override: ResponseOverride) -> AsyncIterator[Part]:
        """*body*, which is that of :meth:`plain`, with all the tokens in it."""
        answered = Answered(self.usage.prompt_tokens, self.usage.completion_tokens, self._reported(override))
        yield Part(body, answered)

    async def stream_parts(self, client: Client, override: ResponseOverride) -> AsyncIterator[Part]:
        """The answer as server-sent events, each when its token has been generated. Raises ClientLeft.

        Choices advance token by token side by side. The prompt's tokens count as answered with the first event.
        """
        shape = self._shape
        prompt_tokens = self.usage.prompt_tokens
        await client.sleep(self._config.time_to_first_token)
        for choice in self.choices:
            role = shape.role_event(choice.index)
            if role is not None:
                yield Part(encode_event(override.usage_of(role)), Answered(prompt_tokens))
                prompt_tokens = 0
        for position in range(max(len(choice.tokens) for choice in self.choices)):
            await client.sleep(self._config.inter_token_latency if position else 0)
            for choice in self.choices:
                if position < len(choice.tokens):
                    event = shape.token_event(choice.index, choice.tokens[position])
                    yield Part(encode_event(override.usage_of(event)), Answered(prompt_tokens, 1))
                    prompt_tokens = 0
        for choice in self.choices:
            yield Part(encode_event(override.usage_of(shape.finish_event(choice))), Answered(prompt_tokens))
            prompt_tokens = 0
        if self.request.include_usage:
            event = override.usage_of(shape.usage_event(self.usage.document()))
            yield Part(encode_event(event), Answered(reported_tokens=self._reported(override)))
        yield Part(DONE)

    def _reported(self, override: ResponseOverride) -> int:
        return 0 if override.falsifies_usage else self.usage.total_tokens


def _prompt_tokens(request: CompletionRequest) -> list[Sequence[object]]:
    """The tokens of each prompt; ids count as tokens as they are."""
    if isinstance(request, ChatRequest):
        return [tokenize("".join(message.prompt() for message in request.messages))]
    if isinstance(request, TextRequest):
        return [tokenize(prompt) if isinstance(prompt, str) else prompt for prompt in request.prompt]
    raise TypeError(f"{type(request).__name__} is no completion request with a prompt")


def _echo_tokens(request: CompletionRequest, prompt: Sequence[object]) -> list[str]:
    """What echo mode answers: the last message, or the prompt; token ids in decimal, with commas between."""
    if isinstance(request, ChatRequest):
        return tokenize(request.messages[-1].text()) if request.messages else []
    return [token if isinstance(token, str) else f"{token}," for token in prompt[:-1]] + [str(prompt[-1])]


def _check_window(prompt: int, limit: int | None, window: int) -> None:
    """Prompt and ``max_tokens`` together must fit; without a limit, the prompt and one token."""
    completion = 1 if limit is None else limit
    if prompt + completion > window:
        raise ApiError(
            400,
            f"This model's maximum context length is {window} tokens. However, you requested {prompt + completion} "
            f"tokens ({prompt} in the messages, {completion} in the completion). Please reduce the length of the "
            "messages or completion",
        )


def _generate(
    config: SimulatorConfig, rng: random.Random, request: CompletionRequest, prompt: Sequence[object], index: int
) -> Choice:
    room = config.max_model_len - len(prompt)
    most = room if request.limit is None else request.limit
    if config.mode == "echo":
        tokens = _echo_tokens(request, prompt)[:most]
    elif request.ignore_eos:
        tokens = random_tokens(rng, most)
    else:
        tokens = random_tokens(rng, random_length(rng, request.limit, room))
    return Choice(index=index, tokens=tokens, finish_reason="length" if len(tokens) >= most else "stop")
