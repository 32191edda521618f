"""Entry point of ``gorilla``."""

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    return 2


if __name__ == "__main__":
    sys.exit(main())
