"""Each folder says what it is, how it is used, and names all that is in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from programs import INTEGRATIONS

FOLDERS = sorted(path for path in INTEGRATIONS.iterdir() if path.is_dir())


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_folder_tells_of_itself(folder: Path) -> None:
    """In its README, and in a row of the index; what its files need of one another is named too."""
    told = (folder / "README.md").read_text(encoding="utf-8")
    assert "To use it" in told
    assert f"| [{folder.name}]({folder.name}/README.md) |" in (INTEGRATIONS / "README.md").read_text(encoding="utf-8")
    for path in folder.iterdir():
        assert path.name in told or path.name in _IMPLIED, path.name


_IMPLIED = {"README.md", "compose.yaml", "Dockerfile.dockerignore"}  # the page itself, and what Docker finds by itself


@pytest.mark.parametrize("page", sorted(INTEGRATIONS.rglob("*.md")), ids=lambda page: page.parent.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Within the project."""
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / link).exists(), link
