"""Figures against goldens: tolerances, the table of what got better or worse, blessing.

Of every figure less is better, except where its tolerance is {"change": P}: then any change beyond
P percent counts, whatever its direction. {"worse": P, "better": Q}: more than P percent worse fails,
and so does more than Q percent better, until it is blessed, because a golden that is left behind
hides the next loss. {"information": true} is shown, never judged. Values that are no numbers, and
null, must stay as they are."""
import json
import math
import os

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "golden")
BLESS = "BLESS=1 ctest --test-dir build/ci -L qor"
SAME, WITHIN, FAILS = 0, 1, 2
DIGITS = 6          # significant digits kept
TIME_MOVED = 1.5    # blessing keeps a time that moved by less: it is noise, not news


def tolerances():
    with open(os.path.join(HERE, "tolerances.json"), encoding="utf-8") as f:
        return json.load(f)


def golden_path(target):
    return os.path.join(FOLDER, target + ".json")


def read_golden(target):
    """{case: figures}; none where there is no file yet."""
    try:
        with open(golden_path(target), encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return {}


def rounded(value, digits=DIGITS):
    if not isinstance(value, float):
        return value
    value = float(f"{value:.{digits}g}")
    return int(value) if value.is_integer() else value


def write_golden(target, found):
    """One figure a line, cases and figures in the order in which they are measured."""
    old, out = read_golden(target), {}
    for name, figures in found.items():
        out[name] = {figure: rounded(value) for figure, value in figures.items()}
        if "time" in figures:
            before = old.get(name, {})
            kept = before.get("what") == figures.get("what") and \
                1 / TIME_MOVED <= figures["time"] / before.get("time", math.inf) <= TIME_MOVED
            out[name]["time"] = before["time"] if kept else rounded(figures["time"], 2)
    os.makedirs(FOLDER, exist_ok=True)
    with open(golden_path(target) + ".new", "w", encoding="utf-8") as f:
        json.dump(out, f, indent=1, ensure_ascii=False)
        f.write("\n")
    os.replace(golden_path(target) + ".new", golden_path(target))


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def ratio_of(old, new):
    if old == new:
        return 1.0
    return new / old if old else math.inf


class Row:
    """A figure of a case that is not as it was."""

    def __init__(self, case, figure, old, new, level, text):
        self.case, self.figure, self.old, self.new = case, figure, old, new
        self.level, self.text = level, text

    def cells(self):
        ratio = f"{ratio_of(self.old, self.new):.3f}" \
            if number(self.old) and number(self.new) else ""
        return (self.case, self.figure, shown(self.old), shown(self.new), ratio, self.text)


def shown(value):
    return "-" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)


def judge(old, new, tolerance):
    """(level, text) of a figure that is old in the golden and new now"""
    if tolerance.get("information"):
        return SAME, "information"
    if old == new:
        return SAME, ""
    if not number(old) or not number(new):
        return FAILS, "CHANGED"
    percent = 100 * (ratio_of(old, new) - 1)
    if "change" in tolerance:
        level = FAILS if abs(percent) > tolerance["change"] + 1e-9 else WITHIN
        return level, "CHANGED" if level == FAILS else "changed, within tolerance"
    if percent > 0:
        level = FAILS if percent > tolerance["worse"] + 1e-9 else WITHIN
        return level, f"WORSE by more than {tolerance['worse']} %" if level == FAILS else "worse"
    level = FAILS if -percent > tolerance["better"] + 1e-9 else WITHIN
    return level, "BETTER: to be blessed" if level == FAILS else "better"


def compare_case(case, old, new, limits):
    if ("refused" in old) != ("refused" in new):
        text = "WORSE: refused now" if "refused" in new else "BETTER: not refused, to be blessed"
        return [Row(case, "refused", old.get("refused"), new.get("refused"), FAILS, text)]
    rows = []
    for figure in list(old) + [name for name in new if name not in old]:
        if figure not in limits:
            rows.append(Row(case, figure, old.get(figure), new.get(figure), FAILS,
                            "has no tolerance in tolerances.json"))
        elif figure not in old or figure not in new:
            text = "NEW" if figure in new else "GONE"
            rows.append(Row(case, figure, old.get(figure), new.get(figure), FAILS, text))
        else:
            now = rounded(new[figure])
            level, text = judge(old[figure], now, limits[figure])
            if level != SAME:
                rows.append(Row(case, figure, old[figure], now, level, text))
    return rows


def compare(golden, found, limits):
    """The rows of everything that is not as it was."""
    gone = [case for case in golden if case not in found]
    rows = [Row(case, "", None, None, FAILS, "case is GONE") for case in gone]
    for case, figures in found.items():
        if case in golden:
            rows += compare_case(case, golden[case], figures, limits)
        else:
            rows.append(Row(case, "", None, None, FAILS, "case is NEW: to be blessed"))
    return rows


def pairs(golden, found, figure):
    """(case, old, new) wherever both are numbers above 0"""
    for case, figures in found.items():
        old, new = golden.get(case, {}).get(figure), figures.get(figure)
        if number(old) and number(new) and old > 0 and new > 0:
            yield case, old, rounded(new)


def table(head, rows):
    """Columns as wide as their content; the third to fifth are numbers, to the right."""
    rows = [head, *rows]
    width = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return ["  ".join(cell.rjust(width[i]) if 2 <= i <= 4 else cell.ljust(width[i])
                      for i, cell in enumerate(row)).rstrip() for row in rows]


def report(target, golden, found, rows, limits):
    """What got better or worse, as text."""
    count = sum(len(figures) for figures in found.values())
    failing = sum(row.level == FAILS for row in rows)
    lines = [f"{target}: {len(found)} cases, {count} figures; {len(rows)} not as in the golden "
             f"file, {failing} beyond tolerance"]
    order = sorted(rows, key=lambda row: (-row.level, row.text.lower().startswith("better")))
    if rows:
        lines += table(("case", "figure", "golden", "now", "ratio", ""),
                       [row.cells() for row in order])
    means = []
    for figure, limit in limits.items():
        both = [new / old for _, old, new in pairs(golden, found, figure)]
        if both and not limit.get("information"):
            mean = math.exp(sum(map(math.log, both)) / len(both))
            span = f"{min(both):.3f}", f"{max(both):.3f}"
            if min(both) != 1 or max(both) != 1:
                means.append((figure, f"{len(both)} cases", f"{mean:.4f}", *span))
    if means:
        lines += ["", "now / golden over all cases"]
        lines += table(("figure", "", "geometric mean", "least", "most"), means)
    times = list(pairs(golden, found, "time"))
    if times:
        lines += ["", "CPU time over that of the reference, measured, never judged"]
        lines += table(("case", "figure", "golden", "now", "ratio"),
                       [(case, "time", f"{old:.2g}", f"{new:.2g}", f"{new / old:.2f}")
                        for case, old, new in times])
    return "\n".join(lines)
