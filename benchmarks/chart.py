"""The one chart of the README: how many times as fast as a named peer, on a logarithmic axis, drawn as SVG."""

from __future__ import annotations

from html import escape
from math import log10

from harness.results import Results
from harness.spec import Goal

BARS = [
    ("seq", "one", "queue.Queue", "put + get, one thread"),
    ("seq", "one", "queue.SimpleQueue", "put + get, one thread"),
    ("spsc1000", "split", "queue.Queue", "Queue(1000), two threads"),
    ("stream", "split", "queue.SimpleQueue", "unbounded, two threads"),
    ("batch64", "split", "queue.SimpleQueue", "batches of 64, two threads"),
    ("pingpong", "same", "queue.Queue", "ping-pong on one CPU"),
    ("pingpong", "split", "queue.Queue", "ping-pong across CPUs"),
    ("thread-asyncio100", "split", "janus", "thread to asyncio"),
    ("thread-asyncio100", "split", "culsans", "thread to asyncio"),
    ("asyncio100", "one", "asyncio.Queue", "asyncio to asyncio"),
    ("priority", "one", "queue.PriorityQueue", "PriorityQueue of 1000"),
]
OURS = {"priority": "concx.PriorityQueue"}
WIDTH, LEFT, RIGHT, TOP, BAR, GAP = 840, 345, 50, 64, 13, 12
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f } .peer { fill: #6e7781 } .value { font-size: 11px }
  .title { font-size: 15px; font-weight: 600 } .grid { stroke: #d0d7de } .one { stroke: #24292f; stroke-width: 1.5 }
  .b0 { fill: #1f6feb } .b1 { fill: #bf8700 } .b2 { fill: #1a7f37 } .b3 { fill: #8250df }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .peer { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #e6edf3 }
    .b0 { fill: #4493f8 } .b1 { fill: #d29922 } .b2 { fill: #3fb950 } .b3 { fill: #ab7df8 } }
"""


def shown(results: Results) -> list[str]:
    """At most three builds: the oldest Python with a GIL, the newest, and the free-threaded one."""
    with_gil = [name for name, build in results.builds.items() if not build["free_threaded"]]
    free = [name for name, build in results.builds.items() if build["free_threaded"]]
    minor = [results.builds[name]["version"].split(".")[1] for name in with_gil]
    oldest = [name for name, number in zip(with_gil, minor, strict=True) if number == minor[0]]
    return list(dict.fromkeys([*oldest[-1:], *with_gil[-1:], *free[-1:]]))


def chart(results: Results) -> str:
    """The SVG text."""
    builds = shown(results)
    groups = []
    for name, variant, peer, label in BARS:
        row, goal = results.rows[name], Goal(OURS.get(name, "concx.Queue"), (peer,))
        verdicts = [results.verdict(row, variant, build, goal) for build in builds]
        if any(verdicts):
            groups.append(
                (label, peer, [verdict.ratio if verdict else None for verdict in verdicts])
            )
    ratios = [ratio for _, _, values in groups for ratio in values if ratio]
    low, high = min([0.5, *ratios]) * 0.9, max([10, *ratios]) * 1.3
    step = BAR * len(builds) + GAP
    height = TOP + step * len(groups) + 34

    def x(ratio: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * log10(ratio / low) / log10(high / low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>concx: times as fast as the named peer</title>",
        f"<style>{STYLE}</style>",
        '<text class="title" x="8" y="22">concx: times as fast as the named peer (logarithmic)</text>',
    ]
    for place, build in enumerate(builds):
        at, version = 8 + 150 * place, build.removeprefix("cpython-")
        kind = "free-threaded" if results.builds[build]["free_threaded"] else "GIL"
        out.append(f'<rect class="b{place}" x="{at}" y="36" width="11" height="11"/>')
        out.append(f'<text x="{at + 17}" y="46">{escape(version)} {kind}</text>')
    for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100):
        if low <= tick <= high:
            line = f'x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 6}" y2="{height - 28}"'
            out.append(f'<line class="{"one" if tick == 1 else "grid"}" {line}/>')
            out.append(
                f'<text text-anchor="middle" x="{x(tick):.1f}" y="{height - 12}">{tick:g}\u00d7</text>'
            )
    for index, (label, peer, values) in enumerate(groups):
        top = TOP + step * index
        middle = top + BAR * len(builds) / 2 + 4
        out.append(f'<text x="8" y="{middle:.1f}">{escape(label)}</text>')
        out.append(f'<text class="peer" x="186" y="{middle:.1f}">vs {escape(peer)}</text>')
        for place, ratio in enumerate(values):
            if ratio is None:
                continue
            begin, end = sorted((x(1), x(ratio)))
            y = top + BAR * place
            box = f'x="{begin:.1f}" y="{y}" width="{max(1.0, end - begin):.1f}" height="{BAR - 2}"'
            out.append(f'<rect class="b{place}" {box}/>')
            out.append(
                f'<text class="value" x="{max(end, x(1)) + 4:.1f}" y="{y + 10}">{ratio:.2g}</text>'
            )
    return "\n".join([*out, "</svg>"]) + "\n"
