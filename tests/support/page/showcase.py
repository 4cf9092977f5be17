"""A realistic small installation: applications, deployments, busy logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import requests

from tests.support.service.deployments import Repository, dockerfile
from tests.support.service.engine import PrivateEngine
from tests.support.service.service import Service
from tests.support.wait import wait_until

#: A shop's requests: an access log in JSON with occasional errors.
_SHOP: Final = r"""
i=0
while :; do i=$((i + 1)); ms=$((3 + i * 37 % 190)); user=$((4000 + i * 13 % 700))
case $((i * 7 % 23)) in
0) printf '{"level":"error","msg":"payment declined","order":"A-%s","provider":"acme-pay",' $user
   printf '"code":402,"ms":%s}\n' $((ms * 9)) ;;
3|9) printf '{"level":"warn","msg":"slow query","table":"orders","ms":%s}\n' $((ms * 11)) ;;
5|6|14) printf '{"level":"debug","msg":"cache hit","key":"cart:%s","ttl":%s}\n' $user $ms ;;
8|17) printf '{"level":"info","msg":"POST /cart","status":201,"user":%s,"ms":%s}\n' $user $ms ;;
11|20) printf '{"level":"info","msg":"GET /search","q":"oak table","hits":%s,"ms":%s}\n' $ms $ms ;;
*) printf '{"level":"info","msg":"GET /items/%s","status":200,"ms":%s}\n' $user $ms ;;
esac
sleep 0.$((1 + i % 3))
done
"""
_WORKER: Final = r"""
i=0
while :; do i=$((i + 1))
echo "$(date '+%Y-%m-%d %H:%M:%S') [INFO] sent receipt $((20000 + i)) in $((40 + i % 90)) ms"
[ $((i % 9)) = 4 ] && echo "$(date '+%Y-%m-%d %H:%M:%S') [WARN] mail queue at $((i % 70 + 20)) %"
[ $((i % 31)) = 7 ] && echo "$(date '+%Y-%m-%d %H:%M:%S') [ERROR] smtp: 421 try later" >&2
sleep 0.7
done
"""
_DATABASE: Final = r"""
i=0
while :; do i=$((i + 1))
blocks=$((i * 31 % 400))
echo "$(date '+%Y-%m-%d %H:%M:%S') UTC [1] LOG:  checkpoint complete: wrote $blocks buffers"
sleep 2
done
"""
_STEPS: Final = (
    "RUN echo installing dependencies; seq 1 12",
    "RUN echo compiling assets; echo warning: unused export; sleep 0.3",
)
SETTINGS: Final[dict[str, object]] = {
    "deployments.settle_seconds": 0.6,
    "deployments.stop_seconds": 2,
    "supervisor.poll_seconds": 0.2,
    "collector.linger_seconds": 1,
}


class Showcase:
    """Four applications; ``shop`` has deployments, of which the second failed."""

    def __init__(self, service: Service, engine: PrivateEngine, folder: Path) -> None:
        self.service = service
        self._cookie = service.login()
        repository = Repository(folder / "shop", _files())
        self.shop = service.add_app("shop", "shop", "--git", repository.url)
        self.deployments = [self.deploy()]
        repository.commit(_files("RUN echo ERROR: out of stamps; exit 3"), "Add gift cards")
        self.deployments.append(self.deploy())
        repository.commit(_files(), "Round totals to cents")
        self.deployments.append(self.deploy())
        for name, script in {"mailer": _WORKER, "postgres": _DATABASE}.items():
            engine.run(name, script)
            service.add_app(name, name)
        engine.run("backup", "echo backup of 214 files complete")
        self.backup = service.add_app("backup", "backup")

    def deploy(self) -> int:
        """Deploy the shop, wait for the end, and return the deployment's number."""
        data = self._request("POST", f"apps/{self.shop}/deployments")
        number = int(data["id"])
        wait_until(
            lambda: (
                self._request("GET", f"deployments/{number}")["status"] in {"success", "failed"}
            ),
            f"deployment {number}",
            seconds=90,
        )
        return number

    def _request(self, method: str, path: str) -> dict[str, Any]:
        headers = {"Cookie": self._cookie}
        url = f"{self.service.url}/api/{path}"
        answer = requests.request(method, url, headers=headers, timeout=30)
        assert answer.ok, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data


def _files(*more: str) -> dict[str, str]:
    """Return the files of the shop's repository; ``more`` are additional last steps."""
    steps = ("COPY shop.sh /shop.sh", *_STEPS, *more)
    return {"Dockerfile": dockerfile(*steps, run="exec sh /shop.sh"), "shop.sh": _SHOP}
