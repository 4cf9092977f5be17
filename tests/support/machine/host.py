"""A machine's access to the package registries, taken from its host.

All of it is read when a machine is made, and removed with the machine: neither
the repository nor the cached base system holds a proxy, a mirror or a password.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

RELEASE: Final = "bookworm"
_TOOLS: Final = ("debootstrap", "systemd-nspawn", "iptables", "ip", "nsenter", "setpriv")
_PACKAGES: Final = "debootstrap systemd-container iptables iproute2"

#: Settings of pip that configure access to an index; the others name folders of the host.
_PIP: Final = ("cert", "index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
_PIP_FILES: Final = ("/etc/xdg/pip/pip.conf", "/etc/pip.conf", "~/.pip/pip.conf")
_VARIABLES: Final = re.compile(
    r"(?i)(https?|ftp|all|no)_proxy|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|"
    r"GIT_SSL_CAINFO|NODE_EXTRA_CA_CERTS|npm_config_(registry|cafile)|PIP_DEFAULT_TIMEOUT|PIP_("
    + "|".join(name.replace("-", "_") for name in _PIP)
    + ")"
)
_APT: Final = re.compile(r"Acquire::(https?::|Check-|Retries|Max-ValidTime)(?!.*Auto-?Detect)")
_CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"


class MachineMissing(Exception):
    """This host cannot boot a machine; the text says what is missing."""


def require() -> None:
    """Raise MachineMissing unless the user is root and the tools are installed."""
    if os.geteuid() != 0:
        raise MachineMissing("a fresh machine needs root")
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            raise MachineMissing(f"{tool} is missing (Debian: apt-get install {_PACKAGES})")
    mirror()


def mirror() -> str:
    """Return the address from which this host installs Debian."""
    for line in apt_sources():
        _, address, release, *_ = line.split()
        if release == RELEASE:
            return address
    raise MachineMissing(f"this host has no package lists of Debian {RELEASE} (apt-get update)")


def apt_sources() -> list[str]:
    """Return the host's sources of this release in sources.list(5) form."""
    columns = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        return []
    lines = done.stdout.splitlines()
    return sorted({line for line in lines if line.split()[2].startswith(RELEASE)})


def environment() -> dict[str, str]:
    """Return a machine's login environment with the host's proxies."""
    carried = {key: value for key, value in os.environ.items() if _VARIABLES.fullmatch(key)}
    return carried | {
        "HOME": "/root",
        "USER": "root",
        "SHELL": "/bin/bash",
        "TERM": "xterm",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }


def copy_settings(root: Path) -> None:
    """Give the file system at ``root`` the host's access to the package registries."""
    apt = root / "etc/apt"
    (apt / "sources.list").write_text("".join(f"{line}\n" for line in apt_sources()), "utf-8")
    (apt / "apt.conf.d/90host").write_text(_apt_settings(), "utf-8")
    for source in (Path("/etc/apt/auth.conf"), *Path("/etc/apt/auth.conf.d").glob("*.conf")):
        _carry(source, root)
    (root / "etc/pip.conf").write_text(_pip_settings(), "utf-8")
    npm = Path("~/.npmrc").expanduser()
    if npm.is_file():
        shutil.copy(npm, root / "root/.npmrc")
    _carry(Path(_CERTIFICATES), root)
    for name, value in environment().items():
        if name != "SHELL" and value.startswith("/"):
            _carry(Path(value), root)
    _copy_name_servers(root)


def _apt_settings() -> str:
    done = subprocess.run(
        ["apt-config", "dump"], check=False, capture_output=True, text=True, timeout=60
    )
    return "".join(f"{line}\n" for line in done.stdout.splitlines() if _APT.match(line))


def _pip_settings() -> str:
    found = configparser.RawConfigParser()
    found.read([Path(file).expanduser() for file in (*_PIP_FILES, "~/.config/pip/pip.conf")])
    lines = ["[global]"]
    for section in ("global", "install"):
        if found.has_section(section):
            lines += [f"{key} = {value}" for key, value in found.items(section) if key in _PIP]
    return "\n".join(dict.fromkeys(lines)) + "\n"


def _copy_name_servers(root: Path) -> None:
    """Copy the host's name servers, except a resolver on its loopback interface."""
    of_resolved = Path("/run/systemd/resolve/resolv.conf")
    source = of_resolved if of_resolved.exists() else Path("/etc/resolv.conf")
    target = root / "etc/resolv.conf"
    target.unlink(missing_ok=True)
    target.write_text(source.read_text("utf-8"), "utf-8")


def _carry(source: Path, root: Path) -> None:
    """Copy a file to the same path below ``root``."""
    if source.is_file():
        target = root / source.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy(source, target)
