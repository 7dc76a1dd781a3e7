"""`groundup compress quantize|prune|distill|report`"""

import importlib

from groundup.errors import unknown
from groundup.language import N_, shown

KINDS = {
    "quantize": (N_("keep its numbers in 8 or 4 bits"), "MODEL --bits 8"),
    "prune": (N_("take away what a model needs least"), "MODEL --pattern magnitude --sparsity 0.5"),
    "distill": (N_("let a small model learn from a large one"), "--teacher MODEL --student nano"),
    "report": (N_("what each variant costs and is worth"), "MODEL --text other.txt"),
}


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        kinds = [f"  {kind:<9} {shown(about)}" for kind, (about, _) in KINDS.items()]
        usage = shown("usage: groundup compress KIND [options]      groundup compress KIND --help")
        example = shown(f"example: groundup compress prune {KINDS['prune'][1]} --out runs/pruned")
        print("\n".join([usage, "", *kinds, "", example]))
        return
    kind, *rest = arguments
    if kind not in KINDS:
        raise unknown("kind of compression", kind, KINDS, "groundup compress")
    importlib.import_module(f"groundup.cli.compress_{kind}").main(rest)
