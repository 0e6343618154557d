#!/bin/sh
# Runs in the all-in-one container: creates an API key at the first start and prints it once, then starts all programs.
set -eu
if [ ! -e "$GATEWAY_KEYS_FILE" ]; then
  node deploy/local/penstock.mjs keys create --file "$GATEWAY_KEYS_FILE" --id try-out
fi
exec node deploy/local/penstock.mjs up --engine simulator --data-dir /data
