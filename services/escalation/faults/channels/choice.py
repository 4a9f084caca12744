"""Which channels this installation has: what is configured, and nothing else."""

import structlog

from services.common.clock import Clock
from services.common.settings import Settings
from services.escalation.faults.channels.contract import Channel
from services.escalation.faults.channels.email import EmailChannel
from services.escalation.faults.channels.web import PushChannel, SmsChannel
from services.escalation.faults.records import Audience

log = structlog.get_logger(__name__)


def choose(settings: Settings, clock: Clock) -> list[Channel]:
    """Return the channels from the settings; warn when the desk has none beside the feed."""
    chosen: list[Channel] = []
    if settings.desk_push_url:
        secret = settings.desk_push_secret.get_secret_value()
        chosen.append(PushChannel("push", "desk", settings.desk_push_url, secret, clock))
    if settings.drill_push_url:
        secret = settings.desk_push_secret.get_secret_value()
        chosen.append(PushChannel("drill_push", "drill", settings.drill_push_url, secret, clock))
    mailboxes: tuple[tuple[str, Audience, str], ...] = (
        ("email", "desk", settings.desk_email),
        ("supervisor_email", "supervisor", settings.supervisor_email),
        ("drill_email", "drill", settings.drill_email),
    )
    for name, audience, recipient in mailboxes:
        if recipient and settings.smtp_url.get_secret_value():
            chosen.append(EmailChannel(name, audience, settings.smtp_url, settings.mail_from, recipient))
    numbers: tuple[tuple[str, Audience, str], ...] = (
        ("sms", "desk", settings.desk_sms),
        ("supervisor_sms", "supervisor", settings.supervisor_sms),
        ("drill_sms", "drill", settings.drill_sms),
    )
    for name, audience, number in numbers:
        if number and settings.sms_url:
            token = settings.sms_token.get_secret_value()
            chosen.append(SmsChannel(name, audience, settings.sms_url, token, number))
    if not any(channel.audience == "desk" for channel in chosen):
        log.warning("desk_has_only_the_feed")
    if not any(channel.audience == "supervisor" for channel in chosen):
        log.warning("supervisor_has_no_channel")
    return chosen
