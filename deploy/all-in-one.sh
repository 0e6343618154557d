#!/bin/sh
# What the all-in-one container runs: a key at its first start, told once in its output, then everything.
set -eu
if [ ! -e "$GATEWAY_KEYS_FILE" ]; then
  node deploy/local/penstock.mjs keys create --file "$GATEWAY_KEYS_FILE" --id try-out
fi
exec node deploy/local/penstock.mjs up --engine simulator --data-dir /data
