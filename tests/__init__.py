from tests.checked import lighten

lighten()
