"""Which host is which provider, and which path is which endpoint."""

from __future__ import annotations

import re

import pytest

from payi_middleware.providers import PROVIDERS, Provider, find, named, openai
from payi_middleware.providers.compatible_hosts import HOSTS as COMPATIBLE
from payi_middleware.providers.places import BEHIND_HUGGINGFACE, ROWS

HOSTS = {
    "api.openai.com": ("openai", "system.openai"),
    "API.OpenAI.com:443": ("openai", "system.openai"),
    "eu.api.openai.com": ("openai", "system.openai"),
    "contoso.openai.azure.com": ("azure", "system.azureopenai"),
    "contoso.cognitiveservices.azure.com": ("azure", "system.azureopenai"),
    "eastus.api.cognitive.microsoft.com": ("azure", "system.azureopenai"),
    "api.anthropic.com": ("anthropic", "system.anthropic"),
    "generativelanguage.googleapis.com": ("google", "system.google.vertex"),
    "aiplatform.googleapis.com": ("google", "system.google.vertex"),
    "europe-west4-aiplatform.googleapis.com": ("google", "system.google.vertex"),
    "aiplatform.eu.rep.googleapis.com": ("google", "system.google.vertex"),
    "<location>-aiplatform.googleapis.com": ("google", "system.google.vertex"),
    "claude.googleapis.com": ("anthropic", "system.anthropic"),
    "aws-external-anthropic.eu-west-1.api.aws": ("anthropic", "system.anthropic"),
    "bedrock-runtime.eu-central-1.amazonaws.com": ("aws", "system.aws.bedrock"),
    "bedrock-runtime.<aws_region>.amazonaws.com": ("aws", "system.aws.bedrock"),
    "bedrock-mantle.us-east-1.api.aws": ("aws", "system.aws.bedrock"),
    "api.groq.com": ("groq", "system.groq"),
    "dbc-1.cloud.databricks.com": ("databricks", "system.databricks.aws"),
    "7.ai-gateway.cloud.databricks.com": ("databricks", "system.databricks.aws"),
    "adb-1.2.azuredatabricks.net": ("databricks", "system.databricks.azure"),
    "1.2.gcp.databricks.com": ("databricks", "system.databricks.google"),
    "org-acc.eu-central-1.snowflakecomputing.com": ("snowflake", "system.snowflake"),
    "eu-de.ml.cloud.ibm.com": ("watsonx", "system.watsonx"),
    "api.us.elevenlabs.io": ("elevenlabs", "system.elevenlabs"),
    "api.eu.deepgram.com": ("deepgram", "system.deepgram"),
    "api.venice.ai": ("venice", "system.venice"),
    "api.portkey.ai": ("portkey", "system.portkey"),
    "us-east-1.api.x.ai": ("x-ai", "system.x-ai"),
    "router.huggingface.co": ("huggingface", "system.huggingface"),
}


@pytest.mark.parametrize(("host", "expected"), HOSTS.items())
def test_host_is_found(host: str, expected: tuple[str, str]) -> None:
    """A host is found whatever its case, port or region."""
    provider = find(host)

    assert provider is not None
    assert (provider.id, provider.category) == expected


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "",
        "storage.googleapis.com",
        "api.openai.com.evil.example",
        "openai.com",
        "evil-api.openai.com.x",
        "[::1]:80",
    ],
)
def test_other_hosts_are_no_provider(host: str) -> None:
    """A host that only looks like a provider's is none."""
    assert find(host) is None


def test_named_gives_every_provider() -> None:
    """The setting `hosts` can name each provider, and an azure host is OpenAI's until its path says otherwise."""
    assert all(named(provider.id).id == provider.id for provider in PROVIDERS)
    assert named("azure").category == "system.azureopenai"
    assert named("databricks").category == "system.databricks.aws"


def test_each_host_is_told_once() -> None:
    """Of two rows with one host, one would be for nothing."""
    hosts = [host for row in ROWS for host in row.hosts]

    assert len(hosts) == len(set(hosts))
    assert hosts == [host.lower() for host in hosts]


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.category)
def test_every_row_leads_to_a_file_that_finds_routes(provider: Provider) -> None:
    """What a row tells by name is there, and says of a request that nobody makes that it is none of our business."""
    assert provider.find_route("TRACE", "/") is None


