"""What the dashboard keeps: its memory while containers come and go, and while the rules change. It runs without a
terminal on a recorded host, and is fed as a reader would feed it. `python tests/bench/memory.py [STARTS [CHANGES]]`."""

from __future__ import annotations

import asyncio
import copy
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from netdash.bundle.recording import Recording
from netdash.bundle.storage import load
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.tui.app import Netdash
from netdash.tui.config import Options
from tests.bench.rules import for_iptables
from tests.support.tui_stage import Stage, settle

BUNDLE = Path(__file__).parents[1] / "recordings" / "docker28.5-nft-full"
RULES = 10_000
SHOWN = 10  # lines of the report


def containers(recording: Recording, count: int) -> Iterator[Recording]:
    """Two recordings a container: it has started, and it is gone."""
    inspected: Any = recording.json("docker/inspect.json")
    listed: Any = recording.json("docker/containers.json")
    pattern = next(one for one in inspected if one["Name"] == "/web")
    entry = next(one for one in listed if one["Id"] == pattern["Id"])
    for number in range(count):
        more, line = copy.deepcopy(pattern), copy.deepcopy(entry)
        more["Id"] = line["Id"] = f"{number:064x}"
        more["Name"], line["Names"] = f"/job{number}", [f"/job{number}"]
        for answers in (([*inspected, more], [*listed, line]), (list(inspected), list(listed))):
            told = {"docker/inspect.json": answers[0], "docker/containers.json": answers[1]}
            yield replace(recording, answers={**recording.answers, **told}, taken=1e9 + number, live=True)


def rules(recording: Recording, count: int) -> Iterator[Recording]:
    """One rule of 10,000 goes, another comes: the listing is new text each time, as iptables-save prints it."""
    lines = for_iptables(RULES).splitlines()
    answers = {path: text for path, text in recording.answers.items() if path != "rules/nft.json"}
    places = [at for at, line in enumerate(lines) if line.startswith("-A DOCKER ")]
    for number in range(count):
        kept = lines[: places[number]] + lines[places[number] + 1 :]
        told = {"rules/iptables-save.txt": "\n".join(kept) + "\n"}
        yield replace(recording, answers={**answers, **told}, taken=1e9 + number, live=True)


def resident() -> float:
    """MiB."""
    text = Path("/proc/self/status").read_text("ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


async def measure(what: str, recordings: Iterator[Recording], count: int) -> None:
    builder = Builder()
    stage = Stage()
    app = Netdash(stage, Options(theme="netdash"))
    async with app.run_test(size=(120, 40)) as pilot:
        worst = 0.0
        start = None
        for number, recording in enumerate(recordings):
            await asyncio.to_thread(feed, builder, stage.publish, recording)
            await settle(pilot)
            if number % 5 == 0:
                await pilot.press("j" if number % 10 else "k")
            begun = time.perf_counter()
            app.collector.tick()
            worst = max(worst, time.perf_counter() - begun)
            if number == count // 10:
                start = resident()
            if number % (count // SHOWN) == 0:
                print(f"{what} {number:6}: {resident():6.1f} MiB, {sys.getallocatedblocks():9} blocks", flush=True)
        if start:
            print(
                f"{what}: {resident() / start - 1:+.1%} since the first tenth; longest collection {worst * 1000:.0f} ms"
            )


def feed(builder: Builder, publish: Callable[[Host], None], recording: Recording) -> None:
    publish(builder.build(recording))


def main() -> None:
    starts, changes = (int(sys.argv[at]) if len(sys.argv) > at else usual for at, usual in ((1, 2000), (2, 200)))
    recording = load(BUNDLE)
    if starts:
        asyncio.run(measure("starts", containers(recording, starts), 2 * starts))
    if changes:
        asyncio.run(measure("changes of rules", rules(recording, changes), changes))


if __name__ == "__main__":
    main()
