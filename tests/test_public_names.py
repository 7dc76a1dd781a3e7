"""The names that users import."""

import subprocess
import sys

import groundup


def test_every_public_name_can_be_imported():
    for name in groundup.__all__:
        assert getattr(groundup, name) is not None


def test_importing_groundup_loads_no_torch():
    program = "import groundup, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_generate_is_a_function_even_after_its_package_was_imported():
    import groundup.generation.engine  # noqa: F401

    assert callable(groundup.generate)