def test_an_unknown_name_lists_the_valid_ones() -> None:
    """A wrong name is answered with the names there are."""
    with pytest.raises(LookupError, match=r"'opnai'; use one of: .*\bgroq\b.*\bopenai\b"):
        named("opnai")


ROUTERS = {"cloudflare-gateway", "github-models", "helicone", "huggingface", "huggingface_cohere"} | {
    "huggingface_deepinfra"
}
ROUTERS |= {"litellm", "portkey", "pydantic-gateway", "vercel"}
AT_HOME = {"llamacpp", "lmstudio", "ollama", "self-hosted", "tgi", "vllm"}
UNLISTED = {"ai21", "alibaba", "deepinfra", "featherless", "friendli", "hyperbolic", "inception", "jina", "lambda"}
UNLISTED |= {"nebius", "nscale", "nvidia", "ollama-cloud", "parasail", "reka", "replicate", "sambanova", "scaleway"}
UNLISTED |= {"aleph-alpha", "baidu", "chutes", "heroku", "poe", "publicai", "requesty", "tencent", "volcengine"}
UNLISTED |= {"deepgram", "venice"} | {"siliconflow", "snowflake", "stepfun", "upstage", "wandb", "watsonx", "writer"}
STRANGERS = {
    "ai.mongodb.com",
    "api.llama.com",
    "api.minimax.chat",
    "api.together.ai",
    "codestral.mistral.ai",
}


def test_ids_are_those_of_genai_prices() -> None:
    """A provider has the id of genai-prices where that has one; routers and one's own machines have no list."""
    from genai_prices.data_snapshot import get_snapshot

    theirs = {provider.id for provider in get_snapshot().providers}

    assert {provider.id for provider in PROVIDERS} - theirs == ROUTERS | AT_HOME | UNLISTED


def test_hosts_are_those_of_genai_prices() -> None:
    """Each host of the table matches genai-prices' own pattern of that provider, but for a second host of one."""
    from genai_prices.data_snapshot import get_snapshot

    patterns = {provider.id: provider.api_pattern for provider in get_snapshot().providers}
    ours = {host: id for id, hosts in COMPATIBLE.items() for host in hosts}
    ours |= {f"router.huggingface.co/{name}": f"huggingface_{name}" for name in BEHIND_HUGGINGFACE}
    ours |= {"api.openai.com": "openai", "api.anthropic.com": "anthropic", "x.openai.azure.com": "azure"}

    strangers = {
        host for host, id in ours.items() if id in patterns and not re.match(patterns[id], f"https://{host}/v1")
    }

    assert strangers == STRANGERS


