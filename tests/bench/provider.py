"""A provider on loopback that answers at once, so that what is measured is the client's side: python provider.py PORT."""

from __future__ import annotations

import asyncio
import json
import sys

CHUNKS = 500
PAUSE = 0.005  # seconds behind the first chunk, so that the time to it is not that of the burst

USAGE = {
    "prompt_tokens": 412,
    "completion_tokens": 163,
    "total_tokens": 575,
    "prompt_tokens_details": {"cached_tokens": 128, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
}
HEAD = {"id": "chatcmpl-1", "created": 1764000000, "model": "gpt-4o-mini-2024-07-18", "service_tier": "default"}
COMPLETION = json.dumps(
    HEAD
    | {"object": "chat.completion", "usage": USAGE}
    | {
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": "A fox jumps over it. " * 60},
            }
        ]
    }
).encode()


def event(**members: object) -> bytes:
    body = HEAD | {"object": "chat.completion.chunk", "usage": None} | members
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


EVENTS = [
    *(
        event(choices=[{"index": 0, "delta": {"content": f"tok{i} "}, "finish_reason": None}])
        for i in range(CHUNKS - 2)
    ),
    event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}]),
    event(choices=[], usage=USAGE),
    b"data: [DONE]\n\n",
]


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (
    len(COMPLETION),
    COMPLETION,
)
FIRST = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(EVENTS[0])
REST = [chunk(data) for data in EVENTS[1:]]


class Provider(asyncio.Protocol):
    """Answers each request on a connection as soon as its body is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.out, self.buffer = transport, b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + size:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + size], self.buffer[end + 4 + size :]
            if b'"stream":true' in body.replace(b" ", b""):
                self.out.write(FIRST)
                asyncio.get_running_loop().call_later(PAUSE, self.rest)
            else:
                self.out.write(WHOLE)

    def rest(self) -> None:
        for data in REST:
            self.out.write(data)
        self.out.write(b"0\r\n\r\n")


async def main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
