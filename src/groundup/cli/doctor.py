"""`groundup doctor`"""

from pathlib import Path

from groundup.cli.main import Parser
from groundup.language import shown


def main(arguments: list[str]) -> None:
    parser = Parser(
        "doctor",
        "groundup doctor --run runs/book",
        description="Look for what is wrong: with this machine, or with a run.",
    )
    parser.add_argument("--run", metavar="DIR", help="a run directory, finished or under way")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parsed = parser.parse(arguments)

    from dataclasses import asdict

    from groundup.cli.streams import print_json
    from groundup.doctor.machine import machine_facts, machine_findings

    if parsed.run:
        from groundup.doctor.examine import examine

        facts, findings = {}, examine(Path(parsed.run))
    else:
        facts = machine_facts(Path("runs"))
        findings = list(machine_findings(facts))
    if parsed.json:
        told = {"findings": [asdict(finding) for finding in findings]}
        print_json(told | ({"machine": facts} if facts else {}))
        return
    for name, value in facts.items():
        print(f"{shown(name.replace('_', ' ')):<18} {_readable(name, value)}")
    print(shown(f"findings: {len(findings)}" if findings else "nothing to complain about"))
    for number, finding in enumerate(findings, start=1):
        print(f"\n{number}. {shown(finding.what)}  [{finding.kind}]")
        print(f"   {shown('evidence')}: {shown(finding.evidence)}")
        print(f"   {shown('fix')}: {shown(finding.fix)}")


def _readable(name: str, value: object) -> str:
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value / 1e9:.1f} GB"
    if isinstance(value, dict):
        return ", ".join(f"{kind} {speed / 1e9:,.0f} GFLOP/s" for kind, speed in value.items())
    return str(value)
