"""``python -m obhut``."""

from obhut.cli.main import main

if __name__ == "__main__":
    main()
