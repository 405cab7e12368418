#!/usr/bin/env python3
"""Sets runs of the figure `beside` against each other: keeps them in beside.json, writes beside.md.

usage: beside.py                          writes beside.md from beside.json
       beside.py COMMIT WHAT FIGURE.json  adds (or replaces) the run of a commit first

FIGURE.json is target/bench/figures/beside.json after `scripts/bench beside`.
"""

import json
import pathlib
import re
import sys

from report import median, number, rule

FOLDER = pathlib.Path(__file__).parent
KEPT = FOLDER / "beside.json"
PAGE = FOLDER / "beside.md"
# Places in a row of the figure's table: what was measured in quiet, beside it, and the ratio.
P50_RATIO, P99_RATIO, WORST_MILLIS, REFUSED = 2, 5, 7, 9

HEAD = """# Beside others

Written by `benches/beside.py`; what is measured and how: [`README.md`](README.md), the figure `beside`. Each column is a build,
measured by the same generator (`BENCH_BINARY=FILE scripts/bench --quick --seconds N beside`) on two processors. "Busy": other work took most of them meanwhile, so that
the quiet stretches were slow too, and ratios are smaller than on a free machine.

"""


def kept_of(commit: str, what: str, figure: dict) -> dict:
    return {
        "commit": commit,
        "what": what,
        "title": figure["title"],
        "verdicts": [
            {"label": each["label"], "unit": each["unit"], "value": float(number_text(median(each["values"]))), "target": each["target"]}
            for each in figure["verdicts"]
        ],
        "others": [
            {"beside": texts[0], "asked": texts[1], "numbers": [float(number_text(value)) for value in numbers]}
            for texts, numbers in figure["tables"][0]["rows"]
        ],
    }


def number_text(value: float) -> str:
    """Three digits: more are not worth keeping."""
    return f"{value:.3g}"


def rows(head: list[str], body: list[list[str]], texts: int) -> list[str]:
    lines = ["| " + " | ".join(row) + " |" for row in [head, *body]]
    return [lines[0], rule(texts, len(head) - texts), *lines[1:], ""]


def judged(runs: list[dict]) -> list[str]:
    """A row for each verdict of the newest run."""
    found = [{each["label"]: each for each in run["verdicts"]} for run in runs]
    body = []
    for verdict in runs[-1]["verdicts"]:
        target = verdict["target"]
        sign = "≥" if target["at_least"] else "≤"
        cells = [verdict["label"], f"{sign} {target['bound']:,g} {verdict['unit']}".strip()]
        for run in found:
            value = run.get(verdict["label"], {}).get("value")
            if value is None:
                cells.append("–")
                continue
            holds = value >= target["bound"] if target["at_least"] else value <= target["bound"]
            cells.append(number(value) if holds else f"**{number(value)}**")
        body.append(cells)
    return rows(["figure", "wanted"] + [f"`{run['commit']}`" for run in runs], body, 2)


def noticed(runs: list[dict]) -> list[str]:
    found = [{(each["beside"], each["asked"]): each["numbers"] for each in run["others"]} for run in runs]
    body = []
    for each in runs[-1]["others"]:
        cells = [each["beside"], each["asked"]]
        for run in found:
            numbers = run.get((each["beside"], each["asked"]))
            if numbers is None:
                cells.append("–")
                continue
            cell = f"{number(numbers[P50_RATIO])} × / {number(numbers[P99_RATIO])} × / {number(numbers[WORST_MILLIS])} ms"
            if numbers[REFUSED] > 0:
                cell += f", {number(numbers[REFUSED])} % refused"
            cells.append(cell)
        body.append(cells)
    return rows(["beside", "others ask"] + [f"`{run['commit']}`" for run in runs], body, 2)


def main() -> None:
    runs = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else []
    if len(sys.argv) == 4:
        commit, what, path = sys.argv[1:]
        figure = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
        runs = [run for run in runs if run["commit"] != commit] + [kept_of(commit, what, figure)]
        text = json.dumps(runs, ensure_ascii=False, indent=1)
        # Objects and lists that hold no others stand in one line each.
        text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda plain: re.sub(r"\s*\n\s*", " ", plain[0]), text)
        KEPT.write_text(text + "\n", encoding="utf-8")
    elif len(sys.argv) != 1:
        raise SystemExit(__doc__)
    lines = [f"- `{run['commit']}`: {run['what']} ({run['title']})" for run in runs]
    lines += ["", "## Against what is wanted", "", "Bold: not reached.", "", *judged(runs)]
    lines += ["## What others noticed", "", "p50 and p99 as ratios to the quiet stretch before, and the longest answer.", "", *noticed(runs)]
    PAGE.write_text(HEAD + "\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
