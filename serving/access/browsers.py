"""Browsers: pages of other origins are refused, and every answer has security headers.

A browser sends along what its user may do: it reaches addresses of the user's machine and network
for any page. It names the page in `Origin` and `Sec-Fetch-Site`, which no page can change (W3C
Fetch Metadata). Origins of `NBA_ORIGINS` may call, and CORS tells their browsers so.
"""

from __future__ import annotations

from collections.abc import Collection
from http import HTTPStatus
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response

from features.errors import NbaError, quoted
from serving.access.addresses import canonical
from serving.access.asgi import App, Connection, Message, Receive, Send, header, send_json
from serving.access.scopes import OPEN_FOLDERS

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
PREFLIGHT_AGE_S = 600
_SAFE = ("GET", "HEAD")
_EVERYWHERE = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_NO_STORE, _REVALIDATE = (b"cache-control", b"no-store"), (b"cache-control", b"no-cache")
_OWN = (b"cross-origin-resource-policy", b"same-origin")
_SHARED = (b"cross-origin-resource-policy", b"cross-origin")
_ANSWER, _PAGE = (*_EVERYWHERE, _NO_STORE, _OWN), (*_EVERYWHERE, _REVALIDATE, _OWN)
_SHARED_ANSWER = (*_EVERYWHERE, _NO_STORE, _SHARED)
# Replaced, and left out: `server` names BentoML.
_REPLACED = {name for name, _ in _ANSWER} | {b"server"}


class BrowserMiddleware:
    """ASGI middleware; the outermost of ours.

    Parameters
    ----------
    origins
        Origins of pages that may call, such as ``https://shop.example``.
    """

    def __init__(self, app: App, origins: Collection[str] = ()) -> None:
        self._app = app
        self._origins = frozenset(map(canonical, origins))
        self._shared = _Shared(
            app,
            allow_origins=self._origins,
            allow_methods=("GET", "HEAD", "POST"),
            allow_headers=("authorization", "content-type"),
            allow_private_network=True,
            expose_headers=("retry-after", "www-authenticate"),
            max_age=PREFLIGHT_AGE_S,
        )

    async def __call__(self, connection: Connection, receive: Receive, send: Send) -> None:
        if connection["type"] != "http":
            await self._app(connection, receive, send)
            return
        origin, site, method, host = _told(connection)
        path = connection["path"]
        page = path == "/" or path.startswith(OPEN_FOLDERS)
        app, more = self._app, _PAGE if page else _ANSWER
        if (origin or site) and (caller := _foreign(connection, origin, site, method, host)):
            if caller not in self._origins:
                app = _refusal(caller)
            else:
                app, more = self._shared, _SHARED_ANSWER

        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = (one for one in message["headers"] if one[0] not in _REPLACED)
                message = {**message, "headers": [*kept, *more]}
            await send(message)

        await app(connection, receive, secured)


class _Shared(CORSMiddleware):
    """Starlette's CORS, whose preflights are answered with 204, or 403 and a sentence."""

    def preflight_response(self, request_headers: Headers) -> Response:
        found = super().preflight_response(request_headers)
        left_out = ("content-length", "content-type")
        kept = {name: value for name, value in found.headers.items() if name not in left_out}
        if found.status_code == HTTPStatus.OK:
            return Response(status_code=HTTPStatus.NO_CONTENT, headers=kept)
        error = NbaError(
            "The page asks to send a method or a header that is not answered.",
            expected=", ".join(self.allow_methods) + " with authorization and content-type",
            remedy="Leave the others out.",
        )
        return JSONResponse({"error": str(error)}, HTTPStatus.FORBIDDEN, kept)


def _told(connection: Connection) -> tuple[str, str, str, str]:
    """Read what a browser tells: `Origin`, `Sec-Fetch-Site`, and the method and host it asks."""
    origin = site = host = ""
    for name, value in connection["headers"]:
        if name == b"origin":
            origin = value.decode("latin-1")
        elif name == b"sec-fetch-site":
            site = value.decode("latin-1").lower()
        elif name == b"host":
            host = value.decode("latin-1").lower()
    return origin, site, connection["method"], host


def _foreign(connection: Connection, origin: str, site: str, method: str, host: str) -> str:
    """Name the page of another origin that made the request; empty if it is one of our own.

    Without `Origin`, as when a link is followed, the page is read from `Referer`.
    """
    if origin:
        # Behind a proxy that ends TLS, the scheme here is another than in the browser.
        scheme, _, called = canonical(origin).partition("://")
        own = canonical(f"{scheme}://{host}").partition("://")[2]
        secure = scheme == connection.get("scheme", "http") or site == "same-origin"
        ours = called == own and secure and site != "cross-site"
        return "" if ours else canonical(origin)
    if site == "cross-site" or (site == "same-site" and method not in _SAFE):
        page = urlsplit(header(connection, b"referer"))
        return canonical(f"{page.scheme}://{page.netloc}") if page.netloc else "another site"
    return ""


def _refusal(caller: str) -> App:
    """Make the answer to a page that may not call."""
    error = NbaError(
        f"A page of {quoted(caller)} sent this request from a browser.",
        expected="a page of this server, or of an origin that NBA_ORIGINS lists",
        remedy="Open the address yourself, or list the origin and start the server again.",
    )

    async def refuse(_: Connection, __: Receive, send: Send) -> None:
        await send_json(send, HTTPStatus.FORBIDDEN, {"error": str(error)})

    return refuse
