{{/* Files with which a bundled Redis starts. Context: one of redisTargets. */}}
{{- define "penstock.redisFiles" -}}
{{- $redis := .bundled -}}
{{- $memory := include "penstock.bytes" (dig "limits" "memory" "2Gi" $redis.resources) | int64 -}}
redis.conf: |
  {{- if eq .which "redis" }}
  dir /data
  appendonly yes
  appendfsync everysec
  # The append-only file is the state; snapshots would only cost memory.
  save ""
  {{- else }}
  # Prompts and answers are never in a file, in the slow log or in a crash report, which would quote them.
  dir /tmp
  appendonly no
  save ""
  slowlog-log-slower-than -1
  crash-log-enabled no
  {{- end }}
  maxmemory {{ div (mul $memory 3) 4 }}
  maxmemory-policy noeviction
  {{- range $key, $value := $redis.config }}
  {{ $key }} {{ $value }}
  {{- end }}
# The password has a file of its own, because others can read arguments and environment.
start.sh: |
  set -eu
  umask 077
  printf 'requirepass "%s"\n' "$(sed 's/[\\"]/\\&/g' /run/redis-auth/password)" >/tmp/auth.conf
  exec redis-server /etc/redis/redis.conf --include /tmp/auth.conf
ping.sh: |
  REDISCLI_AUTH=$(cat /run/redis-auth/password)
  export REDISCLI_AUTH
  [ "$(redis-cli -h 127.0.0.1 ping)" = PONG ]
{{- end -}}
