"""What a request costs besides its words."""

from __future__ import annotations

from typing import Any

import pytest

from payi_middleware.counting.framing import framing
from payi_middleware.providers.base import Texts
from payi_middleware.providers.families import family_of
from payi_middleware.providers.functions import functions


def words(text: str) -> int:
    """A tokenizer for tests: a token for every word or sign."""
    return len(text.replace(":", " : ").split())


WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "The weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {
            "place": {"type": "string", "description": "A town."},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
    },
}
# By the cookbook: 12 after all, 7 + 7 for name and description, 3 + (3 + 6) + (3 + 4 - 3 + 2 x (3 + 1)) for parameters.
BY_THE_COOKBOOK = 12 + (7 + 7) + 3 + (3 + 6) + (3 + 4 - 3 + 8)


def test_a_message_has_a_frame() -> None:
    """Each message and the reply cost a few tokens; a prompt that is no message costs none."""
    gpt = family_of("gpt-4o")

    assert framing(Texts([], [], messages=2), gpt, words) == 2 * 4 + 3
    assert framing(Texts([], []), gpt, words) == 0
    assert framing(Texts([], [], ids=5), gpt, words) == 5
    assert framing(Texts([], [], called=2), gpt, words) == 2 * 8


def test_thoughts_handed_back() -> None:
    """Gemini 3 bills earlier thoughts of a turn, which come back sealed; others do not look at them."""
    texts = Texts([], [], signed=500)

    assert framing(texts, family_of("gemini-3-flash"), words) == 100
    assert framing(texts, family_of("gemini-2.5-flash"), words) == 0


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": WEATHER},
        {"type": "function", **WEATHER},
        WEATHER,
        {"functionDeclarations": [WEATHER]},
        {"function_declarations": [WEATHER, "no function"]},
        {"name": "get_weather", "input_schema": {}},
    ],
)
def test_functions_of_every_shape(tool: dict[str, Any]) -> None:
    """Chat's, responses', the old `functions`, Gemini's, Anthropic's."""
    assert [function["name"] for function in functions([tool, "no tool", {"type": "web_search"}])] == ["get_weather"]


def test_openai_s_functions_by_the_cookbook() -> None:
    """Name, description and parameters, and so many tokens around each."""
    texts = Texts([], [], tools=({"type": "function", "function": WEATHER},))

    assert framing(texts, family_of("gpt-4o"), words) == BY_THE_COOKBOOK
    assert framing(texts, family_of("gpt-4"), words) == BY_THE_COOKBOOK + 3
    assert framing(texts._replace(is_chat=True), family_of("gpt-5-mini"), words) == BY_THE_COOKBOOK + 4 + 80


def test_a_function_without_parameters() -> None:
    """The rule does not speak of it; recorded calls show three tokens less."""
    texts = Texts([], [], tools=({"type": "function", "name": "now", "parameters": {"properties": {}}},))

    assert framing(texts, family_of("gpt-4o"), words) == 12 + 7 + 2 - 3


def test_objects_within_parameters() -> None:
    """Properties of objects and of lists of objects count like others, to a depth."""
    inner = {"type": "object", "properties": {"a": {"type": "string"}}}
    nested = {"properties": {"one": inner, "many": {"type": "array", "items": inner}, "odd": "no schema"}}
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"type": "object", "properties": {"a": deep}}

    def of(parameters: Any) -> int:
        return framing(Texts([], [], tools=({"name": "f", "parameters": parameters},)), family_of("gpt-4o"), words)

    assert of(nested) - of({}) == 3 + 3 + 2 * (3 + 4) + 2 * (3 + 3 + 4)
    assert of(deep) < 500


def test_other_makers_tools_are_json() -> None:
    """A share of their JSON, and what the maker says to the model about tools."""
    claude, tool = family_of("claude-sonnet-4"), {"name": "f", "input_schema": {"type": "object"}}
    texts = Texts([], [], tools=(tool,))

    def letters(text: str) -> int:
        return len(text)

    assert framing(texts, claude, letters) == 320 + 40 + len('{"name":"f","input_schema":{"type":"object"}}') // 2


def test_hosted_tools_are_their_own_few_words() -> None:
    """What such a tool brings into the prompt stays unknown; its definition is counted."""
    texts = Texts([], [], tools=({"type": "web_search"},))

    assert framing(texts, family_of("gpt-4o"), len) == len('{"type":"web_search"}')


def test_the_schema_of_an_answer() -> None:
    """OpenAI writes it into the prompt, shorter than its JSON; Claude gets instructions with it."""
    texts = Texts([], [], schema={"type": "object"})

    assert framing(texts, family_of("gpt-4o"), len) == len('{"type":"object"}') * 55 // 100
    assert framing(texts, family_of("claude-sonnet-4-5"), len) == 170 + len('{"type":"object"}') * 55 // 100
