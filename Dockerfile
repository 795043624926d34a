# A small image of the server: docker build -t cidx-jobs . && docker run -v cidx-jobs:/data -p 127.0.0.1:8095:8095 cidx-jobs
FROM python:3.12-slim AS build
WORKDIR /source
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY cidx_jobs cidx_jobs
RUN python -m venv /opt/cidx-jobs && /opt/cidx-jobs/bin/pip install --no-cache-dir '.[all]'

FROM python:3.12-slim
# git fetches; tini reaps what a job's program leaves behind.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git openssh-client tini \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 cidx-jobs \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin cidx-jobs \
    # Empty, as a restore wants it: no files of a login shell.
    && install --directory --mode=0700 --owner=cidx-jobs --group=cidx-jobs /data
COPY --from=build /opt/cidx-jobs /opt/cidx-jobs
ENV PATH=/opt/cidx-jobs/bin:$PATH \
    CIDX_JOBS_DATA_DIR=/data \
    CIDX_JOBS_HOST=0.0.0.0 \
    CIDX_JOBS_PORT=8095 \
    CIDX_JOBS_AUTH=tokens \
    CIDX_JOBS_LOG_FORMAT=json
USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8095
# The stop is over within shutdown_grace_seconds and ten seconds: docker run --stop-timeout 40
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['CIDX_JOBS_PORT'] + '/livez', timeout=4)"]
ENTRYPOINT ["tini", "--", "cidx-jobs"]
CMD ["serve"]
