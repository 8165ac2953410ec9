"""`python -m taskd`: the full program."""

import sys


def main() -> int:
    """Run the command line of this process; its exit status."""
    if sys.argv[1:2] == ["merge-driver"]:
        from taskd import driver  # noqa: PLC0415 - git waits for it, once a file: nothing else is imported

        return driver.main(sys.argv[2:])
    from taskd.cli.main import main  # noqa: PLC0415 - see above

    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
