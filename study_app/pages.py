"""Plain pages for those who do not come in: a heading and kind words in the study's language."""

import html
from collections.abc import Mapping
from typing import Any

from starlette.responses import HTMLResponse

from study_app.headers import policy

_PAGE = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{again}<title>{title}</title>
<style>
body {{
  display: grid; min-height: 100vh; margin: 0; place-items: center; background: #cccccc;
  color: #404040; font: 17px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif;
}}
main {{
  box-sizing: border-box; width: min(640px, 100%); padding: 44px 52px 48px; border-radius: 14px;
  background: #dedede;
}}
h1 {{ margin: 0; color: #1a1a1a; font-size: 30px; line-height: 1.2; letter-spacing: -0.015em }}
p {{ margin: 16px 0 0 }}
</style>
</head>
<body><main><h1>{heading}</h1><p>{text}</p></main></body>
</html>
"""


def plain_page(
    texts: Mapping[str, Any], name: str, status: int, again_seconds: int | None = None
) -> HTMLResponse:
    """The page of the texts' section `name`; it asks again by itself after `again_seconds`."""
    words = {key: html.escape(texts[name][key]) for key in ("heading", "text")}
    again = f'<meta http-equiv="refresh" content="{again_seconds}">\n' if again_seconds else ""
    content = _PAGE.format(
        language=html.escape(texts["language"]),
        title=html.escape(texts["title"]),
        again=again,
        **words,
    )
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": policy("'none'")}
    if again_seconds:
        headers["Retry-After"] = str(again_seconds)
    return HTMLResponse(content, status_code=status, headers=headers)
