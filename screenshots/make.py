"""Renders the dashboard on recorded hosts as SVG, and as PNG where rsvg-convert is installed: `make screenshots`."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

from netdash.core.join import Builder
from netdash.core.model import Host
from netdash.core.recording import load
from netdash.feed import StillFeed
from netdash.tui.app import Netdash
from netdash.tui.config import Options

HERE = Path(__file__).parent
ROOT = HERE.parent
SIZES = ((80, 24), (120, 40), (160, 48))
SCENES: tuple[tuple[str, Path, str], ...] = (
    ("demo", ROOT / "netdash" / "demo" / "su1", ""),
    ("demo-rules", ROOT / "netdash" / "demo" / "su1", "4"),
    ("many", ROOT / "tests" / "recordings" / "docker28.5-nft-full", ""),
    ("many-ports", ROOT / "tests" / "recordings" / "docker28.5-nft-full", "2"),
)
"""A picture's name, its recorded host, and the keys pressed before it is taken."""


async def picture(host: Host, size: tuple[int, int], keys: str) -> str:
    app = Netdash(StillFeed(host), Options())
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.3)
        if keys:
            await pilot.press(*keys)
            await pilot.pause(0.3)
        return app.export_screenshot(title="netdash")


def main() -> int:
    convert = shutil.which("rsvg-convert")
    for name, bundle, keys in SCENES:
        host = Builder().build(load(bundle))
        for size in SIZES:
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
