"""``python -m signxai`` is the command line."""

from signxai.cli import main

main()
