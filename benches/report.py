#!/usr/bin/env python3
"""Turns what the figures wrote down into a report with plots.

usage: report.py RESULTS_FOLDER REPORT.md [PYTHON_OF_THE_STAND-IN]

RESULTS_FOLDER holds run.json and a JSON file for each figure; plots go to plots/ beside the report.
"""

import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

import plot_style

ORDER = (
    "ingest arrays latency pushgateway flask status history review start export proofs scrape "
    "memory growth size beside"
).split()
GREY = plot_style.GREY
COLOURS = ["#2f81f7", "#d9822b", "#2da44e", "#a371f7", "#db61a2", "#808890"]


def said(*command: str) -> str:
    """The first line of what a command prints, or nothing."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError:
        return ""
    return ((run.stdout or run.stderr).splitlines() or [""])[0].strip()


def number(value: float) -> str:
    """Three digits, and thousands apart."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"


def with_unit(value: float, unit: str) -> str:
    return f"{number(value)} {unit}".strip()


def median(values: list[float]) -> float:
    return statistics.median(values)


def spread(values: list[float]) -> str:
    if len(values) == 1:
        return "one round"
    return f"{number(min(values))} to {number(max(values))}"


# ---- the report ----


def machine() -> list[tuple[str, str]]:
    cpu = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    model = re.search(r"model name\s*: (.*)", cpu)
    memory = re.search(r"MemTotal:\s*(\d+)", pathlib.Path("/proc/meminfo").read_text(encoding="utf-8"))
    return [
        ("processors", f"{os.cpu_count()} × {model.group(1) if model else platform.machine()}"),
        ("memory", f"{int(memory.group(1)) / 2**20:.0f} GiB" if memory else "?"),
        ("disk", said("findmnt", "-n", "-o", "FSTYPE", "-T", ".") or "?"),
        ("system", f"Linux {platform.release()}"),
    ]


def versions(run: dict, python: str) -> list[tuple[str, str]]:
    stack = said(
        python,
        "-c",
        "import importlib.metadata as m, platform as p; "
        "print(*[f'{n} {m.version(n)}' for n in ('Flask', 'Werkzeug', 'waitress')], "
        "'Python ' + p.python_version(), sep=', ')",
    )
    dirty = "" if not said("git", "status", "--porcelain", "--", "src", "migrations") else " and changes"
    pushgateway = re.sub(r"pushgateway, version (\S+).*", r"\1", said("prometheus-pushgateway", "--version"))
    return [
        ("gitops-status-server", f"commit {said('git', 'rev-parse', '--short', 'HEAD')}{dirty}"),
        ("Rust", said("rustc", "--version").removeprefix("rustc ").split(" ")[0]),
        ("SQLite, bundled", run["sqlite"]),
        ("`sqlite3` shell", said("sqlite3", "--version").split(" ")[0]),
        ("prometheus-pushgateway", pushgateway),
        ("the stand-in's stack", stack),
    ]


def pinning(run: dict) -> str:
    return {
        "generator": "pinned to the last processor; the server may use all",
        "apart": "pinned to the last processor; the server has the others",
        "none": "not pinned",
    }[run["pinned"]]


def verdict_line(verdict: dict) -> str:
    target = verdict["target"]
    value, bound, stretch = median(verdict["values"]), target["bound"], target["stretch"]
    least = target["at_least"]

    def reaches(goal: float) -> bool:
        return value >= goal if least else value <= goal

    unit = verdict["unit"]
    asked = f"{'≥' if least else '≤'} {bound:,g} {unit}"
    mark = "holds" if reaches(bound) else "**missed**"
    if stretch is not None:
        asked += f" (★ {stretch:g})"
        mark += ", ★" if reaches(stretch) else ""
    cells = [
        verdict["label"],
        verdict["against"] or "–",
        with_unit(value, unit),
        spread(verdict["values"]),
        asked,
        mark,
    ]
    return "| " + " | ".join(cells) + " |"


def rule(texts: int, numbers: int) -> str:
    """The line below a table's head."""
    return "|" + "---|" * texts + "---:|" * numbers


def table_lines(table: dict) -> list[str]:
    texts = len(table["rows"][0][0])
    lines = ["| " + " | ".join(table["head"]) + " |", rule(texts, len(table["head"]) - texts)]
    lines += ["| " + " | ".join(row[0] + [number(value) for value in row[1]]) + " |" for row in table["rows"]]
    return lines + [""]


def figure_section(figure: dict, folder: str) -> list[str]:
    lines = [f"### {figure['name']}: {figure['title']}", ""]
    if figure["rows"]:
        lines += ["| measured | median | rounds |", "|---|---:|---|"]
        for row in figure["rows"]:
            value = with_unit(median(row["values"]), row["unit"])
            lines.append(f"| {row['label']} | {value} | {spread(row['values'])} |")
        lines.append("")
    for table in figure["tables"]:
        lines += table_lines(table)
    for note in figure["notes"]:
        lines += [note, ""]
    for plot in figure["plots"]:
        lines += [f"![{plot['title']}]({folder}/{plot['file']}.svg)", ""]
    return lines


INSTRUCTIONS = pathlib.Path(__file__).with_name("instructions.json")
# What a counted figure is per, where it is not one report.
PER = {"line": "entry", "page": "page of 100 rows", "review": "review of 100 hosts", "export/csv": "row", "export/ndjson": "row"}


