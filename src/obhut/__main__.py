"""``obhut`` and ``python -m obhut``: signals are handled before anything else is loaded."""

import sys

from obhut import signals


def main() -> None:
    """The program."""
    try:
        signals.install()
        from obhut.cli.main import main as program

        program()
    except signals.Interrupted as told:
        # Before the command line was read: nothing has begun, so there is nothing to say but the exit code.
        sys.exit(told.exit_code)


if __name__ == "__main__":
    main()
