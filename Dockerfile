# syntax=docker/dockerfile:1
# The image of Printmill, with every backend. From the repository's root: docker build --tag printmill .

# One image to build in; the final one starts from nothing.
FROM rust:1.95.0-slim-bookworm AS rust
WORKDIR /src

# All manifests with empty sources, so that the next stage's layer is made again only when a
# dependency changes.
FROM rust AS manifests
COPY . .
RUN find . -type f -name '*.rs' -exec truncate --size 0 {} + \
 && find . -type f '(' -name main.rs -o -name build.rs ')' -exec sh -c 'echo "fn main() { }" | tee "$@" > /dev/null' sh {} + \
 && find . -type f ! -name '*.rs' ! -name 'Cargo.*' -delete

FROM rust AS build
# Which backends: see `features` in crates/server/Cargo.toml.
ARG FEATURES=full
COPY --from=manifests /src .
RUN cargo build --release --locked --package printmill --features "$FEATURES"
COPY . .
# What is copied may be older than what was built of empty files.
RUN find adapters crates -type f -name '*.rs' -exec touch {} + \
 && cargo build --release --locked --package printmill --features "$FEATURES"

# What the final image holds: the program, the libraries that it is linked to, the authorities that
# TLS trusts, a user, and for scanners and lawyers what Debian says of the packages.
FROM build AS files
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
RUN mkdir -p /image/etc/ssl/certs /image/usr/local/bin /image/var/lib/dpkg/status.d /image/data \
 && cp target/release/printmill /image/usr/local/bin/ \
 && ldd target/release/printmill | grep --only-matching '/[^ ]*' | xargs cp --dereference --parents --target-directory /image \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && cp /etc/os-release /image/etc/ \
 && echo 'printmill:x:65532:65532::/data:/' > /image/etc/passwd \
 && echo 'printmill:x:65532:' > /image/etc/group \
 && echo 'hosts: files dns' > /image/etc/nsswitch.conf \
 && for package in libc6 libgcc-s1 ca-certificates; do \
      dpkg-query --status "$package" > "/image/var/lib/dpkg/status.d/$package" \
      && cp --parents "/usr/share/doc/$package/copyright" /image \
      || exit 1; \
    done \
 && install --directory --mode 1777 /image/tmp \
 && chown 65532:65532 /image/data

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="Printmill" \
      org.opencontainers.image.description="A print and media cloud that you run yourself" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.created="$CREATED"
COPY --from=files /image/ /
# In a container the program is reached from outside, and asked how it is on a port of its own.
# Links name `public_url`, for which there is no good default.
ENV PATH=/usr/local/bin \
    PRINTMILL_DATA=/data \
    PRINTMILL_LISTEN=0.0.0.0:7070 \
    PRINTMILL_STATUS_LISTEN=0.0.0.0:7071 \
    PRINTMILL_LOG_FORMAT=json
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 7070 7071
# The first SIGTERM lets running work end within `drain_seconds`, 20 unless set: give it longer.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/printmill", "health"]
ENTRYPOINT ["/usr/local/bin/printmill"]
CMD ["serve"]
