"""A miniature OpenID Connect provider on loopback: it lets in at once whoever `email` names."""

import base64
import hashlib
import json
import secrets
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT_ID = "dashboard"


class OpenIdProvider:
    """The code flow of OpenID Connect Core 1.0, section 3.1, with one person and one client."""

    def __init__(self) -> None:
        self.email = "nobody@example.org"
        self.email_verified = True
        self.key = RSAKey.generate_key(2048, {"kid": "1", "use": "sig", "alg": "RS256"})
        self.nonces: dict[str, str | None] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                address = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(address.query).items()}
                if address.path == "/authorize":
                    self.send_response(302)
                    self.send_header("Location", provider.answer(query))
                    self.end_headers()
                else:
                    self.say(provider.page(address.path))

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                form = parse_qs(self.rfile.read(length).decode())
                self.say(provider.tokens(form["code"][0]))

            def say(self, content: dict) -> None:
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self.server.shutdown()
        self.server.server_close()

    def page(self, path: str) -> dict:
        """What the provider says of itself, and its public key."""
        if path == "/keys":
            return {"keys": [self.key.as_dict(private=False)]}
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def answer(self, query: dict[str, str]) -> str:
        """Where the browser goes back to, with a code."""
        assert query["client_id"] == CLIENT_ID
        code = secrets.token_urlsafe(8)
        self.nonces[code] = query.get("nonce")
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def tokens(self, code: str) -> dict:
        """The signed tokens for a code, once."""
        now = int(time.time())
        access = secrets.token_urlsafe(8)
        half = hashlib.sha256(access.encode()).digest()[:16]
        claims = {
            "iss": self.url,
            "sub": "1",
            "aud": CLIENT_ID,
            "iat": now,
            "exp": now + 300,
            "nonce": self.nonces.pop(code),
            "at_hash": base64.urlsafe_b64encode(half).decode().rstrip("="),
            "email": self.email,
            "email_verified": self.email_verified,
        }
        id_token = jwt.encode({"alg": "RS256", "kid": "1"}, claims, self.key)
        return {"access_token": access, "token_type": "Bearer", "id_token": id_token}
