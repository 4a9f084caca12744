"""A telephone system that rings no one, for demonstrations and tests.

It speaks the manager protocol over TCP as Asterisk does, so that the product's own client, or any other AMI
client, cannot tell the difference; who is called, and what the owner does, is decided by the last digit.
"""

from services.outbound.sandbox.server import SandboxPbx

__all__ = ["SandboxPbx"]
