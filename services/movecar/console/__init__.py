"""The console in the browser: one page and its files; everything it shows comes from the API.

`static/` holds plain HTML, CSS and ES modules: nothing is built, nothing comes from another host.
"""

from pathlib import Path

from aiohttp import web

from services.common.http.problems import not_found

STATIC = Path(__file__).with_name("static")
PLATE_PREFIX = "苏D"
"""What the plate field begins with: most cars here are Changzhou's."""

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "media-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # The browser itself refuses to turn text into mark-up: a hostile note can only ever be text.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
# Asked for anew every time and answered 304 when unchanged: no console stays old after an update.
_HEADERS = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"}


def routes(is_demo: bool) -> list[web.RouteDef]:
    """Return what serves the page at `/` and its files under `/console/`; every page says if it is a demo."""
    files = {path.name: path for path in STATIC.iterdir()}

    async def page(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(files["index.html"], headers=_HEADERS)

    async def config(_: web.Request) -> web.StreamResponse:
        return web.json_response({"demo": is_demo, "plate_prefix": PLATE_PREFIX})

    async def asset(request: web.Request) -> web.StreamResponse:
        path = files.get(request.match_info["name"])
        if path is None:
            raise not_found("该文件")
        return web.FileResponse(path, headers=_HEADERS)

    return [
        web.get("/", page),
        web.get("/console/config.json", config),
        web.get("/console/{name}", asset),
    ]