def instructions_section() -> list[str]:
    """The counts that the regression guard holds later changes to: no busy machine moves them."""
    counted = json.loads(INSTRUCTIONS.read_text(encoding="utf-8"))
    lines = ["### instructions: counted by callgrind", "", "| counted | instructions | per |", "|---|---:|---|"]
    for name, count in counted["instructions"].items():
        lines.append(f"| `{name}` | {count:,} | {PER.get(name, 'report')} |")
    lines += [
        "",
        f"Committed with {counted['tools']['rustc']}; what each of them is: [`instructions.md`](instructions.md). "
        "Where the instructions and the time go, before and after: [`profile.md`](profile.md).",
        "",
    ]
    return lines


def report(run: dict, figures: list[dict], python: str) -> str:
    minutes = sum(figure["seconds"] for figure in figures) / 60
    stolen = max(figure["stolen"] for figure in figures) * 100
    verdicts = [verdict for figure in figures for verdict in figure["verdicts"]]
    lines = ["# Measured", ""]
    lines += ["Written by `scripts/bench`; what each figure means: [`README.md`](README.md).", ""]
    lines += ["| | |", "|---|---|"]
    facts = [("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"))]
    facts += machine() + versions(run, python)
    facts += [
        ("load generator", f"ours (`support/load.rs`), one thread, {pinning(run)}"),
        ("run", f"{run['plan']}: {run['rounds']} rounds of {run['round_seconds']} s for most sides, which take turns; {minutes:.0f} minutes"),
        ("neighbours", f"{run.get('busy', 0) * 100:.0f} % of the processors' time went to other work before the run; the hypervisor took at most {stolen:.0f} % during a figure"),
    ]
    lines += [f"| {name} | {value} |" for name, value in facts]
    lines += ["", "## Against the targets", ""]
    lines += ["Medians of the rounds; × is a ratio within a round. ★ is a target that nobody expects to be reached.", ""]
    lines += ["| figure | compared to | median | rounds | target | |", "|---|---|---:|---|---|---|"]
    lines += [verdict_line(verdict) for verdict in verdicts]
    lines += ["", "## Every figure", ""]
    for figure in figures:
        lines += figure_section(figure, "plots")
    lines += instructions_section()
    return "\n".join(lines).rstrip() + "\n"


# ---- the plots ----


def draw(plot: dict, path: pathlib.Path) -> None:
    plot_style.use()
    import matplotlib.pyplot as plt

    height = 1.9 if plot["stacked"] else 3.2
    figure, axes = plt.subplots(figsize=(6.4, height), layout="constrained")
    axes.set_title(plot["title"], fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    (bars if plot["stacked"] else curves)(axes, plot)
    axes.set_axisbelow(True)
    figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    text = path.read_text(encoding="utf-8")
    # matplotlib measures with the font that it brings; who looks may have others.
    text = text.replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, sans-serif")
    # Blanks before line ends are noise in a diff.
    path.write_text(re.sub(r"[ \t]+\n", "\n", text), encoding="utf-8")


def curves(axes, plot: dict) -> None:
    places = list(dict.fromkeys(place for line in plot["lines"] for place, _ in line["points"]))
    for at, line in enumerate(plot["lines"]):
        xs = [places.index(place) for place, _ in line["points"]]
        middle = [median(values) for _, values in line["points"]]
        low = [centre - min(values) for centre, (_, values) in zip(middle, line["points"])]
        high = [max(values) - centre for centre, (_, values) in zip(middle, line["points"])]
        colour = COLOURS[at % len(COLOURS)]
        axes.errorbar(
            xs, middle, yerr=[low, high], label=line["label"], color=colour, marker="o",
            markersize=4, linewidth=1.8, elinewidth=0.9, capsize=2.5,
        )
    axes.set_xticks(range(len(places)), places)
    axes.set_xlim(-0.3, len(places) - 0.7)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
    axes.set_xlabel(plot["x"])
    axes.set_ylabel(plot["y"])
    if len(plot["lines"]) > 1:
        axes.legend(frameon=False, fontsize=9, labelcolor=GREY)


def bars(axes, plot: dict) -> None:
    left = 0.0
    for at, line in enumerate(plot["lines"]):
        (_, values), *_ = line["points"]
        width = median(values)
        label = f"{line['label']} {number(width)}"
        axes.barh([0], [width], left=left, height=0.5, color=COLOURS[at % len(COLOURS)], label=label)
        left += width
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"{plot['y']}, {number(left)} in all")
    axes.legend(frameon=False, fontsize=9, labelcolor=GREY, ncols=3, loc="lower left", bbox_to_anchor=(0, 1.15), borderaxespad=0)
    axes.set_title(plot["title"], fontsize=11, loc="left", pad=40)


def main() -> None:
    folder, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    python = sys.argv[3] if len(sys.argv) > 3 else sys.executable
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    figures = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (folder / f"{name}.json" for name in ORDER)
        if path.exists()
    ]
    if not figures:
        raise SystemExit(f"report.py: no figures in {folder}")
    plots = target.parent / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    for figure in figures:
        for plot in figure["plots"]:
            draw(plot, plots / f"{plot['file']}.svg")
    target.write_text(report(run, figures, python), encoding="utf-8")


if __name__ == "__main__":
    main()