KNOWN = [
    ("api.openai.com", "/v1/chat/completions", "/v1/chat/completions", None),
    ("api.openai.com", "/v1/completions", "/v1/completions", None),
    ("api.openai.com", "/v1/embeddings/", "/v1/embeddings", None),
    ("api.openai.com", "/v1/responses", "/v1/responses", None),
    ("api.openai.com", "/v1/responses/compact", "/v1/responses/compact", None),
    ("api.groq.com", "/openai/v1/chat/completions", "/v1/chat/completions", None),
    ("api.deepgram.com", "/v1/read", "(other)", None),
    ("api.fireworks.ai", "/inference/v1/chat/completions", "/v1/chat/completions", None),
    ("api.deepseek.com", "/anthropic/v1/messages", "/v1/messages", None),
    ("x.openai.azure.com", "/openai/v1/responses", "/v1/responses", None),
    ("x.services.ai.azure.com", "/models/chat/completions", "/v1/chat/completions", None),
    (
        "x.openai.azure.com",
        "/openai/deployments/my%20gpt/chat/completions",
        "/openai/deployments/{deployment}/chat/completions",
        "my gpt",
    ),
    (
        "x.openai.azure.com",
        "/openai/deployments/d/images/generations",
        "/openai/deployments/{deployment}/images/generations",
        "d",
    ),
    (
        "x.openai.azure.com",
        "/openai/deployments/d/audio/transcriptions",
        "/openai/deployments/{deployment}/audio/transcriptions",
        "d",
    ),
    ("x.openai.azure.com", "/openai/deployments/d/something/new", "(other)", "d"),
    ("api.anthropic.com", "/v1/messages", "/v1/messages", None),
    ("api.anthropic.com", "/v1/chat/completions", "/v1/chat/completions", None),
    ("api.anthropic.com", "/v1/sessions/s_1/events", "/v1/sessions/{id}/events", None),
    ("api.anthropic.com", "/v1/sessions/s_1/archive", "/v1/sessions/{id}", None),
    ("claude.googleapis.com", "/v1/projects/p/locations/global/workspaces/w/invoke/v1/messages", "/v1/messages", None),
    ("aws-external-anthropic.us-east-1.api.aws", "/v1/messages", "/v1/messages", None),
    (
        "generativelanguage.googleapis.com",
        "/v1beta/models/gemini-2.5-flash:streamGenerateContent",
        "/v1beta/models/{model}:streamGenerateContent",
        "gemini-2.5-flash",
    ),
    ("generativelanguage.googleapis.com", "/v1beta/openai/chat/completions", "/v1/chat/completions", None),
    (
        "aiplatform.googleapis.com",
        "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent",
        "/v1/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:generateContent",
        "gemini-2.5-pro",
    ),
    (
        "aiplatform.googleapis.com",
        "/v1/projects/p/locations/l/publishers/anthropic/models/claude-sonnet-4@20250514:streamRawPredict",
        "/v1/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:streamRawPredict",
        "claude-sonnet-4@20250514",
    ),
    (
        "aiplatform.googleapis.com",
        "/v1/projects/p/locations/l/publishers/google/models/imagen-4:predict",
        "/v1/projects/{project}/locations/{location}/publishers/{publisher}/models/{model}:predict",
        "imagen-4",
    ),
    (
        "generativelanguage.googleapis.com",
        "/v1beta/models/veo-3:predictLongRunning",
        "/v1beta/models/{model}:predictLongRunning",
        "veo-3",
    ),
    ("generativelanguage.googleapis.com", "/v1beta/models/aqa:generateAnswer", "(other)", "aqa"),
    (
        "generativelanguage.googleapis.com",
        "/v1beta/tunedModels/mine:generateContent",
        "/v1beta/models/{model}:generateContent",
        "tunedModels/mine",
    ),
    (
        "us-central1-aiplatform.googleapis.com",
        "/v1/projects/p/locations/us-central1/publishers/mistralai/models/mistral-small-2503:streamRawPredict",
        "/v1/chat/completions",
        "mistral-small-2503",
    ),
    ("generativelanguage.googleapis.com", "/v1beta/cachedContents", "/v1beta/cachedContents", None),
    ("generativelanguage.googleapis.com", "/v1beta/openai/images/generations", "(other)", None),
    (
        "aiplatform.googleapis.com",
        "/v1/projects/p/locations/l/endpoints/7/chat/completions",
        "/v1/chat/completions",
        None,
    ),
    ("generativelanguage.googleapis.com", "/v1beta/interactions", "/v1beta/interactions", None),
    *(
        ("api.openai.com", f"/v1/{path}", f"/v1/{template or path}", None)
        for path, template in {
            "audio/speech": "",
            "audio/transcriptions": "",
            "audio/translations": "",
            "containers": "",
            "decisions": "",
            "images/edits": "",
            "images/generations": "",
            "images/variations": "",
            "live/sessions": "",
            "realtime/calls": "",
            "threads/runs": "threads/{thread}/runs",
            "threads/t_1/runs": "threads/{thread}/runs",
            "threads/t_1/runs/run_1/submit_tool_outputs": "threads/{thread}/runs",
            "vector_stores/vs_1/search": "vector_stores/{vector_store}/search",
            "videos": "",
            "videos/edits": "",
            "videos/extensions": "",
            "videos/video_1/remix": "videos/{video}/remix",
        }.items()
    ),
    ("eu.api.openai.com", "/v1/images/edits", "/v1/images/edits", None),
    ("x.openai.azure.com", "/openai/v1/videos", "/v1/videos", None),
    ("x.openai.azure.com", "/openai/v1/video/generations/jobs", "/v1/video/generations/jobs", None),
    ("x.openai.azure.com", "/openai/v1/realtime/calls", "/v1/realtime/calls", None),
    ("x.services.ai.azure.com", "/api/projects/p/openai/v1/responses", "/v1/responses", None),
    ("x.services.ai.azure.com", "/api/projects/p/threads/t/runs", "/v1/threads/{thread}/runs", None),
    ("llama.eastus2.models.ai.azure.com", "/v1/chat/completions", "/v1/chat/completions", None),
    ("llama.eastus2.inference.ml.azure.com", "/v1/chat/completions", "/v1/chat/completions", None),
    ("api.openai.com", "/v1/something/new", "(other)", None),
    ("api.anthropic.com", "/v1/complete", "/v1/complete", None),
    ("x.openai.azure.com", "/openai/v1/images/generations", "/v1/images/generations", None),
    # What is free at one host is paid at another, and a word in the middle of a path says nothing.
    ("api.mistral.ai", "/v1/conversations", "/v1/conversations", None),
    ("api.mistral.ai", "/v1/moderations", "/v1/moderations", None),
    ("api.mistral.ai", "/v1/fim/completions", "/v1/completions", None),
    ("api.mistral.ai", "/v1/agents/completions", "/v1/completions", None),
    ("api.mistral.ai", "/v1/ocr", "/v1/ocr", None),
    ("api.cohere.com", "/v2/chat", "/v2/chat", None),
    ("api.cohere.com", "/compatibility/v1/chat/completions", "/v1/chat/completions", None),
    ("api.voyageai.com", "/v1/rerank", "/v1/rerank", None),
    ("api.writer.com", "/v1/chat", "/v1/chat", None),
    ("api.aleph-alpha.com", "/complete", "/complete", None),
    ("api-inference.huggingface.co", "/models/m/n/v1/chat/completions", "/v1/chat/completions", None),
    ("ark.ap-southeast.bytepluses.com", "/api/v3/chat/completions", "/v1/chat/completions", None),
    ("api.perplexity.ai", "/search", "/search", "search"),
    ("openrouter.ai", "/api/v1/audio/speech", "(other)", None),
    ("us-south.ml.cloud.ibm.com", "/ml/v1/text/generation_stream", "/ml/v1/text/generation_stream", None),
    ("us-south.ml.cloud.ibm.com", "/ml/v1/deployments/d/text/chat", "/ml/v1/text/chat", None),
    (
        "dbc-1.cloud.databricks.com",
        "/serving-endpoints/databricks-gpt-oss-20b/invocations",
        "/serving-endpoints/{name}/invocations",
        "databricks-gpt-oss-20b",
    ),
    ("adb-1.2.azuredatabricks.net", "/serving-endpoints/chat/completions", "/v1/chat/completions", None),
    (
        "org-acc.snowflakecomputing.com",
        "/api/v2/cortex/inference:complete",
        "/api/v2/cortex/inference:complete",
        None,
    ),
    (
        "api.cloudflare.com",
        "/client/v4/accounts/a/ai/run/@cf/meta/llama-3.1-8b-instruct",
        "/ai/run/{model}",
        "@cf/meta/llama-3.1-8b-instruct",
    ),
    ("api.cloudflare.com", "/client/v4/accounts/a/ai/v1/embeddings", "/v1/embeddings", None),
    ("api.replicate.com", "/v1/models/meta/llama/predictions", "/v1/models/{model}/predictions", "meta/llama"),
    ("api.elevenlabs.io", "/v1/text-to-speech/v/stream", "/v1/text-to-speech/{voice_id}", None),
    ("api.fireworks.ai", "/inference/v1/workflows/accounts/fireworks/models/flux/text_to_image", "(other)", None),
    ("router.huggingface.co", "/hf-inference/models/x/y", "(other)", None),
    ("x.services.ai.azure.com", "/providers/cohere/v2/rerank", "(other)", None),
    ("api.anthropic.com", "/v1/agents/a/sessions", "(other)", None),
    ("api.groq.com", "/openai/v1/audio/files", "(other)", None),
]


