"""Statistics, the table, the JSON and the charts of a run of benchmarks.

A figure is (group, row, unit, peer) with a list of values, one a round; `better` says which way is up.
"""
import html
import json
import statistics


class Figures:
    def __init__(self):
        self.rows = {}  # (group, row) -> {"unit", "better", "peers": {peer: [values]}}

    def add(self, group, row, unit, better, peer, value):
        entry = self.rows.setdefault((group, row), {"unit": unit, "better": better, "peers": {}})
        entry["peers"].setdefault(peer, []).append(value)

    def keep(self, path):
        """Takes the rows of the file at PATH that are not measured anew; where there is a file."""
        mine, self.rows = self.rows, {}
        for row in read(path):
            self.rows[row["group"], row["row"]] = {
                "unit": row["unit"], "better": row["better"],
                "peers": {peer: seen["values"] for peer, seen in row["peers"].items()}}
        self.rows.update(mine)

    def keep_peers(self, earlier):
        """Takes the figures of EARLIER, by read(), for peers and rows that are not measured anew."""
        mine, self.rows = self.rows, {}
        for row in earlier:
            for peer, seen in row["peers"].items():
                if peer not in mine.get((row["group"], row["row"]), {"peers": {}})["peers"]:
                    for value in seen["values"]:
                        self.add(row["group"], row["row"], row["unit"], row["better"], peer, value)
        for (group, row), entry in mine.items():
            for peer, values in entry["peers"].items():
                for value in values:
                    self.add(group, row, entry["unit"], entry["better"], peer, value)

    def groups(self):
        return list(dict.fromkeys(group for group, _ in self.rows))

    def of(self, group):
        return {row: entry for (g, row), entry in self.rows.items() if g == group}


def read(path):
    """The figures of a file that write_json wrote; none where there is no file."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)["figures"]
    except FileNotFoundError:
        return []


def summary(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "n": len(values),
            "values": values}


def short(value):
    """Three digits that count."""
    for limit, divisor, suffix in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= limit:
            value, end = value / divisor, suffix
            break
    else:
        end = ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f}{end}"


def table(figures, group):
    rows = figures.of(group)
    peers = list(dict.fromkeys(peer for entry in rows.values() for peer in entry["peers"]))
    lines = [f"### {group}", "", "| figure | unit | " + " | ".join(peers) + " |",
             "|---|---|" + "---|" * len(peers)]
    for row, entry in rows.items():
        cells = []
        for peer in peers:
            values = entry["peers"].get(peer)
            if not values:
                cells.append("-")
                continue
            s = summary(values)
            cell = short(s["median"])
            if s["n"] > 1:
                cell += f" ({short(s['min'])}–{short(s['max'])}, {s['n']})"
            cells.append(cell)
        lines.append(f"| {row} | {entry['unit']} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def ratio(figures, group, row, ours, others):
    """Ours against the best of the others, round by round: the median of the quotients; None when one lacks."""
    entry = figures.of(group).get(row)
    if not entry or not entry["peers"].get(ours):
        return None
    there = [entry["peers"][peer] for peer in others if entry["peers"].get(peer)]
    if not there:
        return None
    best = max if entry["better"] == "more" else min
    quotients = [value / best(values[i] for values in there if i < len(values))
                 for i, value in enumerate(entry["peers"][ours])
                 if any(i < len(values) for values in there) and
                 best(values[i] for values in there if i < len(values))]
    return statistics.median(quotients) if quotients else None


def write_json(figures, facts, path):
    out = {"facts": facts, "figures": [
        {"group": group, "row": row, "unit": entry["unit"], "better": entry["better"],
         "peers": {peer: summary(values) for peer, values in entry["peers"].items()}}
        for (group, row), entry in figures.rows.items()]}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(out, file, indent=1)


STYLE = """
svg { color-scheme: light dark; font: 12px system-ui, sans-serif }
.back { fill: #fff } text { fill: #1a1a1a } .unit, .range { fill: #666 } .whisker { stroke: #333 }
@media (prefers-color-scheme: dark) {
 .back { fill: #161616 } text { fill: #e8e8e8 } .unit, .range { fill: #9a9a9a } .whisker { stroke: #ddd } }
"""
COLOURS = ("#3b82c4", "#7ab3e0", "#d9822b", "#e8ae6e", "#8a63b5", "#b79bd3", "#4a9d5b", "#8f8f8f")
LEFT, WIDTH, BAR, GAP = 330, 1020, 13, 16


def chart(figures, group):
    """One horizontal bar a peer and figure; in each figure the longest is its largest median."""
    rows = figures.of(group)
    peers = list(dict.fromkeys(peer for entry in rows.values() for peer in entry["peers"]))
    colours = {peer: COLOURS[i % len(COLOURS)] for i, peer in enumerate(peers)}
    parts, y, room = [], 50, WIDTH - LEFT - 190
    for i, peer in enumerate(peers):
        x = 16 + i % 4 * 220
        top = 26 + i // 4 * 18
        parts.append(f'<rect x="{x}" y="{top}" width="11" height="11" fill="{colours[peer]}"/>'
                     f'<text x="{x + 17}" y="{top + 10}">{html.escape(peer)}</text>')
        y = top + 36
    for row, entry in rows.items():
        top = max(max(values) for values in entry["peers"].values()) or 1
        arrow = "more is better" if entry["better"] == "more" else "less is better"
        parts.append(f'<text x="16" y="{y + 10}">{html.escape(row)}</text>'
                     f'<text class="unit" x="16" y="{y + 25}">{html.escape(entry["unit"])}, {arrow}</text>')
        for peer, values in entry["peers"].items():
            s = summary(values)
            end, low, high = (LEFT + room * s[key] / top for key in ("median", "min", "max"))
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{max(end - LEFT, 0.5):.1f}" height="{BAR - 2}" '
                         f'fill="{colours[peer]}"><title>{html.escape(peer)}</title></rect>')
            if s["n"] > 1:
                parts.append(f'<path class="whisker" d="M{low:.1f} {y + 5.5}H{high:.1f}"/>')
            parts.append(f'<text x="{max(end, high) + 6:.1f}" y="{y + 10}">{short(s["median"])}</text>')
            y += BAR
        y += GAP + max(0, 2 - len(entry["peers"])) * BAR
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}">'
            f'<style>{STYLE}</style><rect class="back" width="100%" height="100%"/>'
            f'<text x="16" y="17" font-weight="bold">{html.escape(group)}</text>' + "".join(parts) + "</svg>\n")
