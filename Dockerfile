# syntax=docker/dockerfile:1
# The service as an image: docker build -t phone-agent .
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
WORKDIR /build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/phone-agent
# The dependencies first: this layer stays as long as these two files do.
COPY pyproject.toml constraints.txt ./
RUN python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' > requirements.txt \
    && /opt/phone-agent/bin/pip install --constraint constraints.txt --requirement requirements.txt
COPY . .
RUN /opt/phone-agent/bin/pip install --constraint constraints.txt .

FROM python:${PYTHON}-slim
# tini is process 1: it passes signals on, and reaps what tools leave behind.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends "tini=0.19.*" \
    && rm -rf /var/lib/apt/lists/* \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/phone-agent
COPY --from=build /opt/phone-agent /opt/phone-agent
# Agents: AGENT_FILE=/etc/phone-agent/pizzeria.toml. Mount your own here, or put it into examples/.
COPY examples /etc/phone-agent
ENV PATH=/opt/phone-agent/bin:$PATH PYTHONDONTWRITEBYTECODE=1
# The one directory that the service writes to, besides /tmp: records, recordings, the spool.
WORKDIR /var/lib/phone-agent
VOLUME /var/lib/phone-agent
USER 10001:10001
EXPOSE 5050
# SIGTERM drains. The time until SIGKILL has to be longer than DRAIN_SECONDS: docker stop --timeout.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --start-interval=1s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ.get(\"PORT\") or 5050}/healthz', timeout=4)"]
ENTRYPOINT ["tini", "--", "phone-agent"]
CMD ["serve", "--host", "0.0.0.0"]
