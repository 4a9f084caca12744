#!/usr/bin/env python3
"""A watchdog outside the platform: tells the 110 desk when the escalation process itself is gone (C4).

One file, the standard library only, nothing of movecar: whatever breaks there does not break this. It asks
the escalation process whether it runs (/livez) and whether its two loops get round (/watchz), keeps what it
owes in a small file that is on the disk before anything is sent, and has its own way to the desk: a signed
push, an e-mail, or both. A notice counts as given when the far end has said so; until then it is repeated,
also after this program was killed. Proof is in journal.log beside the state.

Settings are environment variables:
  WATCHDOG_URL            http://HOST:PORT of the escalation process (http://127.0.0.1:8116); of two machines
                          both, with a comma between: the desk is told when neither gives a sign of life
  WATCHDOG_STATE          directory for state and proof (/var/lib/movecar-watchdog)
  WATCHDOG_AFTER          seconds without a sign of life before the desk is told (45)
  WATCHDOG_EVERY          seconds between two looks (5)
  WATCHDOG_PUSH_URL       where notices are pushed, and WATCHDOG_PUSH_SECRET, which signs them
  WATCHDOG_SMTP_HOST      mail server, with WATCHDOG_SMTP_PORT (25), _USER, _PASSWORD,
                          WATCHDOG_SMTP_TLS (0: where the server offers it, 1: from the first byte)
  WATCHDOG_MAIL_FROM      sender, and WATCHDOG_MAIL_TO, the desk's mailbox
"""

import argparse
import collections.abc
import contextlib
import datetime
import email.message
import email.utils
import hashlib
import hmac
import json
import os
import pathlib
import signal
import smtplib
import ssl
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

