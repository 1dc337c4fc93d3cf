"""Users under pseudonyms: in spool and store, while the application sees who they are."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import pytest
from keeping import files_with
from mocked import URL, client, instrumented, stored

from payi_middleware import Meter, SettingsError, current, track
from payi_middleware.instrumentation import uninstrument
from payi_middleware.pseudonyms import Pseudonyms, pseudonym

KEY = "a key of some length"
JANE = "jane@example.com"
NAME = "u_" + hmac.new(KEY.encode(), JANE.encode(), hashlib.sha256).hexdigest()[:32]
BODY = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Are you there?"}]}


def test_a_pseudonym_is_a_keyed_hash() -> None:
    """It is HMAC-SHA256, cut to 128 bits; others for another key or user; a text that is no text has one too."""
    assert pseudonym(JANE, KEY) == NAME
    assert (
        len({pseudonym(user, key) for user in (JANE, "paul", "", "\ud800") for key in (KEY, "another key, as long")})
        == 8
    )


def test_neither_spool_nor_store_has_the_id(tmp_path: Path) -> None:
    """Calls told by a block, by the SDK's own header and through a carrier are recorded under one name; `current()` has the id."""
    meter = instrumented(tmp_path, pseudonymize=KEY, flush_interval=60)
    try:
        with client() as asking:
            with track(user_id=JANE):
                asking.post(URL, json=BODY)
                asking.post(URL, json=BODY)
                assert current().attribution.user_id == JANE
                carrier = current().carrier()
            asking.post(URL, json=BODY, headers={"xProxy-User-ID": JANE})
            with track.from_carrier(carrier):
                assert current().attribution.user_id == JANE
                asking.post(URL, json=BODY)
            asking.post(URL, json=BODY)
        meter.record("Crawler", "pages", {"page": 3}, user_id=JANE)
        assert files_with(tmp_path, JANE) == []
        assert [name for name in files_with(tmp_path, NAME) if name.endswith(".spool")] != []
    finally:
        uninstrument()
        meter.close()

    assert sorted(event.user_id or "" for event in stored(tmp_path)) == ["", NAME, NAME, NAME, NAME, NAME]
    assert files_with(tmp_path, JANE) == []


def test_names_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Endless users do not fill the memory, and each keeps its name."""
    from payi_middleware import pseudonyms

    monkeypatch.setattr(pseudonyms, "_MOST", 3)
    names = Pseudonyms(KEY)
    assert [names._name(f"user-{n % 5}") for n in range(20)] == [pseudonym(f"user-{n % 5}", KEY) for n in range(20)]
    assert len(names._known) <= 3


def test_a_key_that_is_too_short_is_refused_without_being_told() -> None:
    """Short keys can be tried out; an empty one is none, whatever the environment says."""
    with pytest.raises(SettingsError, match="at least 16 characters") as raised:
        Meter(pseudonymize="short")
    assert "'short'" not in str(raised.value)
    assert Meter(pseudonymize="").pseudonyms is None


def test_the_key_is_in_no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither settings as text nor a complaint about them tells the key."""
    monkeypatch.setenv("PAYI_PSEUDONYMIZE", KEY)
    meter = Meter()
    assert meter.pseudonyms is not None
    assert KEY not in repr(meter.settings)
    assert "pseudonymize=<secret>" in repr(meter.settings)
    with pytest.raises(SettingsError) as raised:
        Meter(pseudonymize=["a key of some length"])  # type: ignore[arg-type]
    assert KEY not in str(raised.value)
