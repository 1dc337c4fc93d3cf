"""The demo's course: start the providers and the applications, let the users come, tell who spent what."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2

from .. import Meter, uninstrument
from ..store_url import shown_store
from . import chat, documents
from .clients import Clients, live_clients, standin_clients
from .serving import Serving
from .standin import StandIn
from .visits import ACCOUNTS, VISITS, Visit

__all__ = ["run"]

_PATIENCE = 120.0  # seconds for one request; only a real provider takes any


def run(*, serve: bool, live: bool, began: float, environ: Mapping[str, str] = os.environ) -> int:
    """The demo; the exit code. `began` is when, in monotonic seconds."""
    if live and not (environ.get("OPENAI_API_KEY") or environ.get("ANTHROPIC_API_KEY")):
        print("--live asks the real providers: set OPENAI_API_KEY or ANTHROPIC_API_KEY, or both", file=sys.stderr)
        return 1
    with ExitStack() as stack:
        settings = stack.enter_context(_place(environ, keep=serve))
        hosts, clients = _providers(stack, live=live, environ=environ)
        settings |= hosts
        # What is shown goes to no server, and is shown whatever the environment says.
        shown: dict[str, Any] = {"application": "demo", "api_key": "", "disabled": False}
        meter = stack.enter_context(Meter(trusted_hosts=("127.0.0.1",), **shown, **settings))
        stack.callback(uninstrument)
        stack.callback(clients.close)
        applications = stack.enter_context(ExitStack())
        urls = _applications(applications, meter, clients)
        failed = _visit(urls, [visit for visit in VISITS if _possible(visit, clients, live=live)], live=live)
        if not serve:
            applications.close()  # which waits for background tasks, so that the tables have their calls too
        if not meter.flush(10):
            print("the events could not be stored within 10 seconds", file=sys.stderr)
            return 1
        _tell(meter.settings.store)
        print(f"\nDone in {time.monotonic() - began:.1f} seconds.")
        if serve:
            _serve(urls, meter.settings.store)
    return 1 if failed else 0


@contextmanager
def _place(environ: Mapping[str, str], *, keep: bool) -> Iterator[dict[str, Any]]:
    """The settings that say where events are kept: as the environment tells, else in a folder for this run."""
    if environ.get("PAYI_STORE"):
        yield {}
        return
    folder = Path(tempfile.mkdtemp(prefix="payi-demo-"))
    hint = "" if keep else ", for this run; to keep them: PAYI_STORE=sqlite:///demo.db payi demo"
    print(f"Events are kept in {folder / 'payi.db'}{hint}")
    try:
        yield {"store": f"sqlite:///{folder / 'payi.db'}", "spool_dir": str(folder / "payi.db.spool")}
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _providers(stack: ExitStack, *, live: bool, environ: Mapping[str, str]) -> tuple[dict[str, Any], Clients]:
    """The setting `hosts`, where the environment is not to tell, and the SDKs."""
    if live:
        clients = live_clients(environ)
        names = ", ".join(name for name in ("openai", "anthropic") if clients.has(name))
        print(f"Providers: {names}, live: this costs a few cents")
        return {}, clients
    for_openai, for_anthropic = stack.enter_context(StandIn()), stack.enter_context(StandIn())
    print(f"Provider stand-ins: OpenAI at {for_openai.host}, Anthropic at {for_anthropic.host}")
    hosts = {for_openai.host: "openai", for_anthropic.host: "anthropic"}
    return {"hosts": hosts}, standin_clients(for_openai, for_anthropic)


def _applications(stack: ExitStack, meter: Meter, clients: Clients) -> dict[str, str]:
    """The applications' addresses by the first word of their paths."""
    for_documents = stack.enter_context(Serving(documents.make_app(meter, clients)))
    for_chat = stack.enter_context(Serving(chat.make_app(meter, clients), interface="wsgi"))
    print(f"Applications: documents (FastAPI) at {for_documents.url}, chat (Flask) at {for_chat.url}")
    return {"documents": for_documents.url, "chat": for_chat.url}


def _possible(visit: Visit, clients: Clients, *, live: bool) -> bool:
    return clients.has(visit.needs) and not (live and visit.standin_only)


def _visit(urls: Mapping[str, str], visits: list[Visit], *, live: bool) -> int:
    """All users at once, each one request after the other; how many requests failed."""

    def come(user: str) -> int:
        failed = 0
        for visit in visits:
            if visit.user == user:
                failed += not _ask(client, urls, visit, live=live)
        return failed

    with httpx2.Client(trust_env=False, timeout=_PATIENCE) as client, ThreadPoolExecutor(len(ACCOUNTS)) as pool:
        return sum(pool.map(come, ACCOUNTS))


def _ask(client: httpx2.Client, urls: Mapping[str, str], visit: Visit, *, live: bool) -> bool:
    """One request, as a browser behind a login would make it; whether it was answered."""
    headers = {
        "xProxy-User-ID": visit.user,  # what the documents application goes by: a header of a trusted host
        "X-User": visit.user,  # what the chat application goes by: its own identify
        "X-Tenant": ACCOUNTS[visit.user],
        "xProxy-Request-Tags": visit.tags,
    }
    url = urls[visit.path.split("/")[1]] + visit.path
    try:
        answer = str(client.post(url, json=visit.json(live=live), headers=headers).status_code)
    except httpx2.HTTPError as error:  # a provider's refusal breaks a response off that is being streamed already
        answer = str(error)
    print(f"  {visit.user:<5} POST {visit.path:<25} {answer}\n", end="", flush=True)  # at once: others print, too
    return answer == "200"


def _tell(store: str) -> None:
    """Who spent what on what, as `payi report` shows it."""
    from ..cli.report_table import print_report
    from ..cli.source import opened

    with opened(store) as source:
        for by in ("user", "use-case", "model"):
            print(f"\npayi report --by {by}", flush=True)
            print_report(source.report((by,)), failures=False)
        print("\npayi report --failures", flush=True)
        print_report(source.failures(), failures=True)


def _serve(urls: Mapping[str, str], store: str) -> None:
    """Stay until Ctrl-C."""
    print("\nThe applications stay up; Ctrl-C ends them. Ask them something, then look again:\n")
    print(f"  {_curl(urls)}\n  payi report --store {shown_store(store)}", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print()


def _curl(urls: Mapping[str, str]) -> str:
    question = """-H 'content-type: application/json' -d '{"text": "Where is my parcel?"}'"""
    return f"curl -H 'X-User: jane' -H 'X-Tenant: acme' {question} {urls['chat']}/chat/order"
