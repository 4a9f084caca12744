"""Identifiers: opaque, unguessable, safe in a URL, a file name and an AMI field."""

import uuid


def new_id() -> str:
    """Return 32 lowercase hexadecimal characters of a random UUID."""
    return uuid.uuid4().hex
