{{/* The programs' settings as maps of environment variables, for their pods and for the check that nobody sets them twice. */}}

{{- define "penstock.redisUrl" -}}
{{- $external := .Values.redis.external -}}
{{- if .Values.redis.bundled.enabled -}}
redis://{{ include "penstock.object" (dict "ctx" . "suffix" "redis") }}:6379
{{- else if $external.url -}}
{{ $external.url }}
{{- else -}}
{{- $host := ternary (printf "[%s]" $external.host) $external.host (contains ":" $external.host) -}}
{{ ternary "rediss" "redis" $external.tls }}://{{ $host }}:{{ int $external.port }}/{{ int $external.database }}
{{- end -}}
{{- end -}}

{{/* Secret and key of the Redis password; empty without one. As JSON. */}}
{{- define "penstock.redisSecret" -}}
{{- if .Values.redis.bundled.enabled -}}
{{- dict "name" (default (include "penstock.object" (dict "ctx" . "suffix" "redis")) .Values.redis.bundled.existingSecret) "key" .Values.redis.bundled.secretKey | toJson -}}
{{- else -}}
{{- dict "name" .Values.redis.external.existingSecret "key" .Values.redis.external.secretKey | toJson -}}
{{- end -}}
{{- end -}}

{{/* Context: ctx, prefix (GATEWAY or WORKER). As YAML. */}}
{{- define "penstock.redisSettings" -}}
{{- $external := .ctx.Values.redis.external -}}
{{- $env := dict (printf "%s_REDIS_URL" .prefix) (include "penstock.redisUrl" .ctx) -}}
{{- $_ := set $env (printf "%s_REDIS_PREFIX" .prefix) .ctx.Values.redis.prefix -}}
{{- if (include "penstock.redisSecret" .ctx | fromJson).name -}}
{{- $_ := set $env (printf "%s_REDIS_PASSWORD_FILE" .prefix) "/etc/penstock/redis/password" -}}
{{- end -}}
{{- if not .ctx.Values.redis.bundled.enabled -}}
{{- $_ := set $env (printf "%s_REDIS_USERNAME" .prefix) ($external.username | default "") -}}
{{- if $external.caSecret }}{{ $_ := set $env (printf "%s_REDIS_CA_FILE" .prefix) "/etc/penstock/redis/ca.crt" }}{{ end -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* Seconds that a request must wait for a pool that may be at zero; 0 when there is none. */}}
{{- define "penstock.holdSeconds" -}}
{{- $hold := 0 -}}
{{- range $name := (include "penstock.pools" . | fromJson).names -}}
{{- $pool := include "penstock.pool" (dict "ctx" $ "name" $name "pool" (get $.Values.workerPools $name)) | fromJson -}}
{{- if and $pool.values.autoscaling.enabled (eq (int $pool.values.autoscaling.min) 0) }}{{ $hold = max $hold (int $pool.startupSeconds) }}{{ end -}}
{{- end -}}
{{- $hold -}}
{{- end -}}

{{- define "penstock.gatewaySettings" -}}
{{- $ctx := . -}}
{{- $env := include "penstock.redisSettings" (dict "ctx" . "prefix" "GATEWAY") | fromYaml -}}
{{- $pools := dict -}}
{{- range $name := (include "penstock.pools" . | fromJson).names -}}
{{- $pool := include "penstock.pool" (dict "ctx" $ctx "name" $name "pool" (get $ctx.Values.workerPools $name)) | fromJson -}}
{{- if $pool.model }}{{ $_ := set $pools $name (dict $pool.model (dict "engines" (int64 $pool.engines))) }}{{ end -}}
{{- end -}}
{{- $hold := include "penstock.holdSeconds" . | int -}}
{{- if and $hold (not (hasKey .Values.gateway.settings "GATEWAY_NO_ENGINE_HOLD_MS")) -}}
{{- $_ := set $env "GATEWAY_NO_ENGINE_HOLD_MS" (mul $hold 1000 | toString) -}}
{{- if not (hasKey .Values.gateway.settings "GATEWAY_REQUEST_TIMEOUT_MS") }}{{ $_ := set $env "GATEWAY_REQUEST_TIMEOUT_MS" (mul (add $hold 600) 1000 | toString) }}{{ end -}}
{{- end -}}
{{- $memory := include "penstock.bytes" (dig "limits" "memory" "1Gi" .Values.gateway.resources) | int64 -}}
{{- toYaml (mergeOverwrite $env (dict
  "GATEWAY_HOST" .Values.listenAddress
  "GATEWAY_PORT" "8080"
  "GATEWAY_INTERNAL_HOST" .Values.listenAddress
  "GATEWAY_INTERNAL_PORT" "9090"
  "GATEWAY_MODELS_DIR" "/etc/penstock/models"
  "GATEWAY_KEYS_FILE" "/etc/penstock/keys/keys.yaml"
  "GATEWAY_LOG_LEVEL" .Values.gateway.logLevel
  "GATEWAY_POOLS" (toJson $pools)
  "GATEWAY_REDIS_WAIT_MS" "100000"
  "GATEWAY_DRAIN_DELAY_MS" "2000"
  "GATEWAY_DRAIN_TIMEOUT_MS" (mul .Values.gateway.drainSeconds 1000 | toString)
  "NODE_OPTIONS" (default (printf "--max-old-space-size=%d" (div (mul $memory 3) 4194304)) .Values.gateway.nodeOptions)
)) -}}
{{- end -}}

