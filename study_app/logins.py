"""The cookie that says who asks: a random secret, of which the store keeps only a hash."""

import re
import secrets

from starlette.requests import HTTPConnection
from starlette.responses import Response

COOKIE = "evalkit"
_SECRET = re.compile(r"[A-Za-z0-9_-]{22}")  # 128 bits, as `new_secret` writes them
_SECONDS = 30 * 24 * 3600


def new_secret() -> str:
    """128 random bits."""
    return secrets.token_urlsafe(16)


def secret_of(connection: HTTPConnection) -> str | None:
    """The secret that came with a request; None without one, or where it is none of ours."""
    secret = connection.cookies.get(COOKIE, "")
    return secret if _SECRET.fullmatch(secret) else None


def set_cookie(response: Response, secret: str, connection: HTTPConnection) -> None:
    """Give the browser the secret: no script reads it, no other site's form sends it.

    Sent back over TLS only, where it was given over TLS (also that of a trusted proxy).
    """
    response.set_cookie(
        COOKIE,
        secret,
        max_age=_SECONDS,
        path="/",
        httponly=True,
        samesite="lax",
        secure=connection.scope["scheme"] == "https",
    )


def forget_cookie(response: Response) -> None:
    """Take the secret from the browser."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