@pytest.mark.parametrize(("host", "path", "template", "model"), KNOWN)
def test_paths_become_templates(host: str, path: str, template: str, model: str | None) -> None:
    """A path is known by its end, whatever base stands before it, and only the template goes on."""
    provider = find(host)
    assert provider is not None

    route = provider.route("POST", path)

    assert route is not None
    assert (route.endpoint.template, route.model) == (template, model)


FREE = [
    ("GET", "api.openai.com", "/v1/chat/completions"),
    ("DELETE", "api.openai.com", "/v1/responses/resp_1"),
    ("POST", "api.openai.com", "/v1/files"),
    ("POST", "api.openai.com", "/v1/uploads/u/parts"),
    ("POST", "api.openai.com", "/v1/moderations"),
    ("POST", "api.openai.com", "/v1/threads/t/messages"),
    ("POST", "api.openai.com", "/v1/traces/ingest"),
    ("POST", "eastus.api.azureml.ms", "/flow/api/subscriptions/s/providers/Microsoft.MachineLearningServices/w/runs"),
    ("POST", "api.openai.com", "/v1/responses/input_tokens"),
    ("POST", "api.openai.com", "/v1/responses/resp_1/cancel"),
    ("POST", "api.openai.com", "/v1/chat/completions/chatcmpl-1"),
    ("POST", "api.openai.com", "/v1/vector_stores"),
    ("POST", "api.openai.com", "/v1/vector_stores/vs_1/files"),
    ("POST", "api.openai.com", "/v1/containers/c_1/files"),
    ("POST", "api.openai.com", "/v1/conversations"),
    ("POST", "eu.api.openai.com", "/v1/conversations"),
    ("POST", "api.openai.com", "/v1/realtime/client_secrets"),
    ("POST", "api.anthropic.com", "/v1/messages/count_tokens"),
    ("POST", "api.anthropic.com", "/v1/messages/batches"),
    ("GET", "api.anthropic.com", "/v1/messages/batches/msgbatch_1"),
    ("POST", "api.anthropic.com", "/v1/messages/batches/msgbatch_1/cancel"),
    ("POST", "api.anthropic.com", "/v1/sessions"),
    ("POST", "claude.googleapis.com", "/v1/projects/p/locations/l/workspaces/w/invoke/v1/messages/count_tokens"),
    ("GET", "api.anthropic.com", "/v1/models"),
    ("POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:countTokens"),
    ("GET", "generativelanguage.googleapis.com", "/v1beta/cachedContents"),
    ("POST", "generativelanguage.googleapis.com", "/v1beta/models/gemini-2.5-flash:batchGenerateContent"),
    ("GET", "generativelanguage.googleapis.com", "/v1beta/batches"),
    ("GET", "generativelanguage.googleapis.com", "/v1beta/files/abc:download"),
    ("GET", "generativelanguage.googleapis.com", "/v1beta/models/veo-3/operations/o1"),
    ("POST", "generativelanguage.googleapis.com", "/v1beta/interactions/v1_1/cancel"),
    (
        "POST",
        "aiplatform.googleapis.com",
        "/v1/projects/p/locations/l/publishers/google/models/veo-3:fetchPredictOperation",
    ),
    ("GET", "generativelanguage.googleapis.com", "/v1beta/models"),
    (
        "POST",
        "aiplatform.googleapis.com",
        "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
    ),
    ("POST", "x.cognitiveservices.azure.com", "/vision/v3.2/analyze"),
    ("POST", "x.openai.azure.com", "/openai/files"),
    ("GET", "x.openai.azure.com", "/openai/deployments/d/chat/completions"),
    ("POST", "x.openai.azure.com", "/openai/v1/files"),
    ("POST", "x.openai.azure.com", "/openai/threads/t/messages"),
    ("POST", "api.openai.com", "/v1/live/sessions/s/hangup"),
    ("POST", "api.openai.com", "/v1/realtime/calls/c/accept"),
    ("POST", "api.openai.com", "/v1/videos/characters"),
    ("GET", "api.openai.com", "/v1/files/file-1"),
    ("GET", "api.openai.com", "/v1/batches/batch_1"),
    ("GET", "api.openai.com", "/v1/responses/resp_1/input_items"),
    ("GET", "api.openai.com", "/v1/videos/video_1"),
    ("GET", "x.openai.azure.com", "/openai/files/file-1"),
    ("POST", "x.services.ai.azure.com", "/api/projects/p/assistants"),
    ("POST", "x.services.ai.azure.com", "/api/projects/p/connections"),
    ("GET", "x.azure-api.net", "/anything/responses/1"),
    ("POST", "x.azure-api.net", "/base/openai/batches"),
    ("POST", "router.huggingface.co", "/together/v1/files"),
    ("POST", "api.groq.com", "/openai/v1/batches"),
    ("POST", "generativelanguage.googleapis.com", "/v1beta/openai/files"),
    ("POST", "openrouter.ai", "/api/v1/keys"),
    ("POST", "api.cohere.com", "/v1/tokenize"),
    ("POST", "api.cohere.com", "/v1/embed-jobs"),
    ("POST", "api.mistral.ai", "/v1/agents"),
    ("POST", "api.mistral.ai", "/v1/libraries/l/documents"),
    ("POST", "api.writer.com", "/v1/files"),
    ("POST", "us-south.ml.cloud.ibm.com", "/ml/v1/text/tokenization"),
    ("POST", "dbc-1.cloud.databricks.com", "/api/2.0/sql/statements"),
    ("POST", "org-acc.snowflakecomputing.com", "/api/v2/statements"),
    ("POST", "api.cloudflare.com", "/client/v4/accounts/a/workers/scripts"),
    ("GET", "openrouter.ai", "/api/v1/generation"),
    ("POST", "api.elevenlabs.io", "/v1/voices/add"),
    ("POST", "api.deepgram.com", "/v1/auth/grant"),
    ("POST", "api.replicate.com", "/v1/predictions/p/cancel"),
]