{{/* Context: ctx, pool as computed. */}}
{{- define "penstock.workerSettings" -}}
{{- $values := .pool.values -}}
{{- $grace := int64 $values.terminationGracePeriodSeconds -}}
{{- $drain := int64 $values.drainSeconds -}}
{{- $claim := dig "source" "claim" (dict) .pool.modelValues -}}
{{- $env := include "penstock.redisSettings" (dict "ctx" .ctx "prefix" "WORKER") | fromYaml -}}
{{- $env = mergeOverwrite $env (dict
  "WORKER_INTERNAL_HOST" .ctx.Values.listenAddress
  "WORKER_INTERNAL_PORT" "9090"
  "WORKER_MODELS_DIR" "/etc/penstock/models"
  "WORKER_MODEL" .pool.model
  "WORKER_LOG_LEVEL" $values.logLevel
  "WORKER_ENGINE" $values.engine
  "WORKER_POOL" .pool.name
  "WORKER_SKU" ($values.sku | default "")
  "WORKER_REDIS_WAIT_MS" "300000"
  "WORKER_START_TIMEOUT_MS" (mul .pool.startupSeconds 1000 | toString)
  "WORKER_DRAIN_TIMEOUT_MS" (mul $drain 1000 | toString)
  "WORKER_ENGINE_STOP_TIMEOUT_MS" (mul (max 2 (min 40 (sub (sub $grace $drain) 5))) 1000 | toString)
) -}}
{{- if or (not .pool.fill) .pool.simulator }}{{ $_ := set $env "WORKER_ENGINES" (int64 .pool.engines | toString) }}{{ end -}}
{{- if not .pool.simulator -}}
{{- $_ := set $env "WORKER_TENSOR_PARALLEL" (int64 .pool.perEngine | toString) -}}
{{- if or $values.overrideSku (lt (int .pool.gpus) (int .pool.sizeGpus)) }}{{ $_ := set $env "WORKER_OVERRIDE_SKU" "true" }}{{ end -}}
{{- end -}}
{{- if $claim.name }}{{ $_ := set $env "WORKER_WEIGHTS" (printf "/weights/%s" ($claim.path | default "" | trimPrefix "/") | trimSuffix "/") }}{{ end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* Where the engines keep what they download and compile: all of it on the cache volume. */}}
{{- define "penstock.cacheSettings" -}}
HOME: /models
XDG_CACHE_HOME: /models/cache
HF_HOME: /models/huggingface
VLLM_CACHE_ROOT: /models/vllm
TORCHINDUCTOR_CACHE_DIR: /models/torchinductor
TRITON_CACHE_DIR: /models/triton
CUDA_CACHE_PATH: /models/cuda
{{- end -}}

{{/* The volume `redis-auth` with the password and the authorities; nothing without either. */}}
{{- define "penstock.redisVolume" -}}
{{- $secret := include "penstock.redisSecret" . | fromJson -}}
{{- $external := .Values.redis.external -}}
{{- $ca := and (not .Values.redis.bundled.enabled) $external.caSecret -}}
{{- if or $secret.name $ca -}}
- name: redis-auth
  projected:
    sources:
      {{- if $secret.name }}
      - secret: {name: {{ $secret.name }}, items: [{key: {{ $secret.key | quote }}, path: password}]}
      {{- end }}
      {{- if $ca }}
      - secret: {name: {{ $external.caSecret }}, items: [{key: {{ $external.caSecretKey | quote }}, path: ca.crt}]}
      {{- end }}
{{- end -}}
{{- end -}}
