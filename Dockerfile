# Two images of one application: `daemon` (the default) is a replica, `agent` is the same plus an ordinary Redis client
# and the example program beside it.
#
# Every package is checked against its hash in requirements/. No index is named here: pip uses what its base image is
# configured with.
#
# CORE=python, the default, fetches nothing with apt and needs no compiler. CORE=compiled makes machine code of the core
# (hatch_build.py) with a C compiler from the base image's Debian; no image that runs holds one.
ARG CORE=python

FROM python:3.11-slim-bookworm AS core-python
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
# Without pip of its own: an image that runs needs none, and the base image's pip can install into it.
RUN python -m venv --without-pip /opt/gossamer
COPY requirements/base.txt requirements/build.txt requirements/demo.txt requirements/
RUN pip install --require-hashes -r requirements/build.txt \
 && pip --python /opt/gossamer install --require-hashes -r requirements/base.txt

# Built only if asked for (by BuildKit, which every Engine since 23 has; the builder before it makes every stage).
FROM core-python AS core-compiled
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev
COPY requirements/compile.txt requirements/
RUN pip install --require-hashes -r requirements/compile.txt
COPY hatch_build.py ./
ENV HATCH_BUILD_HOOK_ENABLE_CUSTOM=true

FROM core-${CORE} AS build
COPY pyproject.toml LICENSE ./
COPY crdt crdt
COPY transport transport
COPY config config
COPY daemon daemon
# The locked build backend, not a fresh one: so no build isolation.
RUN pip wheel --no-deps --no-build-isolation --wheel-dir dist . \
 && pip --python /opt/gossamer install --no-deps dist/*.whl

# What the agent needs besides: redis-py, with the version and the hashes of the demo's lock, which also holds a broker.
FROM build AS build-agent
RUN sed -n '/^\(redis\|async-timeout\)==/,/# via/p' requirements/demo.txt > redis.txt \
 && pip --python /opt/gossamer install --require-hashes --no-deps -r redis.txt

FROM python:3.11-slim-bookworm AS base
# The same numbers in every image: a daemon and its agent meet at a socket with mode 0660. The two folders exist and are
# ours, so that a new volume mounted there is ours as well.
RUN groupadd --gid 10001 gossamer \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/gossamer --shell /usr/sbin/nologin gossamer \
 && install -d -o 10001 -g 10001 -m 0750 /run/gossamer /var/lib/gossamer
ENV PATH=/opt/gossamer/bin:$PATH PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM

FROM base AS agent
COPY --from=build-agent /opt/gossamer /opt/gossamer
COPY deploy/agent.py /opt/gossamer/agent.py
# The root is read-only later on: bytecode of the standard library is made now or at every start.
RUN python -c 'import daemon.cli.ping, redis' && chmod 0644 /opt/gossamer/agent.py
USER 10001:10001
HEALTHCHECK --interval=5s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "/opt/gossamer/agent.py", "--check"]
ENTRYPOINT ["python", "/opt/gossamer/agent.py"]

FROM base AS daemon
COPY --from=build /opt/gossamer /opt/gossamer
RUN python -c 'import daemon.cli.ping, daemon.cli.run, daemon.node, uvloop'
USER 10001:10001
# Also where nobody mounts anything there, a read-only root works and the data are no part of the container.
VOLUME ["/run/gossamer", "/var/lib/gossamer"]
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=3 CMD ["gossamer", "ping"]
ENTRYPOINT ["gossamer"]
CMD ["run"]
