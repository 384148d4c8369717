# Onramp in a small image: `docker build -t onramp .`, then `docker run --rm onramp --help`.

FROM rust:1.95.0-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY schemas schemas
COPY lake lake
COPY ingest ingest
COPY compute compute
COPY queries queries
COPY src src
COPY benches benches
COPY tests tests
# What was compiled stays in the builder's cache: a change of ours compiles our crates alone.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin onramp && cp target/release/onramp /usr/local/bin/onramp

FROM debian:12.12-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 zlib1g \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home --home-dir /var/lib/onramp onramp
COPY --from=build /usr/local/bin/onramp /usr/local/bin/onramp
COPY deploy/alive /usr/local/bin/alive
COPY deploy/onramp.toml /etc/onramp/onramp.toml
USER 10001:10001
WORKDIR /var/lib/onramp
# A local lake, where no bucket is used, and what is spilled.
VOLUME /var/lib/onramp
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["alive", "9100"]
ENTRYPOINT ["onramp", "--config", "/etc/onramp/onramp.toml"]
CMD ["ingest", "--listen", "127.0.0.1:9100"]
