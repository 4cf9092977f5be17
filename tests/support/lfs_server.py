"""A Git server over HTTP with Git LFS, of files only, for one user."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

USER, PASSWORD = "joe", "pass word"
_AUTHORIZATION: Final = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


class _Handler(SimpleHTTPRequestHandler):
    """Serves a repository's folder, and the batch API of Git LFS for its ``.git/lfs/objects``."""

    def do_GET(self) -> None:
        """Serve a file."""
        if self._may():
            super().do_GET()

    def do_POST(self) -> None:
        """Say where the requested objects are (git-lfs, docs/api/batch.md)."""
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._may():
            return
        wanted: list[dict[str, Any]] = json.loads(asked)["objects"]
        for each in wanted:
            oid = each["oid"]
            path = f".git/lfs/objects/{oid[:2]}/{oid[2:4]}/{oid}"
            if (Path(self.directory) / path).exists():
                here = f"http://{self.headers['Host']}/{path}"
                each["actions"] = {"download": {"href": here}}
            else:
                each["error"] = {"code": 404, "message": "Object does not exist"}
        answer = json.dumps({"transfer": "basic", "objects": wanted}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.git-lfs+json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _may(self) -> bool:
        if self.headers.get("Authorization") == _AUTHORIZATION:
            return True
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False


@contextmanager
def lfs_server(folder: Path) -> Iterator[str]:
    """Serve a repository's folder; the address contains the user and the password."""
    handler = partial(_Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        secret = f"{USER}:{PASSWORD.replace(' ', '%20')}"
        yield f"http://{secret}@127.0.0.1:{server.server_port}/.git"
        server.shutdown()
