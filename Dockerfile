# The image that puts rdma-cni on nodes. It is built for TARGETARCH (amd64, arm64) on any machine, which needs no
# emulation of its own.
#
# Tags can come to name other images. Where that matters, give digests: --build-arg BUILD_BASE=REPOSITORY@sha256:...
# Renovate, where it runs, adds them here; it leaves names with variables alone.
ARG DENO_VERSION=2.7.11
ARG BUILD_BASE=docker.io/denoland/deno:debian-2.7.11
ARG DEBIAN_BASE=docker.io/library/debian:trixie-20251117-slim

# What the image needs of Debian, for the target: C library and loader, libgcc_s and libmnl for the program, and catatonit
# to wait in its place, with their licences.
FROM --platform=$BUILDPLATFORM ${DEBIAN_BASE} AS libraries
ARG TARGETARCH
WORKDIR /packages
RUN dpkg --add-architecture "$TARGETARCH" && apt-get update && \
    apt-get download $(for name in libc6 libgcc-s1 gcc-14-base libmnl0 catatonit; do echo "$name:$TARGETARCH"; done) && \
    for package in *.deb; do dpkg-deb --extract "$package" . || exit; done && \
    mkdir /image && cp --archive --parents usr/lib*/ld-linux-* usr/lib/*/ld-linux-* \
      usr/lib/*/libc.so.6 usr/lib/*/libdl.so.2 usr/lib/*/libm.so.6 usr/lib/*/libpthread.so.0 usr/lib/*/librt.so.1 \
      usr/lib/*/libgcc_s.so.1 usr/lib/*/libmnl.so.0* usr/bin/catatonit \
      usr/share/doc/*/copyright /usr/share/common-licenses /image && \
    for directory in /image/usr/lib*; do ln -s "usr/${directory##*/}" "/image/${directory##*/}"; done

# BUILD_BASE has deno, or Node.js with npm; then all that is downloaded comes from the npm registry.
FROM --platform=$BUILDPLATFORM ${BUILD_BASE} AS program
ARG DENO_VERSION TARGETARCH BUILDARCH
# "HASH DATE", which "rdma-cni version" shows: the build has no git to ask.
ARG COMMIT
# gcc compiles the launcher. V8 compiles the program during the build; that of another architecture is run for it by qemu,
# on the target's libraries.
COPY --from=libraries /image /target
RUN case $TARGETARCH in \
      "$BUILDARCH") packages=gcc ;; \
      amd64) packages="gcc-x86-64-linux-gnu qemu-user" ;; \
      *) packages="gcc-aarch64-linux-gnu qemu-user" ;; \
    esac; \
    apt-get update && apt-get install --yes --no-install-recommends $packages
ENV DENO_TLS_CA_STORE=system,mozilla QEMU_LD_PREFIX=/target
WORKDIR /project
COPY . .
# The secrets are for companies: "ca" is a certificate to trust besides, "npmrc" tells of a registry.
RUN --mount=type=secret,id=ca --mount=type=secret,id=npmrc,target=/root/.npmrc \
    if [ -e /run/secrets/ca ]; then export DENO_CERT=/run/secrets/ca NODE_EXTRA_CA_CERTS=/run/secrets/ca; fi; \
    case $TARGETARCH in amd64) target=x86_64 ;; arm64) target=aarch64 ;; *) target=$TARGETARCH ;; esac; \
    deno=$(command -v deno || echo "npx --yes deno@$DENO_VERSION"); \
    $deno run --allow-all deployment/build/build.ts --target "$target" --output /out/rdma-cni --commit "$COMMIT"

FROM scratch
LABEL org.opencontainers.image.title="rdma-cni" \
      org.opencontainers.image.description="Installs rdma-cni, the CNI plugin that moves RDMA devices into pods" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.2.0"
COPY --from=libraries /image /
COPY --from=program /out /
# Takes the arguments of the Go plugin's image, which sriov-network-operator passes, as well as commands.
ENTRYPOINT ["/rdma-cni", "entrypoint"]
