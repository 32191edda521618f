"""``gorillad restore``."""

import argparse


def restore(arguments: argparse.Namespace) -> int:
    """Restore."""
    return 1
