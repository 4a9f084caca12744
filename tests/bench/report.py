"""The figures as text."""

import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from deploy.stack import packages
from tests.bench.figures import Latency, Throughput


@dataclass(frozen=True)
class Machine:
    """What it was measured on."""

    processor: str
    cores: int
    memory_gib: float
    system: str
    versions: dict[str, str]
    load_before: float
    """Processes that wanted to run in the minute before (they share the cores)."""


def machine(asterisk: str) -> Machine:
    """This machine and its programs; `asterisk`: what that says of its version."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        processor=models[0].partition(":")[2].strip() if models else platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gib=round(pages / 2**30, 1),
        system=f"Linux {platform.release()}",
        versions={
            "Python": platform.python_version(),
            "Asterisk": asterisk.removeprefix("Asterisk "),
            "PostgreSQL": _said([str(packages.postgres_bin() / "postgres"), "--version"]),
            "Redis": _said([str(packages.redis_server()), "--version"]),
            "SIPp": _said([str(packages.sipp()), "-v"]),
            "asterisk-ami": version("asterisk-ami"),
        },
        load_before=os.getloadavg()[0],
    )


def line(throughput: Throughput) -> str:
    """One round in one line."""
    return (
        f"  {throughput.rate:.1f} calls/s ({throughput.calls} in {throughput.seconds:.1f} s), machine "
        f"{throughput.busy:.0%} busy, {throughput.strangers:.0%} by others; ms of processor time a call: "
        + ", ".join(f"{name} {ms:.2f}" for name, ms in throughput.cpu_ms.items())
    )


def markdown(
    product: Sequence[Throughput],
    bare: Mapping[str, Sequence[Throughput]],
    to_invite: Latency | None,
    to_feed: Latency | None,
    on: Machine,
) -> str:
    """The whole report."""
    lines = [f"{on.processor}, {on.cores} cores, {on.memory_gib} GiB, {on.system}; load {on.load_before:.1f}"]
    lines += [", ".join(f"{name} {value}" for name, value in on.versions.items()), ""]
    measured = {name: rounds for name, rounds in {"whole product": product, **bare}.items() if rounds}
    if measured:
        lines += ["| calls/s | by round | median |", "|---|---|---|"]
        lines += [_rounds(name, "{:.1f}", [one.rate for one in rounds]) for name, rounds in measured.items()]
        lines += [
            _rounds(f"ratio to {name}", "{:.2f}", _ratios(product, rounds))
            for name, rounds in measured.items()
            if product and rounds is not product
        ]
        lines += [
            _rounds(f"machine used by others, {name}", "{:.0%}", [one.strangers for one in rounds])
            for name, rounds in measured.items()
        ]
        lines += ["", *_cpu(measured)]
    for title, latency in (("submit → INVITE", to_invite), ("keypress → feed", to_feed)):
        if latency is not None:
            lines += _steps(title, latency)
    return "\n".join(lines)


def _steps(title: str, latency: Latency) -> list[str]:
    rows = [
        f"| {'**' + name + '**' if name == title else name} | {one.count} "
        f"| {one.p50:.1f} | {one.p95:.1f} | {one.most:.1f} |"
        for name, one in latency.steps.items()
    ]
    spent = ", ".join(f"{name} {ms:.1f}" for name, ms in latency.cpu_ms.items())
    share = (
        f"Machine {latency.busy:.0%} busy, {latency.strangers:.0%} by others. "
        f"Processor time, ms a call: {spent}; together {sum(latency.cpu_ms.values()):.1f}."
    )
    return [f"| {title} | calls | p50 ms | p95 ms | most ms |", "|---|---|---|---|---|", *rows, "", share, ""]


def _ratios(product: Sequence[Throughput], bare: Sequence[Throughput]) -> list[float]:
    return [one.rate / other.rate for one, other in zip(product, bare, strict=True)]


def _rounds(name: str, form: str, values: Sequence[float]) -> str:
    shown = " · ".join(form.format(value) for value in values)
    return f"| {name} | {shown} | {form.format(statistics.median(values))} |"


def _cpu(measured: Mapping[str, Sequence[Throughput]]) -> list[str]:
    names = list(dict.fromkeys(name for rounds in measured.values() for one in rounds for name in one.cpu_ms))
    sums = dict.fromkeys(measured, 0.0)
    lines = [
        f"| processor time, ms a call | {' | '.join(measured)} |",
        "|---" * (len(measured) + 1) + "|",
    ]
    for name in names:
        row = []
        for what, rounds in measured.items():
            values = [one.cpu_ms[name] for one in rounds if name in one.cpu_ms]
            middle = statistics.median(values) if values else 0.0
            sums[what] += middle
            row.append(f"{middle:.2f}" if values else "–")
        lines.append(f"| {name} | {' | '.join(row)} |")
    return [*lines, f"| all of these | {' | '.join(f'{total:.2f}' for total in sums.values())} |", ""]


def _said(command: list[str]) -> str:
    """The version in what a program says of itself."""
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    words = text.replace("v=", "").replace("SIPp v", "").split()
    return next((word.rstrip(".") for word in words if word[:1].isdigit()), "unknown")
