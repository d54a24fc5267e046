"""``python -m signxai`` is the command line."""

from signxai.cli.commands import main

main()
