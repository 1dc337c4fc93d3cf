"""AWS Bedrock: many makers' models behind converse and invoke, and behind OpenAI's and Anthropic's own shapes.

The hosts are `bedrock-runtime` (converse, invoke, guardrails, OpenAI's shape), `bedrock-mantle` (OpenAI's and Anthropic's
shapes) and `bedrock-agent-runtime` (agents, knowledge bases). Results of batch inference are files in S3, which no call
here brings. Source: AWS's page "Amazon Bedrock endpoints and quotas" and the API reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from .. import openai
from .._asking import ask_nothing, ask_stream
from ..base import Asked, Endpoint, Facts, Reading, Route
from ..other import OTHER
from . import agents, converse, guardrails, invoke
from .served import ask_model_id, at_bedrock, conversed, invoked, invoked_later, paths_model, ranked
from .texts import converse_texts, invoke_texts

__all__ = ["find_route"]

Ask: TypeAlias = Callable[[bytes], Asked]
Read: TypeAlias = Callable[[bytes], Reading]
ReadCut: TypeAlias = Callable[[bytes, bytes], Reading]
Refine: TypeAlias = Callable[[Reading, Facts], Reading]

_BASE: Final = "/model/{modelId}"
_MODEL: Final = re.compile(r"/model/.+/([a-z-]+)$")


def _converse(operation: str, *, streamed: bool) -> Endpoint:
    ask = ask_stream if streamed else ask_nothing
    reads = (converse.read, converse.read_cut, converse.read_stream)
    return Endpoint(f"{_BASE}/{operation}", ask, *reads, converse_texts, conversed)


def _invoke(operation: str, *, streamed: bool) -> Endpoint:
    ask = ask_stream if streamed else ask_nothing
    reads = (invoke.read, invoke.read_cut, invoke.read_stream)
    return Endpoint(f"{_BASE}/{operation}", ask, *reads, invoke_texts, invoked)


def _whole(template: str, ask: Ask, read: Read, read_cut: ReadCut, refine: Refine | None = None) -> Endpoint:
    """An endpoint whose answers are no streams."""

    def read_stream(head: bytes, tail: bytes = b"", cut: int = 0) -> Reading:
        return read_cut(head, tail) if tail else read(head)

    return Endpoint(template, ask, read, read_cut, read_stream, None, refine)


def _untold(template: str, ask: Ask = ask_nothing, refine: Refine | None = None) -> Endpoint:
    """An endpoint whose answers tell no usage."""
    reads = (agents.read_nothing, agents.read_nothing_cut, agents.read_nothing_stream)
    return Endpoint(template, ask, *reads, None, refine)


def _agent(template: str) -> Endpoint:
    reads = (agents.read_agent, agents.read_agent_stream, agents.read_agent_stream)
    return Endpoint(template, ask_stream, *reads, None, agents.processed)


_TALK: Final = "invoke-with-bidirectional-stream"
_TALKS: Final = (invoke.read_talk, invoke.read_talk, invoke.read_talk)
_OPERATIONS: Final = {
    "converse": _converse("converse", streamed=False),
    "converse-stream": _converse("converse-stream", streamed=True),
    "invoke": _invoke("invoke", streamed=False),
    "invoke-with-response-stream": _invoke("invoke-with-response-stream", streamed=True),
    _TALK: Endpoint(f"{_BASE}/{_TALK}", ask_stream, *_TALKS, None, invoked),
}

_ALIAS: Final = "/agents/{agentId}/agentAliases/{agentAliasId}/sessions/{sessionId}/text"
_FLOW: Final = "/flows/{flowIdentifier}/aliases/{flowAliasIdentifier}"
_PATHS: Final = tuple(
    (re.compile(pattern), endpoint)
    for pattern, endpoint in {
        r".*/guardrail/.+/version/[^/]+/apply": _whole(
            "/guardrail/{guardrailIdentifier}/version/{guardrailVersion}/apply",
            ask_nothing,
            guardrails.read_applied,
            guardrails.read_applied_cut,
        ),
        r".*/guardrail-checks/invoke": _whole(
            "/guardrail-checks/invoke", ask_nothing, guardrails.read_checks, agents.read_nothing_cut
        ),
        r".*/async-invoke": _untold("/async-invoke", ask_model_id, invoked_later),
        r".*/rerank": _untold("/rerank", ask_nothing, ranked),
        r".*/agents/[^/]+/agentAliases/[^/]+/sessions/[^/]+/text": _agent(_ALIAS),
        r".*/agents/[^/]+": _agent("/agents/{sessionId}"),
        r".*/flows/[^/]+/aliases/[^/]+": _untold(_FLOW),
        r".*/flows/[^/]+/aliases/[^/]+/executions": _untold(f"{_FLOW}/executions"),
        r".*/retrieveAndGenerate": _untold("/retrieveAndGenerate"),
        r".*/retrieveAndGenerateStream": _untold("/retrieveAndGenerateStream", ask_stream),
        r".*/agenticRetrieveStream": _untold("/agenticRetrieveStream", ask_stream),
        r".*/knowledgebases/[^/]+/retrieve": _untold("/knowledgebases/{knowledgeBaseId}/retrieve"),
        r".*/generateQuery": _untold("/generateQuery"),
        r".*/optimize-prompt": _untold("/optimize-prompt", ask_stream),
    }.items()
)
"""Paths whole, whatever base a gateway puts before them. What is left lists, stores and deletes."""

_FREE: Final = frozenset({"count-tokens"})
_SHAPES: Final = re.compile(r"/v\d+/")
_shaped: Final = openai.routes({path: at_bedrock(endpoint) for path, endpoint in openai.endpoints().items()})


def find_route(method: str, path: str) -> Route | None:
    """The route of a request."""
    path = path.rstrip("/")
    called = _MODEL.search(path)
    if called is not None:
        if method != "POST" or called[1] in _FREE:
            return None
        return Route(_OPERATIONS.get(called[1], OTHER), paths_model(path))
    if method == "POST":
        for pattern, endpoint in _PATHS:
            if pattern.fullmatch(path):
                return Route(endpoint)
    return _shaped(method, path) if _SHAPES.search(path) else None
