# Two targets do everything on a fresh Debian 12 as root: `make up` and `make test`.
# `make up BIND=0.0.0.0:8420` listens elsewhere; `make bench ARGS=--quick` measures.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
# Delete a page that exceeds its size budget, so that make does not consider it up to date.
.DELETE_ON_ERROR:
DESTDIR ?=
.PHONY: up page install install-files engine test bench packages tox constraints clean
export DEBIAN_FRONTEND := noninteractive

VENV ?= .venv
BIND ?=
ARGS ?=
# Fall back to the distribution's interpreter if the first one on the PATH is too old
# or lacks the module that creates virtual environments.
PYTHON := $(shell for python in python3 /usr/bin/python3; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

PAGE := api/page/index.html
WITH_NODE := web/with-node $(VENV)
PAGE_SOURCES := package-lock.json $(shell find package.json web clients/typescript \
	-type d \( -name node_modules -o -name dist -o -name test \) -prune -o -type f -print)

define INSTALL
install() {
	echo "installing $$*"
	if [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
		echo "please install $$* (as root, on Debian, this command does it by itself)" >&2
		return 1
	fi
	# A fresh machine has no package lists yet; an older one may have outdated lists.
	apt-get install -y -q --no-install-recommends "$$@" >/dev/null 2>&1 ||
		{ apt-get update -q && apt-get install -y -q --no-install-recommends "$$@"; } >&2
}
endef

up: $(VENV)/.installed $(PAGE) engine
	exec $(VENV)/bin/mist up $(if $(BIND),--bind $(BIND))

# Build the page if it is missing or older than its sources. The wheel includes it.
page: $(PAGE)
$(PAGE): $(PAGE_SOURCES) | $(VENV)/.installed
	echo "building the page"
	$(WITH_NODE) npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	$(WITH_NODE) npm run --silent build --workspace web

# Install a system service, started by systemd (docs/operations.md).
install: install-files $(PAGE)
	$(INSTALL)
	python="$(PYTHON)"
	if [ -z "$$python" ]; then
		install python3 python3-venv
		python=/usr/bin/python3
	fi
	"$$python" -m venv /opt/mist
	/opt/mist/bin/pip install -q -c constraints.txt .
	systemd-sysusers mist.conf
	[ ! -d /var/lib/mist ] || chown -RPh --from=root mist:mist /var/lib/mist
	systemd-tmpfiles --create mist.conf
	systemctl daemon-reload

# Keep the operator's files in /etc/mist.
install-files:
	install -d "$(DESTDIR)/etc/mist" "$(DESTDIR)/etc/sysusers.d" "$(DESTDIR)/etc/tmpfiles.d"
	install -d "$(DESTDIR)/etc/systemd/system" "$(DESTDIR)/usr/local/share/doc/mist"
	install -m 644 etc/systemd/*.service etc/systemd/*.target "$(DESTDIR)/etc/systemd/system"
	install -m 644 etc/systemd/sysusers.conf "$(DESTDIR)/etc/sysusers.d/mist.conf"
	install -m 644 etc/systemd/tmpfiles.conf "$(DESTDIR)/etc/tmpfiles.d/mist.conf"
	install -m 644 docs/*.md etc/proxy/* etc/prometheus/* etc/grafana/* \
		"$(DESTDIR)/usr/local/share/doc/mist"
	# mist.toml may hold a password; systemd-tmpfiles gives it to the service's group.
	for file in mist.toml:640 gunicorn.conf.py:644; do
		name="$${file%:*}"
		[ -e "$(DESTDIR)/etc/mist/$$name" ] ||
			install -m "$${file#*:}" "etc/$$name" "$(DESTDIR)/etc/mist"
	done

# A virtual environment with the project, in the versions of constraints.txt.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(INSTALL)
	python="$(PYTHON)"
	if [ -z "$$python" ]; then
		install python3 python3-venv
		python=/usr/bin/python3
	fi
	"$$python" -m venv $(VENV)
	$(VENV)/bin/pip install -q -c constraints.txt -e .
	touch $@

# Install an engine if none answers at DOCKER_HOST or at the default socket.
engine: $(VENV)/.installed
	$(INSTALL)
	answers() { $(VENV)/bin/python -c 'import docker; docker.from_env(timeout=5).ping()' 2>/dev/null; }
	answers && exit 0
	if [ -n "$${DOCKER_HOST:-}" ]; then
		echo "no Docker Engine answers at DOCKER_HOST=$$DOCKER_HOST; going on without one" >&2
		exit 0
	fi
	if [ "$$(id -u)" != 0 ]; then
		echo "no Docker Engine answers; 'mist doctor' says why; going on without one" >&2
		exit 0
	fi
	command -v dockerd >/dev/null || install docker.io
	if [ -d /run/systemd/system ]; then
		systemctl enable --now docker
	elif ! answers; then
		echo "starting dockerd in the background: /var/run/docker.pid, /var/log/dockerd.log"
		setsid dockerd </dev/null >>/var/log/dockerd.log 2>&1 &
	fi
	for _ in $$(seq 120); do answers && exit 0; sleep 0.5; done
	echo "the Docker Engine does not start; see /var/log/dockerd.log" >&2
	exit 1

# In CI a failed test is run once more, because a slow moment of a shared machine should not
# fail the build. The summary lists it as a rerun, which still needs to be investigated.
export RERUNS := $(if $(CI),--reruns 1 -r aR)

# The benchmarks run before the tests, so that pytest's summary comes last.
# `make test ARGS='-k cancel'` selects integration tests and skips the faults, the page and
# the machines.
test: packages tox $(PAGE)
	$(VENV)/bin/tox run -e lint
	$(WITH_NODE) $(VENV)/bin/tox run -e web
	$(VENV)/bin/tox run -e bench -- --quick
	$(WITH_NODE) $(VENV)/bin/tox run -qq -e py311 -- $(ARGS)
	$(if $(ARGS),,$(VENV)/bin/tox exec -qq -e py311 -- python -m pytest tests/faults -m "not whole" $(RERUNS))
	$(if $(ARGS),,$(WITH_NODE) $(VENV)/bin/tox run -qq -e page)
	$(if $(ARGS),,$(VENV)/bin/tox run -qq -e machine)

bench: packages tox
	$(VENV)/bin/tox run -e bench -- $(or $(ARGS),--json bench.json)

# The distribution's packages that the tests use: an engine, the only program of its image,
# Git, curl for the README's tour, a browser for the page, the reverse proxies of the examples,
# and systemd-analyze.
packages:
	$(INSTALL)
	missing=()
	need() { PATH="$$PATH:/usr/sbin:/sbin" command -v "$$1" >/dev/null || missing+=("$$2"); }
	need dockerd docker.io
	need busybox busybox-static
	need git git
	need git-lfs git-lfs
	need curl curl
	need iptables iptables
	need nginx nginx-light
	need caddy caddy
	need systemd-analyze systemd
	need openssl openssl
	need chromium chromium
	# The driver of the browser tests includes a Node that is linked against libatomic.
	[[ "$$(PATH="$$PATH:/sbin" ldconfig -p)" == *libatomic.so.1* ]] || missing+=(libatomic1)
	[ $${#missing[@]} = 0 ] && exit 0
	# Debian starts installed servers, but these are only needed to check the examples.
	servers=()
	for unit in nginx caddy; do [[ " $${missing[*]}" == *" $$unit"* ]] && servers+=("$$unit"); done
	each_server() {
		if [ -d /run/systemd/system ] && [ $${#servers[@]} != 0 ]; then
			systemctl -q "$$@" "$${servers[@]}"
		fi
	}
	each_server mask --runtime 2>/dev/null
	trap 'each_server unmask --runtime; each_server disable' EXIT
	install "$${missing[@]}"

tox: $(VENV)/.installed
	[ -x $(VENV)/bin/tox ] || $(VENV)/bin/pip install -q -c constraints.txt tox

# Pin the newest versions of all dependencies of the project and its tests.
constraints:
	directory="$$(mktemp -d)"
	trap 'rm -r "$$directory"' EXIT
	$(PYTHON) -m venv "$$directory"
	"$$directory/bin/pip" install -q -e '.[test,page]' -e clients/python hatchling editables
	head -1 constraints.txt >"$$directory/constraints.txt"
	"$$directory/bin/pip" freeze --exclude-editable >>"$$directory/constraints.txt"
	cp "$$directory/constraints.txt" constraints.txt

clean:
	rm -rf $(VENV) api/page .tox .coverage* .mypy_cache .ruff_cache .pytest_cache node_modules
