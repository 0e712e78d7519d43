"""A report as JUnit XML: one test case a gated metric, so that any continuous integration shows it."""

from __future__ import annotations

from xml.etree import ElementTree as Xml

from storybench.regression.comparing import SPEED, Compared, Report
from storybench.regression.wording import (
    headline,
    interval,
    note,
    percent,
    plain,
    size,
    speed,
    stories,
    unit,
    value,
    who,
)

SUITE = "storybench compare"


def junit(report: Report) -> str:
    """Return the XML: a regression is a failure, what cannot be compared an error, an unclear verdict a warning."""
    cases = [_case(report, each) for each in report.gated]
    cases += [
        _absent(report, each.metric, each.reason, required=each.required) for each in report.not_compared if each.gated
    ]
    if report.speed is not None:
        cases.append(_speed(report))
    if report.problems and not any(case.find("error") is not None for case in cases):
        cases.append(_absent(report, "gate", "; ".join(report.problems), required=True))
    return _document(f"{SUITE}: {report.gate.name}", cases, _properties(report))


def junit_of_error(sentence: str, gate: str) -> str:
    """Return the XML of a comparison that could not be made at all."""
    case = Xml.Element("testcase", classname=f"storybench.gate.{plain(gate)}", name="comparable")
    Xml.SubElement(case, "error", message=plain(sentence))
    return _document(f"{SUITE}: {plain(gate)}", [case], {})


def _case(report: Report, each: Compared) -> Xml.Element:
    case = _named(report, each.metric)
    said = (
        f"{each.metric}: {value(each, each.base)} -> {value(each, each.new)}, {interval(each)}{unit(each)} at "
        f"{percent(each.level)} %, margin {size(each, each.margin or 0.0)}, {each.difference.units} units: "
        f"{each.verdict}"
    )
    said = plain(f"{said}; {note(each)}" if note(each) else said)
    if each.metric in report.failures:
        Xml.SubElement(case, "failure", message=said, type=str(each.verdict))
    else:
        prefix = "WARNING: " if each.verdict == "unclear" else ""
        Xml.SubElement(case, "system-out").text = prefix + said
    return case


def _absent(report: Report, name: str, reason: str, *, required: bool) -> Xml.Element:
    case = _named(report, name)
    Xml.SubElement(case, "error" if required else "skipped", message=plain(reason))
    return case


def _speed(report: Report) -> Xml.Element:
    case = _named(report, SPEED)
    said = speed(report) or ""
    if report.speed is not None and report.speed.is_slower:
        Xml.SubElement(case, "failure", message=said, type="slower")
    elif report.speed is not None and report.speed.change is None:
        Xml.SubElement(case, "skipped", message=said)
    else:
        Xml.SubElement(case, "system-out").text = said
    return case


def _named(report: Report, name: str) -> Xml.Element:
    return Xml.Element("testcase", classname=f"storybench.gate.{plain(report.gate.name)}", name=plain(name))


def _properties(report: Report) -> dict[str, str]:
    margins = ", ".join(f"{each.metric}={each.margin:g}" for each in report.gated)
    return {
        **dict(who(report)),
        "on": stories(report),
        "gate": report.gate.name,
        "level": f"{report.level:g}",
        "units": str(report.units),
        "margins": margins,
        "outcome": headline(report),
    }


def _document(name: str, cases: list[Xml.Element], properties: dict[str, str]) -> str:
    """Return a suite as text."""
    counts = {
        "name": name,
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
    }
    suites = Xml.Element("testsuites")
    suite = Xml.SubElement(suites, "testsuite", counts)
    if properties:
        parent = Xml.SubElement(suite, "properties")
        for key, said in properties.items():
            Xml.SubElement(parent, "property", name=key, value=plain(said))
    suite.extend(cases)
    Xml.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + Xml.tostring(suites, encoding="unicode") + "\n"
