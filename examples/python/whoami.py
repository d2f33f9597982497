"""GET /whoami, with an access token of sso.

sso must know the service as a caller, by the digest of its token:

    export SSO_CALLER_TOKEN=$(openssl rand -hex 32)
    digest=$(printf %s "$SSO_CALLER_TOKEN" | sha256sum | cut -d' ' -f1)
    callers="[{name='whoami', token_sha256='$digest', scopes=['auth', 'revocations:read']}]"
    sso --dev --set "grpc.callers=$callers" &
    pip install -r requirements.txt
    SSO_ISSUER=http://127.0.0.1:8000 SSO_GRPC_URL=http://127.0.0.1:44044 python whoami.py
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from sso_tokens import Refused, Tokens, Unknowable

issuer = os.environ["SSO_ISSUER"]
tokens = Tokens(
    issuer=issuer,
    jwks_url=os.environ.get("SSO_JWKS_URL", issuer + "/.well-known/jwks.json"),
    grpc_addresses=[urlsplit(url.strip()).netloc for url in os.environ["SSO_GRPC_URL"].split(",")],
    caller_token=os.environ["SSO_CALLER_TOKEN"],
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise Refused("an access token is needed")
            claims = tokens.verify(token.strip())
            self.answer(200, {"user_id": claims["sub"], "email": claims["email"]})
        except Unknowable as refused:
            self.answer(503, {"error": str(refused)}, ("Retry-After", "1"))
        except Refused as refused:
            self.answer(401, {"error": str(refused)}, ("WWW-Authenticate", "Bearer"))

    def answer(self, status, body, *headers):
        body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    host, port = os.environ.get("WHOAMI_LISTEN", "127.0.0.1:8080").rsplit(":", 1)
    ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
