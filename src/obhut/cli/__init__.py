"""The command line: one file a command, no logic. Knows everything below; nobody imports it."""
