"""`groundup convert`"""

from pathlib import Path

from groundup.cli.main import Parser
from groundup.language import shown


def main(arguments: list[str]) -> None:
    parser = Parser(
        "convert",
        "groundup convert runs/quickstart/pretrain/model --to gguf --quantize q8_0",
        description="Write a model as a Hugging Face directory or as a GGUF file for llama.cpp, and "
        "prove that it is still the same.",
    )
    parser.add_argument("model", metavar="MODEL",
                        help="a model directory, a .gguf file, llama2.c's .bin, or a hub id")  # fmt: skip
    parser.add_argument(
        "--to", required=True, choices=["huggingface", "gguf"], help="what to write"
    )
    parser.add_argument("--quantize", metavar="TYPE",
                        help="gguf: f32, f16 (the default), bf16, q8_0, q5_1, q5_0, q4_1, q4_0")  # fmt: skip
    parser.add_argument("--out", type=Path, help="where to write it (beside the model)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parsed = parser.parse(arguments)

    from groundup.cli.streams import print_json
    from groundup.weights.convert import convert

    made = convert(parsed.model, parsed.to, parsed.out, parsed.quantize)
    if parsed.json:
        print_json(
            {
                "out": str(made.out),
                "largest_logit_difference": made.largest_logit_difference,
                "unexplained_logit_difference": made.unexplained,
                "same_choice": made.same_choice,
                "kind": made.kind,
                "bytes": made.bytes,
            }
        )
        return
    print(shown(f"{made.out}: {made.kind}, {made.bytes / 1e6:,.1f} MB"))
    print(
        shown(
            f"largest logit difference to the source: {made.largest_logit_difference:.3g} "
            f"(beyond the format's rounding: {made.unexplained:.3g}); "
            f"the likeliest token is the same at {made.same_choice:.1%} of the places tried"
        )
    )
