"""Changes one place of the source at a time and looks whether a test notices: ``python -m mutants`` (``make mutants``).

The pieces, in the order in which a run needs them:

- ``candidates``: every place that can be changed, by cosmic-ray's operators and three of our own; says what is left out.
- ``sampling``: a seeded sample of them, each package by its number of candidates.
- ``coverage_map``: which test runs which line, measured once for each test file and kept in ``.mutants/``.
- ``plans``: the tests that cover a mutant, the most promising first.
- ``testing``: all mutants against their first tests, then those that are left against all that cover them.
- ``forks``: a process in which torch is imported already; each mutant is tested in a fork of it, with the changed text in
  place of the module's file, which stays as it is.
- ``report``: survivors, and those that are known to be equivalent (``tests/mutants.toml``).
"""
