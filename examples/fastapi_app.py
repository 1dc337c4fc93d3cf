"""A FastAPI application whose GenAI calls are attributed, priced and stored.

pip install payi-middleware fastapi uvicorn openai
OPENAI_API_KEY=... python examples/fastapi_app.py
curl -N -H 'xProxy-User-ID: jane' 'http://127.0.0.1:8000/summary?text=Hello'
payi report --by user
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import openai
import uvicorn
from fastapi import Depends, FastAPI, Header
from fastapi.responses import StreamingResponse

from payi_middleware import PayiMiddleware, current, use_case


def tenant(x_tenant: str | None = Header(None)) -> None:
    """A dependency can tell more about the request; it holds for the calls begun afterwards."""
    current().set(account_name=x_tenant)


app = FastAPI(dependencies=[Depends(tenant)])
# The user comes by xProxy-User-ID here, so say whose headers are believed. An application with a login needs neither.
app.add_middleware(PayiMiddleware, trusted_hosts=("127.0.0.1",))
client = openai.AsyncOpenAI()


@app.get("/summary")
@use_case("Document-Summary", step="summarize")
async def summary(text: str) -> StreamingResponse:
    """Streams the answer; the call is made while the response is sent, and still belongs to the request."""

    async def parts() -> AsyncIterator[str]:
        chunks = await client.chat.completions.create(
            model="gpt-4.1-mini",
            messages=[{"role": "user", "content": f"Summarize: {text}"}],
            stream=True,
            stream_options={"include_usage": True},  # so that the cost is exact; without it, it is an estimate
        )
        async for chunk in chunks:
            if chunk.choices:
                yield chunk.choices[0].delta.content or ""

    return StreamingResponse(parts(), media_type="text/plain")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ.get("PORT", "8000")))
