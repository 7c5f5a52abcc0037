"""`python -m invgan`, the same as the command `invgan`."""

from invgan.cli import main

main(prog_name="invgan")
