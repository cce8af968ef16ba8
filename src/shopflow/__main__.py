"""`python -m shopflow` is the command `shopflow`."""

from shopflow.cli import main

main()
