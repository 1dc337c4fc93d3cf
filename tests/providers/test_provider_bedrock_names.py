"""AWS Bedrock: hosts, paths, the names of models, and where a call is processed."""

from __future__ import annotations

import time

import pytest
from genai_prices.data import providers as listed

from payi_middleware.pricing import Prices
from payi_middleware.providers import find
from payi_middleware.providers.bedrock.names import full_name, is_named, model_of, region_of, terms_of, why_unnamed
from payi_middleware.providers.bedrock.served import ask_model_id
from payi_middleware.providers.other import OTHER

HOST = "bedrock-runtime.us-east-1.amazonaws.com"
CLAUDE = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


@pytest.fixture(scope="module")
def prices() -> Prices:
    made = Prices()
    made.load()
    return made


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("bedrock-runtime.us-east-1.amazonaws.com", "us-east-1"),
        ("bedrock-runtime-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("bedrock-runtime.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("bedrock-runtime.eu-central-1.api.aws", "eu-central-1"),
        ("bedrock-mantle.ap-southeast-2.api.aws", "ap-southeast-2"),
        ("bedrock-agent-runtime.ap-south-1.amazonaws.com", "ap-south-1"),
        ("vpce-0a1b-2c3d.bedrock-runtime.us-west-2.vpce.amazonaws.com", "us-west-2"),
        ("vpce-0a1b-2c3d-us-east-1a.bedrock-runtime.us-east-1.vpce.amazonaws.com", "us-east-1"),
    ],
)
def test_hosts(host: str, region: str) -> None:
    """Public, FIPS, dual-stack and VPC endpoints, each with its region."""
    provider = find(host)

    assert provider is not None
    assert (provider.id, provider.category) == ("aws", "system.aws.bedrock")
    assert region_of(host) == region


@pytest.mark.parametrize(
    "host",
    [
        "bedrock.us-east-1.amazonaws.com",  # the control plane
        "bedrock-agent.us-east-1.amazonaws.com",
        "runtime.sagemaker.us-east-1.amazonaws.com",
        "bedrock-runtime.us-east-1.amazonaws.com.evil.example",
        "s3.us-east-1.amazonaws.com",
        "evil-bedrock-runtime.us-east-1.amazonaws.com",
    ],
)
def test_other_hosts(host: str) -> None:
    """Management and other services of AWS are none of our business."""
    assert find(host) is None


@pytest.mark.parametrize(
    ("path", "template", "model"),
    [
        ("/model/us.amazon.nova-lite-v1%3A0/converse", "/model/{modelId}/converse", "us.amazon.nova-lite-v1:0"),
        (
            "/model/us.amazon.nova-lite-v1:0/converse-stream",
            "/model/{modelId}/converse-stream",
            "us.amazon.nova-lite-v1:0",
        ),
        (
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Afoundation-model%2Fcohere.embed-v4%3A0/invoke",
            "/model/{modelId}/invoke",
            "cohere.embed-v4:0",
        ),
        (
            "/model/arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-pro-v1:0/invoke-with-response-stream",
            "/model/{modelId}/invoke-with-response-stream",
            "us.amazon.nova-pro-v1:0",
        ),
        (
            "/model/arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fab12/converse/",
            "/model/{modelId}/converse",
            "application-inference-profile/ab12",
        ),
        ("/gateway/model/x.y/converse", "/model/{modelId}/converse", "x.y"),
        ("/model/amazon.nova-sonic-v1:0/invoke-with-bidirectional-stream", "", "amazon.nova-sonic-v1:0"),
        ("/model/a.b/something-new", "(other)", "a.b"),
        (
            "/guardrail/arn%3Aaws/version/DRAFT/apply",
            "/guardrail/{guardrailIdentifier}/version/{guardrailVersion}/apply",
            None,
        ),
        ("/guardrail-checks/invoke", "/guardrail-checks/invoke", None),
        ("/async-invoke", "/async-invoke", None),
        ("/rerank", "/rerank", None),
        (
            "/agents/A/agentAliases/B/sessions/C/text",
            "/agents/{agentId}/agentAliases/{agentAliasId}/sessions/{sessionId}/text",
            None,
        ),
        ("/agents/session-1", "/agents/{sessionId}", None),
        ("/flows/F/aliases/A", "/flows/{flowIdentifier}/aliases/{flowAliasIdentifier}", None),
        ("/retrieveAndGenerate", "/retrieveAndGenerate", None),
        ("/retrieveAndGenerateStream", "/retrieveAndGenerateStream", None),
        ("/knowledgebases/K/retrieve", "/knowledgebases/{knowledgeBaseId}/retrieve", None),
        ("/openai/v1/chat/completions", "/v1/chat/completions", None),
        ("/openai/v1/responses", "/v1/responses", None),
        ("/v1/chat/completions", "/v1/chat/completions", None),
        ("/anthropic/v1/messages", "/v1/messages", None),
    ],
)
def test_routes(path: str, template: str, model: str | None) -> None:
    """Each kind of call, with the model that its path names."""
    provider = find(HOST)
    assert provider is not None
    route = provider.route("POST", path)

    assert route is not None
    assert route.model == model
    assert route.endpoint.template == (template or "/model/{modelId}/invoke-with-bidirectional-stream")
    assert (route.endpoint is OTHER) == (template == "(other)")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/model/amazon.nova-lite-v1:0/count-tokens"),
        ("GET", "/model/amazon.nova-lite-v1:0/converse"),
        ("GET", "/async-invoke/arn%3Aaws"),
        ("GET", "/async-invoke"),
        ("PUT", "/sessions/"),
        ("POST", "/sessions/s/invocations/"),
        ("DELETE", "/agents/A/agentAliases/B/memories"),
        ("GET", "/v1/models"),
        ("POST", "/v1/files"),
        ("POST", "/"),
    ],
)
def test_what_costs_nothing(method: str, path: str) -> None:
    """Counting tokens, lists, polls and sessions are no calls of a model."""
    provider = find(HOST)
    assert provider is not None
    assert provider.route(method, path) is None


