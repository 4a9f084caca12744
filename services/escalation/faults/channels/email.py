"""E-mail: the mail server's 250 to the message is the proof that it has taken it over."""

from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from urllib.parse import unquote, urlsplit

import aiosmtplib
from pydantic import SecretStr

from services.common.settings import LOOPBACK
from services.escalation.faults.channels.contract import NotDelivered
from services.escalation.faults.notices import Notice
from services.escalation.faults.records import Audience

_TIMEOUT = 15.0
_PORTS = {"smtp": 25, "smtps": 465}
_SHOWN_ANSWER = 200


class EmailChannel:
    """One mailbox. `url` is `smtp://` or `smtps://`, with user and password when the server wants them."""

    def __init__(self, name: str, audience: Audience, url: SecretStr, sender: str, recipient: str) -> None:
        self.name, self.audience = name, audience
        self._url, self._sender, self._recipient = url, sender, recipient

    async def deliver(self, notice: Notice) -> tuple[str, str]:
        """Send; return the mailbox and what the server said."""
        parts = urlsplit(self._url.get_secret_value())
        host = parts.hostname or ""
        secret = parts.scheme == "smtps"
        try:
            refused, answer = await aiosmtplib.send(
                self._message(notice),
                hostname=host,
                port=parts.port or _PORTS[parts.scheme],
                username=unquote(parts.username) if parts.username else None,
                password=unquote(parts.password) if parts.password else None,
                use_tls=secret,
                # A password never travels in clear; elsewhere TLS is used where the server offers it.
                start_tls=True if parts.username and not secret and host not in LOOPBACK else None,
                timeout=_TIMEOUT,
            )
        except TimeoutError:
            raise NotDelivered("timeout") from None
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            code = getattr(error, "code", "")
            raise NotDelivered(f"{type(error).__name__} {code}".strip()) from error
        if refused:
            raise NotDelivered("the server refused the recipient")
        said = "".join(one for one in answer if one.isprintable())
        return self._recipient, f"SMTP 250 {said[:_SHOWN_ANSWER]}"

    async def close(self) -> None:
        """Hold nothing open."""

    def _message(self, notice: Notice) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = self._recipient
        message["Subject"] = notice.heading
        message["Date"] = format_datetime(notice.occurred_at)
        # The same on every repeat: mail systems drop the double.
        domain = parseaddr(self._sender)[1].rpartition("@")[2] or "movecar.invalid"
        message["Message-ID"] = f"<{notice.id}@{domain}>"
        message.set_content(notice.text + "\n")
        return message
