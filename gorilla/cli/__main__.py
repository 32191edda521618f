"""``gorilla``: the command line for people and scripts."""

from gorilla.cli.app import main

if __name__ == "__main__":
    main()