@pytest.mark.parametrize("kind", ["provisioned-model", "imported-model", "custom-model-deployment", "prompt-router"])
def test_arns_that_name_no_model(kind: str) -> None:
    """Kind and id are left of them, and no account."""
    name = model_of(f"arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3A{kind}%2Fab12")

    assert name == f"{kind}/ab12"
    assert not is_named(name)


def test_what_is_not_billed_by_token() -> None:
    """Capacity and imported models have no rate by token that anybody could name."""
    assert "bought beforehand" in why_unnamed("provisioned-model/ab12")
    assert "copies" in why_unnamed("imported-model/ab12")
    assert "price_as" in why_unnamed("custom-model-deployment/ab12")


def test_an_endpoint_of_sagemaker_names_no_model() -> None:
    """The ARN of a marketplace model is an endpoint's."""
    assert model_of("arn:aws:sagemaker:us-east-1:123456789012:endpoint/mine") == "endpoint/mine"


def test_a_name_is_bounded() -> None:
    """A path can be as long as anybody likes."""
    assert len(model_of("a." + "b" * 5000)) == 256


@pytest.mark.parametrize(
    ("asked", "answered", "named"),
    [
        ("global.openai.gpt-5.6-luna", "gpt-5.6-luna", "global.openai.gpt-5.6-luna"),
        ("openai.gpt-oss-120b", "openai.gpt-oss-120b", "openai.gpt-oss-120b"),
        ("us.anthropic.claude-haiku-4-5", "claude-haiku-4-5-20251001", "us.anthropic.claude-haiku-4-5-20251001"),
        ("us.openai.gpt-6-sol", "openai.gpt-6-sol", "us.openai.gpt-6-sol"),
        ("openai.gpt-6-sol", "openai.gpt-6-luna", "openai.gpt-6-luna"),
        ("gpt-6-sol", "openai.gpt-6-sol", "openai.gpt-6-sol"),
        ("a/b.c", "x", "x"),
        (None, "x", "x"),
        ("openai.x", None, "openai.x"),
        (None, None, None),
    ],
)
def test_full_names(asked: str | None, answered: str | None, named: str | None) -> None:
    """An answer's model by the profile and the maker with which it was called; another model is another one."""
    assert full_name(asked, answered) == named


