"""Access tokens of sso, validated in process: the keys by JWKS, what is over by sso.v1.Revocations/Watch.

While nothing is heard, `auth.Auth/Validate` is asked. The rules are those of docs/services.md.
"""

import base64
import hashlib
import json
import random
import sys
import threading
import time
import uuid
from pathlib import Path

import grpc
import jwt

# protos_and_services finds them by the path of Python.
sys.path.append(str(Path(__file__).resolve().parents[2] / "proto"))
messages, services = grpc.protos_and_services("sso/v1/revocations.proto")
auth_messages, auth_services = grpc.protos_and_services("auth.proto")

LEEWAY = 10  # seconds, for clocks that differ
BOUND = 1.0  # seconds: who has heard nothing for so long knows nothing
SILENCE = 0.6  # seconds, after which another address is asked
RENEW = 600.0  # seconds that a stream is used: clocks drift
REQUIRED = ["iss", "aud", "exp", "iat", "sub", "jti"]


class Refused(Exception):
    """The token is not accepted; the text says why."""


class Unknowable(Refused):
    """It may be good: try again (503)."""


def now():
    """Goes on while the machine is suspended, where there is such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def no_duplicates(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Refused("a member stands twice")
    return members


def part(text):
    """A part of a token in its one spelling."""
    decoded = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(decoded).rstrip(b"=") != text.encode():
        raise Refused("no canonical base64url")
    return decoded


def key_tag(kid):
    """How a revocation names a key."""
    digest = bytearray(hashlib.sha256(kid.encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


class Tokens:
    """Says who is calling. One for a process."""

    def __init__(self, issuer, jwks_url, grpc_addresses, caller_token, audience=None):
        self.issuer, self.audience = issuer, audience or issuer
        # Caches the set, and fetches it anew where a kid is unknown.
        self.keys = jwt.PyJWKClient(jwks_url, lifespan=240, timeout=3)
        self.metadata = [("x-caller-token", caller_token)]
        # In clear, for a network of your own: take grpc.secure_channel otherwise.
        self.channels = [grpc.insecure_channel(address) for address in grpc_addresses]
        self.lock = threading.Lock()
        self.sessions, self.users, self.retired = {}, {}, {}
        self.trusted_until = 0.0
        threading.Thread(target=self.watch, daemon=True).start()

    def verify(self, token):
        """The claims of a good token."""
        header, claims = self.read(token)
        with self.lock:
            over = (
                claims["sid"] in self.sessions
                or claims["ver"] < self.users.get(claims["sub"], (0, 0))[0]
                or key_tag(header["kid"]) in self.retired
            )
            # Last: the other way round a frozen process would accept what it had missed.
            trusted = now() < self.trusted_until
        if over:
            raise Refused("the access token was revoked")
        if not trusted:
            self.ask(token)
        return claims

    def read(self, token):
        """Everything but revocation."""
        if len(token) > 8192 or token.count(".") != 2:
            raise Refused("the access token is invalid")
        try:
            parts = [part(text) for text in token.split(".")]
            header, _ = (json.loads(text, object_pairs_hook=no_duplicates) for text in parts[:2])
            if header["typ"] != "at+jwt" or "crit" in header:
                raise Refused("this is no access token")
            key = self.keys.get_signing_key(header["kid"])
            # The algorithm is the key's, whatever the token says.
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                issuer=self.issuer,
                audience=self.audience,
                leeway=LEEWAY,
                options={"require": REQUIRED},
            )
            if claims["token_type"] != "access" or claims["uid"] != claims["sub"]:
                raise Refused("this is no access token")
            if not all(type(claims[name]) is int for name in ("exp", "iat", "ver")):
                raise Refused("a time or the version is no integer")
            str(claims["sid"])
        except jwt.PyJWKClientConnectionError as error:
            raise Unknowable("the keys cannot be loaded") from error
        except (jwt.PyJWTError, KeyError, TypeError, ValueError) as error:
            raise Refused("the access token is invalid") from error
        return header, claims

    def ask(self, token):
        """Has the service vouch for a token while nothing is heard."""
        request = auth_messages.ValidateRequest(token=token)
        for channel in self.channels:
            try:
                stub = auth_services.AuthStub(channel)
                if stub.Validate(request, timeout=0.5, metadata=self.metadata).success:
                    return
            except grpc.RpcError as error:
                if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                    raise Refused(error.details()) from error
        raise Unknowable("the access token cannot be validated at the moment")

    def watch(self):
        """Hears what is over, from one address after the other."""
        pause = 0.05
        while True:
            for channel in self.channels:
                try:
                    self.listen(channel)
                    pause = 0.05
                except grpc.RpcError as error:
                    print("revocations are not heard:", error.code(), error.details(), file=sys.stderr)
                time.sleep(pause * random.uniform(0.5, 1))
                pause = min(pause * 2, 5.0)

    def listen(self, channel):
        called = now()
        request = messages.WatchRevocationsRequest()
        stream = services.RevocationsStub(channel).Watch(request, metadata=self.metadata)
        heard = threading.Event()

        def cut_off_when_silent():
            while heard.wait(SILENCE):
                heard.clear()
            stream.cancel()

        threading.Thread(target=cut_off_when_silent, daemon=True).start()
        for message in stream:
            heard.set()
            self.apply(message, called)
            if now() - called > RENEW:
                stream.cancel()
                return

    def apply(self, message, called):
        with self.lock:
            for entry in message.revocations:
                until = entry.until.seconds + 1
                match entry.WhichOneof("over"):
                    case "session_id":
                        self.sessions[entry.session_id] = until
                    case "tokens_below":
                        user, version = entry.tokens_below.user_id, entry.tokens_below.version
                        before = self.users.get(user, (0, 0))
                        self.users[user] = (max(version, before[0]), max(until, before[1]))
                    case "key_tag":
                        # For good: what a stolen key signs lives on.
                        self.retired[entry.key_tag] = until
                    case _:
                        raise SystemExit("a revocation of an unknown kind: update this program")
            if message.HasField("beat"):
                # Dated by when it was sent, not by when it was read.
                sent = message.beat.sent_after.ToNanoseconds() / 1e9
                trusted = message.beat.trusted_for.ToNanoseconds() / 1e9
                until = called + sent * (1 - 1 / 5000) + min(trusted, BOUND)
                self.trusted_until = max(self.trusted_until, until)
                self.forget()

    def forget(self):
        seconds = time.time()
        self.sessions = {k: until for k, until in self.sessions.items() if until >= seconds}
        self.users = {k: v for k, v in self.users.items() if v[1] >= seconds}
