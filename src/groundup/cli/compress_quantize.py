"""`groundup compress quantize`"""

from groundup.cli.flags import typed
from groundup.cli.main import Parser
from groundup.errors import InputError
from groundup.language import shown

EXAMPLE = (
    "groundup compress quantize MODEL --bits 4 --method gptq --calibration book.txt --out small"
)


def main(arguments: list[str]) -> None:
    parser = Parser(
        "compress quantize", EXAMPLE,
        description="Keep a model's matrices in 8 or 4 bits: a quarter or less of the bytes, and quicker "
        "generation on a CPU.",
    )  # fmt: skip
    parser.add_argument(
        "model", metavar="MODEL", help="a run, model directory, .gguf file or hub id"
    )
    parser.add_argument("--bits", type=typed("--bits"), default="8", metavar="8|4",
                        help="bits for each number of the blocks (%(default)s)")  # fmt: skip
    parser.add_argument("--method", metavar="absmax|gptq",
                        help="round each number by itself, or so that products change least (gptq, "
                        "where there is a text)")  # fmt: skip
    parser.add_argument("--calibration", nargs="+", metavar="FILE", default=[],
                        help="text like the model's; its last tenth is measured on")  # fmt: skip
    parser.add_argument("--out", required=True, metavar="DIR", help="the model directory to write")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parsed = parser.parse(arguments)
    if not str(parsed.bits).isdigit():
        raise InputError(f"{parsed.bits!r} is no number of bits", "--bits", "use 8 or 4")

    from dataclasses import asdict

    from groundup.cli.streams import print_json
    from groundup.recipe.compress.quantize import quantize_model

    made = quantize_model(
        parsed.model, int(parsed.bits), parsed.method, parsed.calibration, parsed.out
    )
    if parsed.json:
        print_json(asdict(made) | {"model": str(made.model)})
        return
    share = made.bytes_after / made.bytes_before
    print(
        shown(
            f"{made.model}: {made.bytes_after / 1e6:,.1f} MB, {share:.1%} of "
            f"{made.bytes_before / 1e6:,.1f} MB in single precision"
        )
    )
    if made.bits_per_byte_before and made.bits_per_byte_after:
        more = made.bits_per_byte_after / made.bits_per_byte_before - 1
        print(
            shown(
                f"bits per byte: {made.bits_per_byte_before:.4f} before, "
                f"{made.bits_per_byte_after:.4f} after ({more:+.2%})"
            )
        )