@pytest.mark.parametrize(
    ("model", "region", "terms"),
    [
        ("amazon.nova-lite-v1:0", "us-east-1", ()),
        ("amazon.nova-lite-v1:0", "us-west-2", ()),
        ("amazon.nova-lite-v1:0", "eu-west-1", ("region:eu-west-1",)),
        ("us.amazon.nova-lite-v1:0", "us-east-1", ()),
        ("eu.amazon.nova-lite-v1:0", "eu-central-1", ("region:eu",)),
        ("apac.amazon.nova-lite-v1:0", "ap-south-1", ("region:apac",)),
        ("global.amazon.nova-2-lite-v1:0", "eu-central-1", ()),
        (CLAUDE, "us-east-1", ()),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "eu-central-1", ()),
        ("anthropic.claude-3-haiku-20240307-v1:0", "ap-northeast-1", ()),
        ("openai.gpt-5.6-sol", "eu-central-1", ()),
        ("openai.gpt-oss-20b-1:0", "eu-central-1", ("region:eu-central-1",)),
        ("anthropic.claude-sonnet-5", "us-gov-west-1", ("region:us-gov",)),
        ("us-gov.anthropic.claude-sonnet-5", "us-gov-east-1", ("region:us-gov",)),
    ],
)
def test_terms(model: str, region: str, terms: tuple[str, ...]) -> None:
    """Where a call is processed is a term only where the price depends on it and the name does not tell."""
    assert terms_of(model, f"bedrock-runtime.{region}.amazonaws.com") == terms


def test_terms_of_an_unknown_region() -> None:
    """A gateway's host tells no region."""
    assert terms_of("amazon.nova-lite-v1:0", "127.0.0.1") == ()


def _callable(id: str) -> str:
    """A listed id as it is called: the list writes `regional.` for all of an area's profiles."""
    return id.replace("regional.", "us.", 1)


@pytest.mark.parametrize("id", [model.id for provider in listed if provider.id == "aws" for model in provider.models])
def test_every_listed_model_is_found_by_its_own_name(id: str, prices: Prices) -> None:
    """Called by the listed name, and as an ARN, it is the listed model; none falls to another with its beginning."""
    for name in (_callable(id), model_of(f"arn:aws:bedrock:us-east-1::inference-profile/{_callable(id)}")):
        plan = prices.plan("aws", name, time.time_ns())

        assert plan is not None
        assert plan.model == id


@pytest.mark.parametrize("area", ["", "us.", "eu.", "apac.", "jp.", "au.", "in.", "ca.", "us-gov."])
@pytest.mark.parametrize("model", ["anthropic.claude-opus-5-5", "openai.gpt-6-sol", "anthropic.claude-haiku-5-5"])
def test_profiles_of_an_area_have_the_regional_rate(area: str, model: str, prices: Prices) -> None:
    """Whichever areas a list names, the rate is the regional one; only the global profile is cheaper."""
    regional = prices.plan("aws", f"{area}{model}", time.time_ns())
    everywhere = prices.plan("aws", f"global.{model}", time.time_ns())

    assert regional is not None
    assert regional.model == f"regional.{model}"
    assert everywhere is not None
    assert everywhere.model == f"global.{model}"
    one, other = (plan.price({"text": (1000, 0)}).cost for plan in (regional, everywhere))
    assert one is not None
    assert other is not None
    assert one.total_ticks * 10 == other.total_ticks * 11


def test_an_area_with_rates_of_its_own(prices: Prices) -> None:
    """Nova costs more in Europe, and more again in GovCloud; elsewhere the rate used is said to be the standard one."""

    def cost(*terms: str) -> tuple[int, int]:
        plan = prices.plan("aws", "amazon.nova-lite-v1:0", time.time_ns(), None, terms)
        assert plan is not None
        told = plan.price({"text": (1000, 0)})
        assert told.cost is not None
        return told.cost.total_ticks, len(told.unpriced)

    assert cost() == (600_000, 0)
    assert cost("region:eu") == (780_000, 0)
    assert cost("region:us-gov") == (720_000, 0)
    assert cost("region:eu-west-9") == (600_000, 1)


def test_the_model_of_an_asynchronous_call() -> None:
    """It stands in the request."""
    assert ask_model_id(b'{"modelId": "amazon.nova-reel-v1:1"}').model == "amazon.nova-reel-v1:1"
    assert ask_model_id(b"[]").model is None
    assert ask_model_id(b'{"modelId": 7}').model is None
