"""The command line, `invgan`."""

from invgan.cli.commands import main

__all__ = ["main"]
