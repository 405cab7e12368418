# Needs the Rust toolchain and a C compiler (for SQLite and jemalloc), which are in this image, and make.
FROM rust:1.95-slim-bookworm AS build
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends make && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# When this was built, in Unix seconds: a clock before it was never set (docs/operations.md).
ARG SOURCE_DATE_EPOCH
# Crates are cached between builds. The target folder is not: cargo trusts the files' times, and
# those of two checkouts say nothing about each other.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    cargo build --release --locked \
    && install -D target/release/gitops-status-server /out/bin/gitops-status-server \
    && install -d /out/data

# The same Debian release as above, so that the C library fits. Nothing is run in this stage.
FROM debian:12-slim
LABEL org.opencontainers.image.title="gitops-status-server" \
      org.opencontainers.image.description="Records every drift report, and answers whether each machine still matches Git" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /out/bin/gitops-status-server /usr/local/bin/gitops-status-server
# A fresh named volume takes the owner of this folder.
COPY --from=build --chown=65532:65532 /out/data /data
# SQLITE_TMPDIR: with a read-only root there is no other place for a temporary file of SQLite's.
ENV DATABASE_URL=sqlite:///data/gitops-status.db \
    STATUS_FILE=/data/status.json \
    SQLITE_TMPDIR=/data \
    API_PORT=5000
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 5000
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/gitops-status-server", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/gitops-status-server"]
