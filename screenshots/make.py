"""Renders the dashboard on recorded hosts as SVG, and as PNG where rsvg-convert is installed: `make screenshots`."""

from __future__ import annotations

import asyncio
import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

from netdash.bundle.storage import load
from netdash.cli.feeds import StillFeed
from netdash.join.host import Builder
from netdash.model.host import Host
from netdash.tui.app import Netdash
from netdash.tui.config import Options

HERE = Path(__file__).parent
ROOT = HERE.parent
DEMO = ROOT / "netdash" / "demo" / "su1"
RECORDINGS = ROOT / "tests" / "recordings"
MANY = RECORDINGS / "docker28.5-nft-full"
SIZES = ((80, 24), (120, 40), (160, 48))
SCENES: tuple[tuple[str, Path, str, tuple[tuple[int, int], ...]], ...] = (
    ("broken", RECORDINGS / "docker-user-host-port", "", SIZES[:2]),
    ("health", RECORDINGS / "docker-user-host-port", "0", SIZES[1:2]),
    ("demo", DEMO, "", SIZES),
    ("many", MANY, "G", SIZES),
    ("rules", DEMO, "4", SIZES[1:2]),
    ("ports", MANY, "2", SIZES[1:2]),
    ("walk", RECORDINGS / "docker-user-host-port", "t", SIZES[1:2]),
    ("map", MANY, "m", SIZES[1:2]),
    ("drift", RECORDINGS / "dnat-missing-proxied", "8", SIZES[1:2]),
)
"""A picture's name, its recorded host, the keys pressed before it is taken, and the sizes."""

PADDED = re.compile(r'x="([\d.]+)"( y="[\d.]+") textLength="([\d.]+)"([^>]*)>([^<]*)<')


async def picture(host: Host, size: tuple[int, int], keys: str) -> str:
    app = Netdash(StillFeed(host), Options())
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.3)
        while app.examiner.busy:
            await pilot.pause(0.1)
        await pilot.pause(0.3)
        if keys:
            await pilot.press(*keys)
            await pilot.pause(0.3)
        return PADDED.sub(_moved, app.export_screenshot(title="netdash"))


def _moved(text: re.Match[str]) -> str:
    """Spaces around the words become an offset: rsvg-convert drops them and puts the words in the wrong column."""
    x, y, length, rest, escaped = text.groups()
    whole = html.unescape(escaped)
    words = whole.strip("\N{NO-BREAK SPACE}")
    if not words:
        return text[0]
    cell = float(length) / len(whole)
    left = float(x) + cell * whole.index(words)
    kept = html.escape(words).replace("\N{NO-BREAK SPACE}", "&#160;")
    return f'x="{left:g}"{y} textLength="{cell * len(words):g}"{rest}>{kept}<'


def main() -> int:
    convert = shutil.which("rsvg-convert")
    for name, bundle, keys, sizes in SCENES:
        host = Builder().build(load(bundle))
        for size in sizes:
            svg = HERE / f"{name}-{size[0]}x{size[1]}.svg"
            svg.write_text(asyncio.run(picture(host, size, keys)), "utf-8")
            if convert:
                subprocess.run([convert, "--zoom", "1", str(svg), "-o", str(svg.with_suffix(".png"))], check=True)
            print(svg.relative_to(ROOT))
    if not convert:
        print("no rsvg-convert (Debian package librsvg2-bin): SVG only", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