ASKED_AGAIN = [
    ("api.openai.com", "/v1/responses/resp_1", "/v1/responses/{response}"),
    ("api.openai.com", "/v1/files/file-1/content", "/v1/files/{file}/content"),
    ("api.openai.com", "/v1/threads/t_1/runs/run_1", "/v1/threads/{thread}/runs/{run}"),
    ("us.api.openai.com", "/v1/responses/resp_1", "/v1/responses/{response}"),
    ("api.groq.com", "/openai/v1/files/file-1/content", "/v1/files/{file}/content"),
    ("api.mistral.ai", "/v1/files/file-1/content", "/v1/files/{file}/content"),
    ("x.openai.azure.com", "/openai/v1/responses/resp_1", "/v1/responses/{response}"),
    ("x.openai.azure.com", "/openai/files/file-1/content", "/v1/files/{file}/content"),
    ("x.services.ai.azure.com", "/openai/v1/threads/t_1/runs/run_1", "/v1/threads/{thread}/runs/{run}"),
    ("x.services.ai.azure.com", "/api/projects/p/threads/t_1/runs/run_1", "/v1/threads/{thread}/runs/{run}"),
    ("eastus.api.azureml.ms", "/agents/v1.0/subscriptions/s/threads/t_1/runs/run_1", "/v1/threads/{thread}/runs/{run}"),
]


