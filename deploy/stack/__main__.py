"""`make stack`: settings → stack → run until Ctrl-C."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from deploy.asterisk.prompts import PromptError
from deploy.asterisk.render import PbxSettingError
from deploy.stack.account import NotReachableError
from deploy.stack.child import PartFailedError
from deploy.stack.packages import PartMissingError
from deploy.stack.ports import is_free
from deploy.stack.stack import Stack, StackPlan, kept_secret
from services.common.run import read_settings
from services.common.settings import PREFIX, Settings

_OURS = ("DATABASE_URL", "REDIS_URL", "PBX", "AMI_HOST", "AMI_PORT", "AMI_USER", "AMI_SECRET")

OWNERS_PORT = 5070
"""Where the default MOVECAR_TRUNK_URI leads."""


def plan(settings: Settings) -> StackPlan:
    """What to run, from the settings that were given; keeps the demo password in the data directory."""
    given = settings.model_fields_set
    directory = settings.data_dir if "data_dir" in given else Path("var/stack")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    addresses = {
        name: getattr(settings, name) for name in ("outbound_listen", "escalation_listen") if name in given
    }
    # Nobody said where calls go: to owners of our own, unless somebody listens there already.
    own_owners = "trunk_uri" not in given and is_free(OWNERS_PORT)
    password = settings.demo_password.get_secret_value() or kept_secret(directory / "demo_password", 9)
    return StackPlan(
        directory=directory,
        listen=settings.listen,
        trunk_uri=None if own_owners else settings.trunk_uri,
        await_trunk=own_owners,
        owners_port=OWNERS_PORT,
        environment={f"{PREFIX}DEMO_PASSWORD": password},
        **addresses,
    )


async def run(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM. Raises what `Stack.start` raises."""
    for name in _OURS:
        if f"{PREFIX}{name}" in os.environ:
            _say(f"{PREFIX}{name} is set but not used: the stack brings its own")
    chosen = plan(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    stack = Stack(chosen, _say)
    starting = asyncio.create_task(stack.start())
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if starting.done():
            await starting
            _greet(stack, await asyncio.to_thread(stack.lacks))
            await stopping
    finally:
        _say("\nstopping ...")
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        stopping.cancel()
        await stack.stop()


def _greet(stack: Stack, lacks: str) -> None:
    settings = stack.asterisk.settings
    password = stack.plan.environment[f"{PREFIX}DEMO_PASSWORD"]
    _say(f"\n  movecar    {stack.url}   API documents {stack.url}/docs")
    _say(f"  accounts   op1 op2 sup1 desk1 aud1 adm1 adm2, password {password}")
    if stack.plan.trunk_uri is None:
        _say(
            f"  calls      go to test owners of our own (SIPp) at {stack.trunk_uri}: the last digit decides,"
        )
        _say("             see deploy/stack/owners.py. MOVECAR_TRUNK_URI sends them somewhere else")
        _say(f"  seats      {' '.join(stack.plan.seats)} answer (SIPp): see deploy/stack/seats.py")
        _say(f"  SIP trace  {stack.owners.trace}, {stack.seats.trace}")
    else:
        _say(f"  calls      go to {stack.trunk_uri} and may ring real phones")
    if lacks:
        _say(f"  NOT READY  {lacks}")
    _say(f"  Asterisk   {stack.asterisk.version()}, recordings in {settings.recordings}")
    _say(f"  logs       {stack.logs}; Asterisk's in {settings.log}")
    _say("  try        苏D10001 agrees, 苏D10005 disputes and goes to 110, 苏D10007 does not answer")
    _say("\n  Ctrl-C stops everything.\n")


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """Exit status 1 when something cannot be had or does not start, and says what."""
    # the stack fills these in itself; what is given for them must not be judged
    settings = read_settings(database_url="", redis_url="", pbx="sandbox")
    try:
        asyncio.run(run(settings))
    except (PartMissingError, PartFailedError, PromptError, PbxSettingError, NotReachableError) as error:
        print(f"\nmovecar's stack cannot start: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
