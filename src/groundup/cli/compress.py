"""`groundup compress quantize|prune|distill|report`"""

import importlib

from groundup.errors import unknown

KINDS = {
    "quantize": ("keep its numbers in 8 or 4 bits", "MODEL --bits 8"),
    "prune": ("take away what a model needs least", "MODEL --pattern magnitude --sparsity 0.5"),
    "distill": ("let a small model learn from a large one", "--teacher MODEL --student nano"),
    "report": ("what each variant costs and is worth", "MODEL --text other.txt"),
}


def main(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        kinds = [f"  {kind:<9} {about}" for kind, (about, _) in KINDS.items()]
        usage = "usage: groundup compress KIND [options]      groundup compress KIND --help"
        example = f"example: groundup compress prune {KINDS['prune'][1]} --out runs/pruned"
        print("\n".join([usage, "", *kinds, "", example]))
        return
    kind, *rest = arguments
    if kind not in KINDS:
        raise unknown("kind of compression", kind, KINDS, "groundup compress")
    importlib.import_module(f"groundup.cli.compress_{kind}").main(rest)