EXIT_WELL, EXIT_DOWN, EXIT_MISUSED = 0, 1, 2
PROBE_SECONDS = 4.0
SEND_SECONDS = 10.0
LONGEST_SENDING = 20.0
LONGEST_PAUSE = 30.0
CALM_SECONDS = 10.0
_ZONE = datetime.timezone(datetime.timedelta(hours=8))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Notices and questions go to the set address or nowhere."""

    def redirect_request(self, *_args: object, **_options: object) -> None:
        return None


_HTTP = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect())


@contextlib.contextmanager
def within(seconds: float) -> collections.abc.Iterator[None]:
    """Raise TimeoutError when a block takes longer, whatever it waits for.

    A timeout of a socket is one of each read: what answers a byte now and then would be waited for for ever,
    and meanwhile nobody would look.
    """

    def ring(*_: object) -> None:
        raise TimeoutError(f"longer than {seconds:g} s")

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Misused(Exception):
    """The settings are wrong; the message names the one and the remedy."""


class Settings:
    """What the environment says."""

    def __init__(self, environment: os._Environ[str] | dict[str, str]) -> None:
        def read(name: str, default: str = "") -> str:
            return environment.get(f"WATCHDOG_{name}", "") or default

        def number(name: str, default: str) -> float:
            try:
                return float(read(name, default))
            except ValueError:
                raise Misused(f"WATCHDOG_{name} must be a number") from None

        self.url = read("URL", "http://127.0.0.1:8116").rstrip("/")
        self.urls = [url.strip().rstrip("/") for url in self.url.split(",") if url.strip()]
        self.state = pathlib.Path(read("STATE", "/var/lib/movecar-watchdog"))
        self.push_url, self.push_secret = read("PUSH_URL"), read("PUSH_SECRET")
        self.smtp_host, self.smtp_port = read("SMTP_HOST"), int(number("SMTP_PORT", "25"))
        self.smtp_tls = read("SMTP_TLS", "0") == "1"
        self.smtp_user, self.smtp_password = read("SMTP_USER"), read("SMTP_PASSWORD")
        self.mail_from, self.mail_to = read("MAIL_FROM", "movecar-watchdog@localhost"), read("MAIL_TO")
        self.after, self.every = number("AFTER", "45"), number("EVERY", "5")
        if not self.urls:
            raise Misused("WATCHDOG_URL must name an address: where none is asked, nothing is ever wrong")
        for name, address in (*(("URL", url) for url in self.urls), ("PUSH_URL", self.push_url)):
            if address and urllib.parse.urlsplit(address).scheme not in {"http", "https"}:
                raise Misused(f"WATCHDOG_{name} must be an http or https address")
        if self.push_url and not self.push_secret:
            raise Misused("WATCHDOG_PUSH_SECRET is required with WATCHDOG_PUSH_URL, to sign the notices")
        if self.smtp_host and not self.mail_to:
            raise Misused("WATCHDOG_MAIL_TO is required with WATCHDOG_SMTP_HOST")
        if not self.push_url and not self.smtp_host:
            raise Misused(
                "set WATCHDOG_PUSH_URL or WATCHDOG_SMTP_HOST: without a way to the desk this is of no use"
            )

    @property
    def channels(self) -> list[str]:
        return [name for name, given in (("push", self.push_url), ("email", self.smtp_host)) if given]


class State:
    """What must survive: `good_at`, the open fault, and the notices that are owed. Replaced as a whole."""

    def __init__(self, directory: pathlib.Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = directory / "state.json"
        self._journal = directory / "journal.log"
        self.good_at = 0.0
        self.fault: dict[str, object] | None = None
        self.owed: list[dict[str, object]] = []
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(self._path.read_text("utf-8"))
            self.good_at, self.fault, self.owed = float(found["good_at"]), found["fault"], list(found["owed"])

    def save(self) -> None:
        """Put it on the disk. A disk that takes nothing must not keep the desk from being told."""
        body = json.dumps(
            {"good_at": self.good_at, "fault": self.fault, "owed": self.owed}, ensure_ascii=False
        )
        draft = self._path.with_suffix(f".{os.getpid()}")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            handle = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            say("state_unwritable", error=str(error))

    def prove(self, **facts: object) -> None:
        """Add a line of proof to the journal."""
        line = json.dumps({"at": stamp(time.time()), **facts}, ensure_ascii=False)
        with contextlib.suppress(OSError), self._journal.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


def say(event: str, **facts: object) -> None:
    """Write one line to standard error."""
    sys.stderr.write(
        json.dumps({"event": event, "at": stamp(time.time()), **facts}, ensure_ascii=False) + "\n"
    )


def stamp(moment: float) -> str:
    """Return a moment as the API writes it."""
    return datetime.datetime.fromtimestamp(moment, _ZONE).isoformat(timespec="milliseconds")


def look(url: str) -> str:
    """Return what is wrong with the escalation process; empty when it is well."""
    for path in ("/livez", "/watchz"):
        try:
            with within(PROBE_SECONDS), _HTTP.open(url + path, timeout=PROBE_SECONDS) as answer:
                answer.read(4096)
        except urllib.error.HTTPError as error:
            return f"{path} 应答 {error.code}"
        except (OSError, ValueError) as error:
            return f"{path} 无应答（{type(error).__name__}）"
        except Exception as error:  # whatever http.client makes of garbage
            return f"{path} 应答无法读取（{type(error).__name__}）"
    return ""


def look_at_all(urls: list[str]) -> str:
    """Return what is wrong when none of the machines is well; empty while one of them is.

    Of several each is named by its place in the setting: an address of the inside is not for a notice.
    """
    problems = []
    for number, url in enumerate(urls, 1):
        problem = look(url)
        if not problem:
            return ""
        problems.append(problem if len(urls) == 1 else f"第{number}台 {problem}")
    return "；".join(problems)


def judge(state: State, problem: str, settings: Settings, now: float) -> None:
    """Open or end the fault; what follows is owed before anything is sent."""
    if not problem:
        if state.fault is None:
            state.good_at = now
            return
        since = state.fault.get("good_since")
        if since is None:
            state.fault["good_since"] = now
        elif now - float(str(since)) >= CALM_SECONDS:
            owe(state, "fault.recovered", settings, recovered_at=float(str(since)))
            state.fault, state.good_at = None, now
        return
    if state.fault is not None:
        state.fault["good_since"] = None
    else:
        state.good_at = min(state.good_at or now, now)
        if now - state.good_at >= settings.after:
            began = state.good_at
            fault_id = hashlib.sha256(f"watchdog:{settings.url}:{began}".encode()).hexdigest()[:32]
            state.fault = {
                "id": fault_id,
                "began_at": began,
                "detected_at": now,
                "reason": problem,
                "good_since": None,
            }
            owe(state, "fault.opened", settings)


def owe(state: State, kind: str, settings: Settings, recovered_at: float | None = None) -> None:
    """Note a notice that is owed, on every channel."""
    fault = state.fault or {}
    began = float(str(fault["began_at"]))
    if recovered_at is None:
        text = (
            f"114挪车服务的110通知服务自{stamp(began)}起无应答（{fault['reason']}）。"
            "期间其他故障可能无法通知。恢复后将另行通知。"
        )
    else:
        length = round(recovered_at - began)
        text = (
            f"114挪车服务的110通知服务已于{stamp(recovered_at)}恢复。"
            f"故障自{stamp(began)}开始，持续{length}秒。"
        )
    item = {
        "seq": 0,
        "type": kind,
        "id": hashlib.sha256(f"{fault['id']}:{kind}".encode()).hexdigest()[:32],
        "occurred_at": stamp(recovered_at or began),
        "data": {
            "fault_id": fault["id"],
            "component": "escalation",
            "title": "110通知服务",
            "reason": fault["reason"],
            "downtime": True,
            "planned": False,
            "drill": False,
            "began_at": stamp(began),
            "detected_at": stamp(float(str(fault["detected_at"]))),
            "recovered_at": None if recovered_at is None else stamp(recovered_at),
            "seconds": None if recovered_at is None else recovered_at - began,
            "lost": "",
            "due_at": stamp((recovered_at or began) + 1800),
            "text": text,
        },
    }
    say(kind.replace(".", "_"), reason=fault["reason"])
    for channel in settings.channels:
        state.owed.append({"channel": channel, "item": item, "tries": 0, "next_at": 0.0})


def deliver(state: State, settings: Settings, now: float) -> None:
    """Try what is due once; what is proved is struck off."""
    for notice in list(state.owed):
        if float(str(notice["next_at"])) > now + LONGEST_PAUSE:
            notice["next_at"] = 0.0  # the clock was put back
        if float(str(notice["next_at"])) > now or notice["channel"] not in settings.channels:
            continue
        tries = int(str(notice["tries"])) + 1
        notice["tries"] = tries
        item = notice["item"]
        try:
            send = {"push": push, "email": mail}[str(notice["channel"])]
            with within(LONGEST_SENDING):
                proof = send(settings, item)  # type: ignore[arg-type]
        except Exception as error:
            notice["next_at"] = now + min(2.0 ** min(tries, 10), LONGEST_PAUSE)
            say(
                "notice_not_delivered",
                channel=notice["channel"],
                tries=tries,
                error=f"{type(error).__name__}: {error}"[:200],
            )
        else:
            state.owed.remove(notice)
            state.prove(channel=notice["channel"], item=item, tries=tries, proof=proof)
            say("notice_delivered", channel=notice["channel"], proof=proof)
        state.save()


def push(settings: Settings, item: dict[str, object]) -> str:
    """Send a signed push; the answer's 2xx is the proof."""
    body = json.dumps(item, ensure_ascii=False).encode()
    when = str(int(time.time()))
    signature = hmac.new(
        settings.push_secret.encode(), when.encode() + b"." + body, hashlib.sha256
    ).hexdigest()
    request = urllib.request.Request(settings.push_url, data=body, method="POST")  # noqa: S310 - checked
    request.add_header("Content-Type", "application/json")
    request.add_header("X-Movecar-Seq", "0")
    request.add_header("X-Movecar-Timestamp", when)
    request.add_header("X-Movecar-Signature", f"sha256={signature}")
    with _HTTP.open(request, timeout=SEND_SECONDS) as answer:
        answer.read(4096)
        return f"HTTP {answer.status}"


