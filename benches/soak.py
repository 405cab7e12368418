#!/usr/bin/env python3
"""Turns what a soak wrote down into a report with plots.

usage: soak.py SEASON.json FOLDER COMMAND

FOLDER gets soak.md, and plots/ with soak-*.svg in it. COMMAND is what the report says it was written by.
"""

import datetime
import json
import pathlib
import re
import statistics
import sys

import plot_style

plot_style.use()
import matplotlib.pyplot as plt  # noqa: E402

MIB = 2**20
# A picture needs no more.
POINTS = 180
GREY = plot_style.GREY
COLOURS = ["#2f81f7", "#d9822b", "#2da44e", "#a371f7", "#db61a2"]

ASKED = ["report", "page", "deep page", "status", "group", "metrics", "timeline", "episodes", "review", "checkpoint"]
SHOWN = ASKED[:4]


def time_of(name: str, at: int):
    """What reads a latency out of a sample: 0 for the median, 1 for the 99th percentile."""
    return lambda sample: sample["times"].get(name, [None, None])[at]


def memory(at: int):
    return lambda sample: sample["memory"][at]


PLOTS = [
    ("rate", "Reports recorded per second", "reports/s", {"": lambda s: s["rate"]}),
    ("memory", "Memory of the server", "MiB", {"resident": memory(0), "of no file": memory(2)}),
    ("log", "SQLite's log", "MiB", {"": lambda s: s["log"] / MIB}),
    ("bytes", "Database file per report so far", "bytes", {"": lambda s: s["database"] / s["reports"]}),
    ("median", "Median latency at full speed", "ms", {name: time_of(name, 0) for name in SHOWN}),
    ("p99", "99th percentile at full speed", "ms", {name: time_of(name, 1) for name in SHOWN}),
    ("hosts", "Hosts, as /summary counts them", "hosts",
     {"stale": lambda s: s["summary"][3], "out of sync": lambda s: s["summary"][1], "failed": lambda s: s["summary"][2]}),
    ("handles", "Open handles and threads", "",
     {"handles": lambda s: s["handles"], "threads": lambda s: s["threads"]}),
]


def middle(samples: list[dict], value) -> float | None:
    """The median of what the samples have of a value."""
    values = [found for sample in samples if (found := value(sample)) is not None]
    return statistics.median(values) if values else None


def parts(samples: list[dict], number: int) -> list[list[dict]]:
    """So many stretches of about the same length."""
    ends = [round(len(samples) * at / number) for at in range(number + 1)]
    return [samples[start:end] for start, end in zip(ends, ends[1:]) if end > start]


def draw(samples: list[dict], name: str, title: str, unit: str, lines: dict, folder: pathlib.Path) -> None:
    figure, axes = plt.subplots(figsize=(6.4, 2.8), layout="constrained")
    stretches = parts(samples, min(POINTS, len(samples)))
    for colour, (label, value) in zip(COLOURS, lines.items()):
        points = [(stretch[-1]["days"], middle(stretch, value)) for stretch in stretches]
        points = [point for point in points if point[1] is not None]
        axes.plot(*zip(*points), label=label, color=colour, linewidth=1.4)
    axes.set_title(title, fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}" if value >= 10 else f"{value:g}")
    axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("day of the season")
    axes.set_ylabel(unit)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=GREY, ncols=2)
    path = folder / f"soak-{name}.svg"
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = path.read_text(encoding="utf-8").replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    path.write_text(re.sub(r"[ \t]+\n", "\n", text), encoding="utf-8")


def quarters(samples: list[dict]) -> list[str]:
    """A table of medians, a column for each quarter of the run."""
    rows = [
        ("reports/s", "{:,.0f}", lambda s: s["rate"]),
        ("resident memory, MiB", "{:.1f}", memory(0)),
        ("memory of no file, MiB", "{:.1f}", memory(2)),
        ("SQLite's log, MiB", "{:.1f}", lambda s: s["log"] / MIB),
        ("open handles", "{:.0f}", lambda s: s["handles"]),
        ("threads", "{:.0f}", lambda s: s["threads"]),
        *((f"{name}, {kind}, ms", "{:.2f}", time_of(name, at))
          for name in ASKED for at, kind in enumerate(["median", "p99"])),
    ]
    lines = ["| median of the samples | 1st quarter | 2nd | 3rd | 4th |", "|---|---:|---:|---:|---:|"]
    for name, form, value in rows:
        found = [middle(part, value) for part in parts(samples, 4)]
        cells = [form.format(number) if number is not None else "–" for number in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def report(run: dict, command: str) -> str:
    samples, seconds = run["samples"], run["seconds"]
    last = samples[-1]
    lines = [
        "# A season in an hour",
        "",
        f"`{command}`, {datetime.date.today()}, {run['machine']}, load generator on the same machine.",
        "",
        f"{run['hosts']:,} hosts reported every two minutes for {run['days']:.2f} days, in {seconds / 60:.1f} minutes: "
        f"**{run['days'] * 86400 / seconds:,.0f} times as fast** as they do, {run['reports']:,} reports, "
        f"{run['reports'] / seconds:,.0f} a second, each a request answered after commit and sync "
        f"(but for deployments, which are arrays). {run['repeated']:,} more were sent again, and known.",
        "",
        "Hosts drift, fail, fall silent for up to a day, report late and are deployed. By the season's clock, `/status`, a group, `/metrics` and a page of "
        "a history are asked for each minute or oftener, timelines, episodes and reviews each hour or six, and somebody walks through whole histories. "
        "At every sample, `/summary` must count hosts as the player does.",
        "",
        "| must hold | found | |",
        "|---|---|---|",
    ]
    for check in run["checks"]:
        lines.append(f"| {check['name']} | {check['found']} | {'holds' if check['holds'] else '**missed**'} |")
    lines += [
        "",
        f"The database file had {last['database'] / last['reports']:.1f} bytes for each report at the end. Latencies are those at full speed, "
        "where requests wait for each other; they are here to be compared with themselves.",
        "",
        *quarters(samples),
        "",
        *(f"![{title}](plots/soak-{name}.svg)" for name, title, _, _ in PLOTS),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    season, folder, command = sys.argv[1:]
    run = json.loads(pathlib.Path(season).read_text(encoding="utf-8"))
    if len(run["samples"]) < 8:
        raise SystemExit("soak.py: too few samples to draw")
    plots = folder / pathlib.Path("plots")
    plots.mkdir(parents=True, exist_ok=True)
    for name, title, unit, lines in PLOTS:
        draw(run["samples"], name, title, unit, lines, plots)
    (folder / pathlib.Path("soak.md")).write_text(report(run, command), encoding="utf-8")


if __name__ == "__main__":
    main()
