"""Which provider is where: its name, its category, its hosts, and the file that knows its paths. Plain data.

Whoever looks up a host imports this and none of the readers. A provider that speaks OpenAI's language and has no file of
its own is a row of `compatible_hosts`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .compatible_hosts import HOSTS, PATTERNS

__all__ = ["BEHIND_HUGGINGFACE", "OLLAMA_PORT", "ROWS", "Row"]


class Row(NamedTuple):
    """A provider with a file of its own, or one of a file's several."""

    id: str
    """The id of genai-prices, or of ours where it has none."""
    file: str
    """In this folder; imported when the first route is asked for."""
    hosts: tuple[str, ...] = ()
    """In lower case, without a port."""
    pattern: str = ""
    """Of hosts with a part that varies: a region, or what the customer is called."""
    category: str = ""
    """Pay-i's; `system.` and the id where it is not told."""
    finds: str = "find_route"
    """What finds a route in the file: (method, path without the query) -> the route, or None where the call consumes nothing."""
    by_id: bool = False
    """Whether `finds` is given the id first, and answers with what finds a route."""


OLLAMA_PORT: Final = 11434
"""Where Ollama listens, if nobody says otherwise."""

BEHIND_HUGGINGFACE: Final = (
    "cerebras",
    "cohere",
    "deepinfra",
    "fireworks-ai",
    "groq",
    "hyperbolic",
    "nebius",
    "novita",
    "nscale",
    "ovhcloud",
    "publicai",
    "sambanova",
    "together",
)
"""The providers behind Hugging Face's router, as its paths name them."""

# Azure's own, named by the customer or by the region alone, Azure API Management in front of them, a model's own host in
# a region, and the one of earlier agents.
_AZURE: Final = (
    r"[^.]+\.(?:openai\.azure\.(?:com|us|cn)|cognitiveservices\.azure\.(?:com|us|cn)|services\.ai\.azure\.(?:com|us|cn)"
    r"|azure-api\.net)"
    r"|[^.]+\.[^.]+\.(?:(?:models|inference)\.ai\.azure\.com|inference\.ml\.azure\.com)"
    r"|[^.]+\.api\.azureml\.ms|[a-z0-9]+\.api\.cognitive\.microsoft\.com"
)

# Sources: the base URLs of Anthropic's SDK for what it runs itself in the clouds of Google and AWS.
_ANTHROPIC: Final = r"claude\.googleapis\.com|aws-external-anthropic\.[a-z0-9-]+\.api\.aws"

# Sources: the service endpoints of the Gemini API and of Vertex AI, regional ones included.
_GOOGLE: Final = (
    r"(?:[^./]+-)?(?:generativelanguage|aiplatform)\.googleapis\.com|aiplatform\.[a-z0-9-]+\.rep\.googleapis\.com"
)

# Public, FIPS and dual-stack hosts, and those of VPC endpoints. Recorders put a word of theirs (`<region>`) for the region.
_BEDROCK: Final = (
    r"(?:[a-z0-9-]+\.)*bedrock-(?:agent-)?(?:runtime|mantle)(?:-fips)?\.[^./]+\."
    r"(?:(?:vpce\.)?amazonaws\.com(?:\.cn)?|api\.aws)"
)

_ELEVENLABS: Final = r"api(?:\.(?:us|eu\.residency|in\.residency|sg\.residency))?\.elevenlabs\.io"


def _gateway(id: str, *hosts: str) -> Row:
    """In front of several providers."""
    return Row(id, "gateways", hosts, finds="find_route_of", by_id=True)


# The first of an id is the one of its name; the first are also the first to be imported in the background.
ROWS: Final = (
    Row("openai", "openai", ("api.openai.com",)),
    Row("anthropic", "anthropic", ("api.anthropic.com",), _ANTHROPIC),
    Row(
        "google",
        "google",
        ("generativelanguage.googleapis.com", "aiplatform.googleapis.com"),
        _GOOGLE,
        "system.google.vertex",
    ),
    Row("azure", "azure", (), _AZURE, "system.azureopenai"),
    # Anthropic's models on Foundry: another category of Pay-i's, the same price list. The path decides which is meant.
    Row("azure", "azure", category="system.azure"),
    Row("aws", "bedrock", (), _BEDROCK, "system.aws.bedrock"),
    # The hosts that keep the processing in a region.
    Row("openai", "openai", (), r"[a-z0-9-]+\.api\.openai\.com", finds="find_regional"),
    Row("cohere", "cohere", ("api.cohere.com", "api.cohere.ai")),
    Row("cloudflare", "cloudflare", ("api.cloudflare.com",)),
    # Workspaces and their gateways: one list of prices, and a category of Pay-i's for each cloud.
    Row("databricks", "databricks", (), r"[a-z0-9.-]+\.cloud\.databricks\.com", "system.databricks.aws"),
    Row("databricks", "databricks", (), r"[a-z0-9.-]+\.azuredatabricks\.net", "system.databricks.azure"),
    Row("databricks", "databricks", (), r"[a-z0-9.-]+\.gcp\.databricks\.com", "system.databricks.google"),
    Row("deepgram", "deepgram", (), r"api(?:\.eu)?\.deepgram\.com"),
    Row("elevenlabs", "elevenlabs", (), _ELEVENLABS),
    Row("huggingface", "huggingface", ("router.huggingface.co", "api-inference.huggingface.co")),
    *(Row(f"huggingface_{name}", "huggingface", finds="find_behind") for name in BEHIND_HUGGINGFACE),
    Row("ollama", "ollama"),  # on machines of one's own
    Row("ollama-cloud", "ollama", ("ollama.com",)),
    Row("replicate", "replicate", ("api.replicate.com",)),
    Row("snowflake", "snowflake", (), r"[a-z0-9._-]+\.snowflakecomputing\.(?:com|cn)"),
    Row("watsonx", "watsonx", (), r"[a-z0-9-]+\.ml\.cloud\.ibm\.com|[a-z0-9-]+\.aws\.wxai\.ibm\.com"),
    _gateway("cloudflare-gateway", "gateway.ai.cloudflare.com"),
    _gateway(
        "helicone",
        "ai-gateway.helicone.ai",
        "anthropic.helicone.ai",
        "gateway.helicone.ai",
        "groq.helicone.ai",
        "oai.helicone.ai",
    ),
    _gateway("litellm"),  # where its owner puts it
    _gateway("portkey", "api.portkey.ai"),
    _gateway("pydantic-gateway", "gateway.pydantic.dev"),
    _gateway("vercel", "ai-gateway.vercel.sh"),
    *(
        Row(id, "compatible", hosts, PATTERNS.get(id, ""), finds="find_route_of", by_id=True)
        for id, hosts in HOSTS.items()
    ),
)
