"""Keys and what they do: seal personal data at rest and in events, index it blindly (requirement E3)."""

import base64
import binascii
import hmac
import os
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_VERSION = "v1"
_NONCE_BYTES = 12
MIN_SECRET_BYTES = 32
"""Shortest root secret accepted, in bytes."""


class SealBroken(Exception):
    """A sealed value was changed, belongs to another context, or was made with another key."""


class Keys:
    """Every key of the service, derived from one root secret by HKDF-SHA256, one per purpose."""

    def __init__(self, root: bytes) -> None:
        self._root = root
        self._seal = AESGCM(self.derive("seal"))
        self._index = self.derive("index")

    @classmethod
    def from_secret(cls, secret: str) -> Self:
        """Make the keys from the root secret (`MOVECAR_SECRET_KEY`).

        Raises ValueError when it is shorter than 32 bytes.
        """
        root = secret.encode()
        if len(root) < MIN_SECRET_BYTES:
            raise ValueError(f"must be at least {MIN_SECRET_BYTES} bytes")
        return cls(root)

    def derive(self, purpose: str) -> bytes:
        """Return the 32-byte key of a purpose; keys of two purposes say nothing of each other."""
        return HKDF(hashes.SHA256(), 32, salt=None, info=f"movecar/{_VERSION}/{purpose}".encode()).derive(
            self._root
        )

    def seal(self, text: str, context: str) -> str:
        """Encrypt and authenticate `text` (AES-256-GCM); it opens only with the same context.

        The context says whose value it is, e.g. ``case:<id>:owner_phone``, so that a sealed value copied
        into another row does not open there.
        """
        nonce = os.urandom(_NONCE_BYTES)
        sealed = self._seal.encrypt(nonce, text.encode(), context.encode())
        return f"{_VERSION}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, context: str) -> str:
        """Return the text sealed for this context. Raises SealBroken."""
        version, _, body = sealed.partition(".")
        try:
            raw = base64.urlsafe_b64decode(body)
            if version != _VERSION or base64.urlsafe_b64encode(raw).decode() != body:
                raise SealBroken("unknown version or encoding")  # decoding alone overlooks stray characters
            return self._seal.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], context.encode()).decode()
        except (InvalidTag, ValueError, binascii.Error) as error:
            raise SealBroken("the sealed value does not open in this context") from error

    def index(self, kind: str, text: str) -> str:
        """Return the blind index of a value: equal for equal values of a kind, otherwise opaque."""
        return hmac.digest(self._index, f"{kind}\x00{text}".encode(), "sha256").hex()[:32]
