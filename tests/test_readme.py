"""The README and the documentation stay true: their code runs, their settings exist, their links lead somewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import payi_middleware
from payi_middleware.cli import app as command_line
from payi_middleware.cli.cures import CURES
from payi_middleware.cli.problems import NO_FAULT
from payi_middleware.demo.standin import StandIn
from payi_middleware.meter import default_meter, forget_default
from payi_middleware.settings import Settings

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.fixture
def provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """An application's surroundings: an empty folder, a provider, a key."""
    with StandIn() as standin:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("OPENAI_BASE_URL", f"{standin.url}/v1")
        monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
        monkeypatch.setenv("PAYI_HOSTS", f"{standin.host}=openai")
        yield standin
        forget_default()


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec", dont_inherit=True), names)
    return names


def reported(by: str) -> list[Any]:
    default_meter().flush()
    result = CliRunner().invoke(command_line, ["report", "--by", by, "--json"])
    assert result.exit_code == 0, result.output
    return [(row["key"], row["calls"]) for row in json.loads(result.stdout)["rows"]]


def test_the_fastapi_example_runs_and_shows_in_the_report(provider: StandIn) -> None:
    """The FastAPI block, as it stands, charges a call to the user and the use case it names."""
    from starlette.testclient import TestClient

    names = next(run(block) for block in blocks(PAGES[0], "python") if "FastAPI" in block)
    with TestClient(names["app"]) as client:
        answer = client.post("/summaries", params={"text": "A fox."}, headers={"x-user": "jane"})
        assert client.portal is not None
        client.portal.call(names["client"].close)

    assert answer.status_code == 200
    assert reported("user") == [("jane", 1)]
    assert reported("use-case") == [("Document-Summary", 1)]


def test_the_flask_example_runs_and_shows_in_the_report(provider: StandIn) -> None:
    """The Flask block, as it stands, does the same."""
    names = next(run(block) for block in blocks(PAGES[0], "python") if "Flask" in block)
    answer = names["app"].test_client().post("/summaries?text=A+fox.", headers={"x-user": "john"})
    names["client"].close()

    assert answer.status_code == 200
    assert reported("user") == [("john", 1)]
    assert reported("use-case") == [("Document-Summary", 1)]


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_the_code_of_the_documentation_runs(page: Path, provider: StandIn) -> None:
    """Every Python block of the documentation can be executed as it stands."""
    for block in blocks(page, "python"):
        run(block)


def test_every_setting_is_documented() -> None:
    """docs/settings.md has a row for each setting, with its environment variable, and no other."""
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `(PAYI_\w+)", page, re.MULTILINE)

    assert dict(rows) == {name: f"PAYI_{name.upper()}" for name in Settings.__struct_fields__}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    """Each relative link of a page names a file of the repository."""
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))

    assert [link for link in links if not (page.parent / link).exists()] == []


def test_messages_lead_to_pages() -> None:
    """A page that a message names is there, and where it is to tell how a store is restored, it does."""
    named = [
        (page, line)
        for file in Path(payi_middleware.__file__).parent.rglob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        for page in re.findall(r"docs/[\w-]+\.md", line)
    ]

    assert len(named) > 5
    for page, line in named:
        assert "restore" not in line or "To restore, end" in (ROOT / page).read_text(encoding="utf-8"), page
        assert (ROOT / page).exists(), page


def test_the_readme_is_short() -> None:
    """The README stays under 120 lines; what is longer belongs to docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120


def counted(under: Path) -> set[str]:
    """The kinds of fault that code counts."""
    kinds = set()
    for file in under.rglob("*.py"):
        kinds |= set(re.findall(r"(?:health|faults)\.(?:note|count)\(\s*\"(\w+)\"", file.read_text(encoding="utf-8")))
    return kinds


def test_every_fault_that_a_process_reports_has_a_cure() -> None:
    """`payi doctor` names one for each kind: all but those of the server's and of a command's own log, and those that are no faults."""
    package = Path(payi_middleware.__file__).parent
    elsewhere = counted(package / "server") | counted(package / "recorded")

    assert counted(package) - elsewhere - NO_FAULT <= set(CURES) <= counted(package)


def test_every_fault_that_is_counted_is_documented() -> None:
    """docs/doctor.md tells what each kind of fault means, and no kind that is never counted."""
    rows = re.findall(r"^\| (`.*?`) \|", (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert set(re.findall(r"\w+", " ".join(rows))) == counted(Path(payi_middleware.__file__).parent)
