"""The verbs of ``obhut backup``: each a function of (repository, options, reporter), without anything of the terminal."""
