"""Where answers come from: one place for each way of reading that there is."""

from __future__ import annotations

from payi_middleware import providers
from payi_middleware.providers import Provider, Route

__all__ = ["PLACES", "places"]

_VERTEX = "/v1/projects/p/locations/us-central1/publishers"

PLACES = (
    ("POST", "api.openai.com", "/v1/chat/completions"),
    ("POST", "api.openai.com", "/v1/responses"),
    ("POST", "api.openai.com", "/v1/embeddings"),
    ("POST", "api.openai.com", "/v1/images/generations"),
    ("POST", "api.openai.com", "/v1/audio/speech"),
    ("POST", "api.openai.com", "/v1/audio/transcriptions"),
    ("POST", "api.openai.com", "/v1/videos"),
    ("POST", "api.openai.com", "/v1/videos/extensions"),
    ("POST", "api.openai.com", "/v1/containers"),
    ("POST", "api.openai.com", "/v1/vector_stores/vs_1/search"),
    ("POST", "api.openai.com", "/v1/threads/runs"),
    ("POST", "api.openai.com", "/v1/realtime/calls"),
    ("POST", "api.openai.com", "/v1/something/new"),
    ("POST", "eu.api.openai.com", "/v1/images/edits"),
    ("POST", "x.openai.azure.com", "/openai/deployments/whisper/audio/translations"),
    ("GET", "api.openai.com", "/v1/responses/resp_1"),
    ("GET", "api.openai.com", "/v1/files/file-1/content"),
    ("GET", "api.openai.com", "/v1/threads/t/runs/run_1"),
    ("POST", "x.openai.azure.com", "/openai/deployments/d/chat/completions"),
    ("POST", "api.anthropic.com", "/v1/messages"),
    ("POST", "api.anthropic.com", "/v1/complete"),
    ("GET", "api.anthropic.com", "/v1/messages/batches/b/results"),
    ("POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-pro:generateContent"),
    ("POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-pro:streamGenerateContent"),
    ("POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-embedding-001:embedContent"),
    ("POST", "generativelanguage.googleapis.com", "/v1beta/models/imagen-4.0-generate-001:predict"),
    ("POST", "generativelanguage.googleapis.com", "/v1beta/interactions"),
    ("POST", "aiplatform.googleapis.com", f"{_VERTEX}/google/models/text-embedding-005:predict"),
    ("POST", "aiplatform.googleapis.com", f"{_VERTEX}/anthropic/models/claude-opus-4-1:rawPredict"),
    ("POST", "bedrock-runtime.us-east-1.amazonaws.com", "/model/amazon.nova-pro-v1:0/converse"),
    ("POST", "bedrock-runtime.us-east-1.amazonaws.com", "/model/amazon.nova-pro-v1:0/converse-stream"),
    ("POST", "bedrock-runtime.us-east-1.amazonaws.com", "/model/meta.llama3-8b-instruct-v1:0/invoke"),
    ("POST", "bedrock-runtime.us-east-1.amazonaws.com", "/model/amazon.titan-text-lite-v1/invoke-with-response-stream"),
    ("POST", "bedrock-runtime.us-east-1.amazonaws.com", "/guardrail/g/version/1/apply"),
    ("POST", "api.mistral.ai", "/v1/ocr"),
    ("POST", "api.mistral.ai", "/v1/chat/completions"),
    ("POST", "api.cohere.com", "/v1/chat"),
    ("POST", "api.cohere.com", "/v2/chat"),
    ("POST", "api.cohere.com", "/v2/rerank"),
    ("POST", "api.groq.com", "/openai/v1/chat/completions"),
    ("POST", "api.x.ai", "/v1/responses"),
    ("POST", "openrouter.ai", "/api/v1/chat/completions"),
    ("POST", "api.perplexity.ai", "/chat/completions"),
    ("POST", "us-south.ml.cloud.ibm.com", "/ml/v1/text/chat"),
    ("POST", "api.voyageai.com", "/v1/embeddings"),
)
"""Method, host, path."""


def places() -> list[tuple[Provider, Route, str, str]]:
    """Provider, route, host and path of each place that costs something."""
    found = []
    for method, host, path in PLACES:
        provider = providers.find(host)
        route = None if provider is None else provider.route(method, path)
        if provider is not None and route is not None:
            found.append((route.provider or provider, route, host, path))
    return found
