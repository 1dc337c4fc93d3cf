"""Which provider a host is."""

from __future__ import annotations

import httpx
import httpx2
import pytest

from payi_middleware import health, hosts
from payi_middleware.exceptions import SettingsError
from payi_middleware.hosts import Hosts

NAMED = {
    "127.0.0.1:9001": "openai",
    "LLM.internal": "azure",
    "llm.internal:8443": "anthropic",
    "[::1]:9002": "groq",
    "::1": "mistral",
    "https://gateway.internal:443/v1": "together",
    "plain.internal:80": "deepseek",
    "api.openai.com:8080": "openrouter",
    "räksmörgås.se": "anthropic",
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("url_class", [httpx.URL, httpx2.URL])
@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("http://127.0.0.1:9001/v1", "openai"),
        ("http://127.0.0.1:9009/v1", None),
        ("http://llm.internal/", "azure"),
        ("https://LLM.INTERNAL:99/", "azure"),
        ("https://llm.internal:8443/", "anthropic"),
        ("http://[::1]:9002/", "groq"),
        ("http://[::1]/", "mistral"),
        ("https://gateway.internal/v1", "together"),
        ("http://gateway.internal/v1", None),
        ("http://plain.internal/", "deepseek"),
        ("https://api.openai.com/", "openai"),
        ("https://api.openai.com:8080/", "openrouter"),
        ("https://xn--rksmrgs-5wao1o.se/", "anthropic"),
        ("https://api.openai.com./", "openai"),
        ("https://example.com/", None),
        ("/relative", None),
    ],
)
def test_what_the_owner_named(order: int, url_class: type[httpx.URL], url: str, provider: str | None) -> None:
    """A host and port comes before the host as a whole, whichever was named first."""
    known = Hosts(dict(list(NAMED.items())[::order]))
    for _ in range(2):
        found = known.find(url_class(url))
        assert (found and found.id) == provider


@pytest.mark.parametrize(
    ("named", "url", "provider"),
    [
        ({}, "http://localhost:11434/api/chat", "ollama"),
        ({}, "http://127.0.0.1:11434/v1/chat/completions", "ollama"),
        ({}, "http://[::1]:11434/api/chat", "ollama"),
        ({}, "http://0.0.0.0:11434/api/chat", "ollama"),
        ({}, "http://host.docker.internal:11434/v1/chat/completions", "ollama"),
        ({}, "http://ollama:11434/api/chat", "ollama"),
        ({}, "http://ollama:8000/api/chat", None),
        ({}, "http://localhost:8000/", None),
        ({}, "http://localhost/", None),
        ({}, "http://example.com:11434/", None),
        ({"localhost:8000": "vllm"}, "http://localhost:11434/", "ollama"),
        ({"localhost:8000": "vllm"}, "http://localhost:8000/", "vllm"),
        ({"localhost:11434": "openai"}, "http://localhost:11434/", "openai"),
        ({"localhost": "openai"}, "http://localhost:11434/", "openai"),
        ({"gpu.internal": "ollama"}, "http://gpu.internal:8080/api/chat", "ollama"),
    ],
)
def test_ollama_on_this_machine(named: dict[str, str], url: str, provider: str | None) -> None:
    """It is known by the port it listens at, and by nothing else; what the owner says comes first."""
    found = Hosts(named).find(httpx2.URL(url))

    assert (found and found.id) == provider


@pytest.mark.parametrize(
    ("place", "name", "told"),
    [
        ("x", "opena1", "setting hosts: 'x' is mapped to 'opena1', but no provider is named 'opena1'; use one of: "),
        ("x:http", "openai", "setting hosts: 'x:http' is not host or host:port"),
        ("x:99999", "openai", "is not host or host:port"),
        ("x:0", "openai", "is not host or host:port"),
        (":9001", "openai", "is not host or host:port"),
        ("", "openai", "is not host or host:port"),
        ("http://user:key@x:1", "openai", "is not host or host:port"),
        ("http://", "openai", "is not host or host:port"),
    ],
)
def test_what_cannot_be_named(place: str, name: str, told: str) -> None:
    """A wrong provider or place is a clear error at start."""
    with pytest.raises(SettingsError) as error:
        Hosts({place: name})
    assert told in str(error.value)


def test_hosts_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of very many hosts no more are remembered than is sensible; all are still told apart."""
    known = Hosts({})
    most = len(known._known) + 3
    monkeypatch.setattr(hosts, "_MOST", most)
    for n in range(10):
        assert known.find(httpx2.URL(f"https://h{n}.example.com")) is None
        found = known.find(httpx2.URL(f"https://r{n}.openai.azure.com"))
        assert found is not None
        assert found.id == "azure"
    assert len(known._known) == most
    assert health.counters()["hosts_full"] > 0
    health.reset()
