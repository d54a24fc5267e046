"""What commands import lives to their end, and is left out of the search for garbage; what they make is not."""

import pytest

from processes import printed

STATE = "(gc.isenabled(), gc.get_freeze_count() > before)"  # Python 3.12 begins with some that are left out
TOLD = (
    f"import gc, sys; from signxai.cli.first_imports import importing_for_good; before = gc.get_freeze_count(); state = lambda: {STATE}; "
)
WITHIN = "entered = importing_for_good(); entered.__enter__(); print(*state()); entered.__exit__(None, None, None); print(*state())"


def test_what_is_imported_first_is_left_out_of_the_search_for_garbage():
    code = """
with importing_for_good():
    print(gc.isenabled(), end=" ")
    import torch
print(*state())
"""
    assert printed(TOLD + code) == "False True True"


def test_garbage_is_looked_for_after_an_import_that_fails():
    code = """
try:
    with importing_for_good():
        import there_is_no_such_module
except ModuleNotFoundError:
    print(*state())
"""
    assert printed(TOLD + code) == "True True"


def test_nothing_is_changed_where_torch_is_loaded():
    assert printed(f"{TOLD}sys.modules['torch'] = sys; {WITHIN}").split() == ["True", "False"] * 2


def test_nothing_is_changed_where_nobody_looks_for_garbage():
    assert printed(f"{TOLD}gc.disable(); {WITHIN}").split() == ["False", "False"] * 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain", "missing.png", "--model", "no_such_module:net", "--method", "gradient"],
        ["run", ".", "--model", "no_such_module:net", "--method", "gradient", "--store", "maps.zarr"],
        ["report", ".", "--output", "pages"],
        ["cluster", "."],
        ["export", ".", "--virelay", "maps"],
        ["text", "a film", "--model", "nowhere", "--method", "gradient"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_command_leaves_what_it_imports_out(arguments, tmp_path):
    code = f"""
from click.testing import CliRunner
from signxai.cli.commands import cli
print(CliRunner().invoke(cli, {arguments}).exit_code != 0, *state())
"""
    assert printed(TOLD + code, cwd=tmp_path) == "True True True"
