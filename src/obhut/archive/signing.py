"""People sign with keys of their own, by the program that they trust with them: ssh-keygen. No key passes through Obhut."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from obhut.archive.sshsig import NAMESPACE
from obhut.errors import ObhutError
from obhut.passwords import child_environment

if TYPE_CHECKING:
    from pathlib import Path


def sign(key_file: Path, text: bytes) -> str:
    """The signature of a text by the key in a file, or by the agent's for the ``.pub`` of one. It may ask on the terminal.

    Raises ``signature-refused``.
    """
    command = ["ssh-keygen", "-Y", "sign", "-n", NAMESPACE, "-f", str(key_file)]
    try:
        run = subprocess.run(
            command, input=text, capture_output=True, check=False, env=child_environment(), timeout=300
        )
    except FileNotFoundError:
        raise ObhutError("signature-refused", str(key_file), "the program ssh-keygen is not installed") from None
    except subprocess.TimeoutExpired:
        raise ObhutError("signature-refused", str(key_file), "ssh-keygen waited for five minutes") from None
    if run.returncode != 0:
        why = run.stderr.decode("utf-8", "replace").strip().splitlines()
        raise ObhutError("signature-refused", str(key_file), why[-1] if why else "ssh-keygen failed")
    return run.stdout.decode("utf-8", "replace")
