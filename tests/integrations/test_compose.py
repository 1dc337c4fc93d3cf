"""The container runs what the command line has, with settings that exist, and knows when it is ready."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from children import environment
from programs import INTEGRATIONS, serving

from payi_middleware.server.start import _GRACE
from payi_middleware.settings import load

FOLDER = INTEGRATIONS / "compose"
ROOT = INTEGRATIONS.parent
DOCKERFILE = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
EXPOSED = re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)


def service() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
    (server,) = document["services"].values()
    assert {volume.partition(":")[0] for volume in server["volumes"]} == document["volumes"].keys()
    return dict(server)


def command() -> list[str]:
    """What the image runs, after its entry point."""
    (found,) = re.findall(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    arguments: list[str] = json.loads(found)
    return arguments


def healthcheck() -> str:
    """The Python of the image's own check."""
    (found,) = re.findall(r'CMD \["python", "-c", "([^"]+)"\]', DOCKERFILE)
    return str(found)


def test_settings_exist() -> None:
    """And have values that can be; the store lies on the volume, in the image as in the composition."""
    server = service()
    settings = load({}, server["environment"])
    assert {f"PAYI_{name.upper()}" for name in settings.__struct_fields__} >= server["environment"].keys()
    (store,) = re.findall(r"^ENV PAYI_STORE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert store == settings.store
    (volume,) = server["volumes"]
    assert settings.store_path == Path(volume.partition(":")[2]) / "payi.db"
    assert f"VOLUME {volume.partition(':')[2]}\n" in DOCKERFILE


def _filled(value: str) -> str:
    """With what the environment would have."""
    return re.sub(r"\$\{(\w+):\?[^}]*\}", r"\1", value)


def test_on_postgresql() -> None:
    """The store is the database that stands beside it, by the same name and password, and waits until that is ready."""
    document = yaml.safe_load((FOLDER / "postgresql.yaml").read_text(encoding="utf-8"))
    assert document["services"].keys() == {"server", "database"}
    server, beside = document["services"]["server"], document["services"]["database"]
    names = {key: _filled(value) for key, value in beside["environment"].items()}
    name = names["POSTGRES_DB"]
    store = load({}, {key: _filled(value) for key, value in server["environment"].items()}).store
    assert store == f"postgresql://{names['POSTGRES_USER']}:{names['POSTGRES_PASSWORD']}@database:5432/{name}"
    assert server["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert beside["healthcheck"]["test"][1:] == [
        "pg_isready",
        f"--username={names['POSTGRES_USER']}",
        f"--dbname={name}",
    ]
    assert {volume.partition(":")[0] for volume in beside["volumes"]} == document["volumes"].keys()
    assert "[server,postgresql]" in DOCKERFILE


def test_ports_are_those_that_it_serves() -> None:
    """And only this machine reaches them."""
    (port,) = service()["ports"]
    address, _, inside = port.rpartition(":")
    assert ([inside], address) == (EXPOSED, f"127.0.0.1:{inside}")
    assert command()[command().index("--port") + 1] == inside


def test_it_is_built_from_what_is_there() -> None:
    """The context is the project, and what is left out of it is not needed by the wheel."""
    build = service()["build"]
    assert (FOLDER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).samefile(FOLDER / "Dockerfile")
    kept = re.findall(r"^!(\S+)$", (FOLDER / "Dockerfile.dockerignore").read_text(), re.MULTILINE)
    assert {"payi_middleware", "pyproject.toml", "README.md", "LICENSE"} == set(kept)
    assert all((ROOT / name).exists() for name in kept)


def test_the_container_outlives_its_requests() -> None:
    """Docker kills it only after it would have ended by itself."""
    assert int(service()["stop_grace_period"].removesuffix("s")) > _GRACE


def test_what_it_starts_serves(tmp_path: Path) -> None:
    """After the README's first key; and the image's own check of health tells a server that is ready from none."""
    store = f"sqlite:///{tmp_path / 'payi.db'}"
    payi = [sys.executable, "-m", "payi_middleware.cli"]
    (first,) = re.findall(r"docker compose run --rm server ([^`]+)`", (FOLDER / "README.md").read_text())
    made = subprocess.run([*payi, *first.split()], env=environment(PAYI_STORE=store), check=True, capture_output=True)
    key = made.stdout.decode().splitlines()[-1]
    serve, *arguments = command()
    assert serve == "serve"
    port = arguments.index("--port") + 1
    with serving(store, *arguments[:port], "0", *arguments[port + 1 :]) as address:
        here = address.replace("0.0.0.0", "127.0.0.1")
        assert httpx2.get(f"{here}/metrics", headers={"xProxy-api-key": key}, trust_env=False).status_code == 200
        assert httpx2.get(f"{here}/metrics", trust_env=False).status_code == 401
        check = [sys.executable, "-c", healthcheck().replace("8600", here.rpartition(":")[2])]
        subprocess.run(check, check=True)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(check, check=True, capture_output=True)
