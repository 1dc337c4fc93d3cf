"""The faces of Flask and WSGI as type checkers see them; run nowhere."""

from __future__ import annotations

from typing import assert_type

from flask import Flask, Request

from payi_middleware import Meter
from payi_middleware.flask import Payi
from payi_middleware.types import Environ
from payi_middleware.wsgi import PayiWSGIMiddleware

meter = Meter()


def who(connection: Request) -> str | None:
    return connection.headers.get("X-User")


app = Flask(__name__)
Payi(app)
Payi(app, meter, identify=who, cost_headers=True)
assert_type(Payi(store="sqlite:///payi.db", application="shop", flush="request"), Payi)
assert_type(Payi(identify=who).init_app(app), None)
Payi(app, aplication="shop")  # type: ignore[call-arg]
Payi().init_app(app.wsgi_app)  # type: ignore[arg-type]


def who_wsgi(environ: Environ) -> dict[str, str]:
    return {"user_id": environ["REMOTE_USER"]}


app.wsgi_app = PayiWSGIMiddleware(app.wsgi_app, meter, identify=who_wsgi)  # type: ignore[method-assign]  # Flask's own manner
PayiWSGIMiddleware(app)
PayiWSGIMiddleware(None)  # type: ignore[arg-type]
