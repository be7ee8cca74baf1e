"""Who may log in by OpenID Connect: the addresses that a secrets file allows."""

import importlib.util
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.errors import EvalkitError, listed

_NEEDED = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
_SHORTEST_SECRET = 32  # characters


@dataclass(frozen=True)
class Accounts:
    """The secrets file that Streamlit reads, and the e-mail addresses (lower case) it allows.

    An address that the provider does not say to have verified is nobody's, unless
    `allow_unverified`: for a provider that never says so and gives each person their own.
    """

    file: Path
    emails: frozenset[str]
    allow_unverified: bool = False

    def allows(self, user: Mapping[str, Any]) -> bool:
        """Whether this person, as the provider names them, may enter."""
        return (
            user.get("is_logged_in") is True
            and str(user.get("email", "")).lower() in self.emails
            and (self.allow_unverified or user.get("email_verified") in (True, "true"))
        )


def read_accounts(file: Path) -> Accounts:
    """The accounts of a secrets file: its [auth] as Streamlit wants it, and allowed_emails there.

    Raises EvalkitError where something of it is missing or makes no sense.
    """
    try:
        auth = tomllib.loads(file.read_text("utf-8")).get("auth")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EvalkitError(f"{file}: not valid TOML in UTF-8 ({error}); correct it there") from None
    wanted = f"[auth] with {listed(_NEEDED)}, and allowed_emails, a list of addresses"
    if not isinstance(auth, dict):
        raise EvalkitError(f"{file}: has no [auth]; a login by OpenID Connect needs {wanted}")
    missing = [name for name in _NEEDED if not isinstance(auth.get(name), str) or not auth[name]]
    emails = auth.get("allowed_emails")
    if not isinstance(emails, list) or not emails or not all(isinstance(e, str) for e in emails):
        missing.append("allowed_emails")
    if missing:
        raise EvalkitError(f"{file}: [auth] lacks {listed(missing)}; needed is {wanted}")
    if len(auth["cookie_secret"]) < _SHORTEST_SECRET:
        raise EvalkitError(
            f"{file}: auth.cookie_secret has {len(auth['cookie_secret'])} characters; allowed are "
            f"{_SHORTEST_SECRET} and more; make one with: openssl rand -hex 32"
        )
    unverified = auth.get("allow_unverified_emails", False)
    if not isinstance(unverified, bool):
        raise EvalkitError(
            f"{file}: auth.allow_unverified_emails = {unverified!r}; allowed are true and false; "
            "true lets in addresses that the provider does not say to have verified"
        )
    if importlib.util.find_spec("authlib") is None:
        raise EvalkitError(
            "dashboard: a login by OpenID Connect needs Authlib, which is not installed; run: "
            'pip install "Authlib>=1.3.2"'
        )
    return Accounts(file, frozenset(email.lower() for email in emails), unverified)
