"""Numbers and sentences of a report, the same in every output; and text of a record made safe to show.

Records come from anybody. :func:`plain` leaves no control character and no line break in what they say; each output
then escapes what its own format gives a meaning.
"""

from __future__ import annotations

from storybench.regression.comparing import SAYS, SPEED, Compared, Report, about

LONGEST = 300  # characters of a record's text that are shown


def plain(text: object, longest: int = LONGEST) -> str:
    """Return text without control characters, on one line and of bounded length."""
    said = "".join(c if c.isprintable() else " " for c in str(text))
    return said if len(said) <= longest else said[: longest - 1] + "…"


def value(of: Compared, number: float) -> str:
    """Return a value of the metric: percent for a share."""
    return f"{100 * number:.2f}" if of.fraction else f"{number:.4g}"


def gap(of: Compared, number: float) -> str:
    """Return a difference with its sign: points for a share."""
    rounded = f"{100 * number:+.2f}" if of.fraction else f"{number:+.3g}"
    return f"{0.0:+.2f}" if float(rounded) == 0 and of.fraction else rounded


def size(of: Compared, number: float) -> str:
    """Return a difference without its sign."""
    return f"{100 * number:.2f}" if of.fraction else f"{number:.3g}"


def interval(of: Compared) -> str:
    """Return ``new - base`` with its interval."""
    low, high = of.difference.low, of.difference.high
    if low is None or high is None:
        return f"{gap(of, of.difference.value)} [not known]"
    return f"{gap(of, of.difference.value)} [{gap(of, low)}, {gap(of, high)}]"


def arrow(of: Compared) -> str:
    """Return the better direction."""
    return "↑" if of.higher_is_better else "↓"


def unit(of: Compared) -> str:
    """Return what differences are counted in."""
    return " points" if of.fraction else ""


def percent(level: float) -> str:
    """Return a level as percent with the digits it needs: ``95``, ``98.75``."""
    return f"{100 * level:.4g}"


def note(of: Compared) -> str:
    """Return in words what a verdict leaves open; empty where it says all."""
    if of.verdict == "unclear":
        if of.excluded is None:
            return "nothing can be excluded: the spread is not known with so few stories"
        said = (
            f"a loss of more than {size(of, of.excluded)}{unit(of)} is excluded, one of the margin is not: "
            "more stories are needed"
        )
        return said + (f", about {of.needed:,} units if the difference stays" if of.needed is not None else "")
    if of.verdict == "regression":
        return f"a loss is established, by up to {size(of, of.excluded or 0.0)}{unit(of)}"
    low_side = of.difference.high if of.higher_is_better else of.difference.low
    if of.verdict == "held" and low_side is not None and (low_side < 0 if of.higher_is_better else low_side > 0):
        return "a loss is established and is smaller than the margin"
    return ""


def headline(report: Report) -> str:
    """Return the outcome in one sentence."""
    if report.problems:
        return f"UNUSABLE: {'; '.join(plain(problem) for problem in report.problems)}."
    unclear = report.of("unclear")
    parts = []
    if report.failures:
        parts.append(f"REGRESSION of {', '.join(report.failures)}")
    else:
        parts.append(f"HELD: {len(report.gated) - len(unclear)} of {len(report.gated)} gated metrics")
    if unclear and report.gate.on_unclear == "pass":
        parts.append(f"{', '.join(unclear)} unclear: too few stories to exclude a loss beyond the margin")
    if improved := report.of("improved"):
        parts.append(f"{', '.join(improved)} improved")
    return plain("; ".join(parts) + ".")


def terms(report: Report) -> str:
    """Return what the verdicts rest on: gate, level, units, margins."""
    margins = ", ".join(f"{each.metric} {size(each, each.margin or 0.0)}{unit(each)}" for each in report.gated)
    return plain(
        f"gate {report.gate.name}: {percent(report.level)} % intervals of {len(report.gated)} metrics, together "
        f"{percent(1 - report.gate.level)} %; {report.units} units; margins: {margins or 'none'}; "
        f"unclear {'fails' if report.gate.on_unclear == 'fail' else 'passes'}"
    )


def who(report: Report) -> list[tuple[str, str]]:
    """Return base and new in words."""
    out = []
    for label, side in (("base", report.base), ("new", report.new)):
        facts = about(side)
        out.append(
            (
                label,
                plain(f"{facts['name']} ({facts['model']}, seed {facts['seed']}, fingerprint {facts['fingerprint']})"),
            )
        )
    return out


def stories(report: Report) -> str:
    """Return what both sides are about."""
    facts = about(report.base)
    return plain(
        f"{facts['data_set']} {facts['subset']}, selection {facts['selection']}, text {facts['text']}, "
        f"{facts['stories']} stories, {facts['frames']} frames, data {facts['data_hash']}"
    )


def speed(report: Report) -> str | None:
    """Return what is said of the speed; None where the gate does not ask."""
    found = report.speed
    if found is None:
        return None
    if found.change is None:
        return plain(f"{SPEED} not compared: {found.reason or 'base drew in no time'}")
    said = "slower than the gate allows" if found.is_slower else "within the gate"
    return (
        f"{SPEED} {found.base:.3f} -> {found.new:.3f} s, {100 * found.change:+.1f} %, "
        f"limit {100 * found.limit:+.0f} %: {said}"
    )


def outcome(report: Report) -> str:
    """Return ``held``, ``regression`` or ``unusable``."""
    return SAYS[report.status]