def mail(settings: Settings, item: dict[str, object]) -> str:
    """Send an e-mail; that the server took the message is the proof."""
    data: dict[str, object] = item["data"]  # type: ignore[assignment]
    message = email.message.EmailMessage()
    message["From"], message["To"] = settings.mail_from, settings.mail_to
    message["Subject"] = (
        "114挪车服务恢复通知：110通知服务"
        if item["type"] == "fault.recovered"
        else "114挪车服务故障通知：110通知服务"
    )
    message["Date"] = email.utils.formatdate(localtime=True)
    message["Message-ID"] = f"<{item['id']}@movecar-watchdog>"
    message.set_content(str(data["text"]) + "\n")
    context = ssl.create_default_context()
    connect = (
        smtplib.SMTP_SSL(settings.smtp_host, settings.smtp_port, timeout=SEND_SECONDS, context=context)
        if settings.smtp_tls
        else smtplib.SMTP(settings.smtp_host, settings.smtp_port, timeout=SEND_SECONDS)
    )
    with connect as server:
        server.ehlo()
        if not settings.smtp_tls and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        if settings.smtp_user:
            server.login(settings.smtp_user, settings.smtp_password)
        server.send_message(message)
    return f"SMTP 250 {settings.smtp_host}"


def round_of(state: State, settings: Settings) -> str:
    """Look once, note what follows, give what is due; return what is wrong."""
    problem = look_at_all(settings.urls)
    judge(state, problem, settings, time.time())
    state.save()
    deliver(state, settings, time.time())
    return problem


def main(arguments: list[str] | None = None) -> int:
    """Exit status: 0 well, 1 (with --once) the process is down, 2 wrong settings."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--once", action="store_true", help="look once, give what is due, and stop")
    given = parser.parse_args(arguments)
    try:
        settings = Settings(os.environ)
        state = State(settings.state)
    except (Misused, OSError) as error:
        sys.stderr.write(f"watchdog cannot start: {error}\n")
        return EXIT_MISUSED
    if given.once:
        return EXIT_DOWN if round_of(state, settings) else EXIT_WELL
    say("watching", url=settings.url, channels=settings.channels, owed=len(state.owed))
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            round_of(state, settings)
            time.sleep(settings.every)
    return EXIT_WELL


if __name__ == "__main__":
    sys.exit(main())
