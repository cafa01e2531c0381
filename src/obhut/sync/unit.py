"""A unit for systemd. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """What the unit is for."""

    #: The program with what comes before its arguments.
    program: str
    home: str
    folders: tuple[str, ...]
    #: Whose service of the system it is; nothing for one of a user's own.
    user: str | None


def quoted(text: str) -> str:
    """A word of systemd's command lines and lists of paths, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$").replace("\n", "\\n")
    return f'"{escaped}"'


def _path(text: str) -> str:
    """A path in a list: no variables there."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("\n", "\\n")
    return f'"{escaped}"'


def render(wish: Wish) -> str:
    """The text. A user's own service cannot have the walls that only the system can build."""
    lines = [
        "[Unit]",
        "Description=Obhut sync",
        "After=network.target" if wish.user else "After=default.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={wish.program.replace('%', '%%')} sync run --home {quoted(wish.home)}",
        "ExecReload=kill -HUP $MAINPID",
        "Restart=on-failure",
        "RestartSec=5",
        "TimeoutStopSec=60",
        "Nice=5",
        "UMask=0077",
        "NoNewPrivileges=yes",
        "MemoryDenyWriteExecute=yes",
        "RestrictRealtime=yes",
        "LockPersonality=yes",
    ]
    if wish.user:
        lines += [
            f"User={wish.user}",
            "ProtectSystem=strict",
            f"ReadWritePaths={' '.join(map(_path, (wish.home, *wish.folders)))}",
            "PrivateTmp=yes",
            "PrivateDevices=yes",
            "ProtectKernelTunables=yes",
            "ProtectKernelModules=yes",
            "ProtectControlGroups=yes",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
            "RestrictSUIDSGID=yes",
            "CapabilityBoundingSet=",
        ]
    lines += ["", "[Install]", "WantedBy=multi-user.target" if wish.user else "WantedBy=default.target"]
    return "\n".join(lines) + "\n"