@pytest.mark.parametrize(("host", "path", "template"), ASKED_AGAIN)
def test_what_a_get_tells(host: str, path: str, template: str) -> None:
    """What was made in the background tells its usage to whoever asks for it."""
    provider = find(host)
    assert provider is not None

    route = provider.route("GET", path)

    assert route is not None
    assert route.endpoint.template == template


@pytest.mark.parametrize(("method", "host", "path"), FREE)
def test_free_calls_are_no_events(method: str, host: str, path: str) -> None:
    """What costs nothing, or is billed with a later answer, has no route."""
    provider = find(host)
    assert provider is not None

    assert provider.route(method, path) is None


def test_huggingface_path_names_the_provider() -> None:
    """Behind Hugging Face's router the path decides whose prices hold."""
    router = find("router.huggingface.co")
    assert router is not None

    together = router.route("POST", "/together/v1/chat/completions")
    automatic = router.route("POST", "/v1/chat/completions")

    assert together is not None
    assert together.provider is not None
    assert together.provider.id == "huggingface_together"
    assert automatic is not None
    assert automatic.provider is None


def test_anthropic_on_azure_has_a_category_of_its_own() -> None:
    """Foundry's Anthropic models are Azure's in price and `system.azure` in category."""
    route = named("azure").route("POST", "/anthropic/v1/messages")

    assert route is not None
    assert route.provider in PROVIDERS
    assert (route.provider.id, route.provider.category) == ("azure", "system.azure")
    assert route.endpoint.template == "/v1/messages"


def test_strict_hosts_know_only_known_paths() -> None:
    """On a host that also serves anything else, an unknown path is none of our business."""
    find_route = openai.routes(openai.endpoints(), strict=True)

    assert find_route("POST", "/v1/chat/completions") is not None
    assert find_route("POST", "/my/own/thing") is None
    assert find_route("GET", "/my/own/files/1/content") is None


def test_every_endpoint_survives_an_empty_exchange() -> None:
    """No endpoint trips over nothing at all."""
    for host, path, _, _ in KNOWN:
        provider = find(host)
        assert provider is not None
        route = provider.route("POST", path)
        assert route is not None
        endpoint = route.endpoint
        assert endpoint.ask(b"").model is None
        assert endpoint.read(b"").units is endpoint.read_stream(b"").units is endpoint.read_cut(b"", b"").units is None
