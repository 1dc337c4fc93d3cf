"""The demo's FastAPI application: summaries of documents, in steps, with a streamed answer and a background task.

All that concerns us: one line of middleware, a use case on the router, and the account, which a dependency tells.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from anthropic.types import MessageParam
from fastapi import APIRouter, BackgroundTasks, Body, Depends, FastAPI, Header
from fastapi.responses import StreamingResponse

from .. import Meter, PayiMiddleware, current, use_case
from ..fastapi import UseCase
from .clients import Clients

__all__ = ["make_app"]

Text = Annotated[str, Body(embed=True, max_length=100_000)]


def tenant(x_tenant: Annotated[str | None, Header()] = None) -> None:
    """Tells whose money it is; a real application would look it up with the user's session."""
    current().set(account_name=x_tenant)


def make_app(meter: Meter, clients: Clients) -> FastAPI:
    """The application."""
    router = APIRouter(prefix="/documents", dependencies=[Depends(tenant), Depends(UseCase("Document-Summary"))])

    async def index(summary: str) -> None:
        assert clients.async_openai
        with use_case("Document-Summary", step="index"):
            await clients.async_openai.embeddings.create(model="text-embedding-3-small", input=summary)

    @router.post("/summary")
    async def summary(
        text: Text, tasks: BackgroundTasks, model: Annotated[str, Body()] = "gpt-5-mini"
    ) -> dict[str, str]:
        assert clients.async_openai
        with use_case("Document-Summary", step="extract"):
            facts = await clients.async_openai.responses.create(
                model="gpt-5-mini",
                input=f"List the facts of: {text}",
                reasoning={"effort": "low"},
                max_output_tokens=400,
            )
        with use_case("Document-Summary", step="summarize"):
            answer = await clients.async_openai.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": f"Summarize: {facts.output_text}"}],
                max_completion_tokens=400,
            )
        shortened = answer.choices[0].message.content or ""
        tasks.add_task(index, shortened)
        return {"summary": shortened}

    @router.post("/summary/stream")
    @use_case("Document-Summary", step="summarize")
    async def stream(text: Text) -> StreamingResponse:
        async def parts() -> AsyncIterator[str]:
            assert clients.async_anthropic
            question: MessageParam = {"role": "user", "content": f"Summarize: {text}"}
            async with clients.async_anthropic.messages.stream(
                model="claude-haiku-4-5",
                max_tokens=200,
                messages=[question],
            ) as events:
                async for part in events.text_stream:
                    yield part

        return StreamingResponse(parts(), media_type="text/plain")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await clients.aclose()

    app = FastAPI(title="Documents", lifespan=lifespan)
    app.include_router(router)
    app.add_middleware(PayiMiddleware, meter=meter)
    return app
