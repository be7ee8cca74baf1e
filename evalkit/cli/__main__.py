"""`python -m evalkit.cli`: the command line without its installed script."""

from evalkit.cli import main

main()
