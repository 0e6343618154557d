{{/* The programs' settings as maps of environment variables, for their pods and for the check that values don't set them twice. */}}

{{/*
One of the two Redis, as JSON: component, bundled (its values; none where it is the operator's own), url, secret and key of its
password, username, ca and caKey of the authorities. `{}` where there is no second. Context: ctx, which (redis or replyRedis).
*/}}
{{- define "penstock.redisTarget" -}}
{{- $redis := get .ctx.Values .which -}}
{{- $first := .ctx.Values.redis.bundled -}}
{{- $component := ternary "redis" "reply-redis" (eq .which "redis") -}}
{{- $external := $redis.external -}}
{{- if not (dig "enabled" true $redis) -}}
{}
{{- else if $redis.bundled.enabled -}}
{{- $values := omit $first "config" "persistence" -}}
{{- range $key, $value := $redis.bundled }}{{ $_ := set $values $key $value }}{{ end -}}
{{- $name := include "penstock.object" (dict "ctx" .ctx "suffix" $component) -}}
{{- $own := $redis.bundled.existingSecret -}}
{{- $named := $own | default $first.existingSecret -}}
{{- $key := ternary $first.secretKey $values.secretKey (and (empty $own) (not (empty $named))) -}}
{{- dict "which" .which "component" $component "bundled" $values "url" (printf "redis://%s:6379" $name) "secret" (default $name $named) "generated" (empty $named) "key" $key | toJson -}}
{{- else -}}
{{- $host := ternary (printf "[%s]" $external.host) $external.host (contains ":" $external.host) -}}
{{- $url := default (printf "%s://%s:%d/%d" (ternary "rediss" "redis" $external.tls) $host (int $external.port) (int $external.database)) $external.url -}}
{{- if $external.sentinels }}{{ $url = printf "%s://%s/%d" (ternary "rediss" "redis" $external.tls) $external.host (int $external.database) }}{{ end -}}
{{- dict "which" .which "component" $component "clusterNodes" $external.clusterNodes "sentinels" $external.sentinels "sentinelUsername" $external.sentinelUsername "sentinelKey" $external.sentinelSecretKey "port" (toString (int $external.port)) "url" $url "secret" $external.existingSecret "key" $external.secretKey "username" $external.username "entra" $external.entra "workerUsername" $external.workerUsername "workerKey" $external.workerSecretKey "ca" $external.caSecret "caKey" $external.caSecretKey "cert" $external.certSecret | toJson -}}
{{- end -}}
{{- end -}}

{{/* All targets, as JSON in `targets`. */}}
{{- define "penstock.redisTargets" -}}
{{- $targets := list (include "penstock.redisTarget" (dict "ctx" . "which" "redis") | fromJson) -}}
{{- with include "penstock.redisTarget" (dict "ctx" . "which" "replyRedis") | fromJson }}{{ $targets = append $targets . }}{{ end -}}
{{- dict "targets" $targets | toJson -}}
{{- end -}}

{{/* Context: ctx, prefix (GATEWAY or WORKER). As YAML. */}}
{{- define "penstock.redisSettings" -}}
{{- $env := dict (printf "%s_REDIS_PREFIX" .prefix) .ctx.Values.redis.prefix -}}
{{- $prefix := .prefix -}}
{{- range (include "penstock.redisTargets" .ctx | fromJson).targets -}}
{{- $name := printf "%s_%s" $prefix (ternary "REDIS" "REPLY_REDIS" (eq .which "redis")) -}}
{{- $_ := set $env (printf "%s_URL" $name) .url -}}
{{- $_ := set $env (printf "%s_USERNAME" $name) (.username | default "") -}}
{{- if eq $prefix "WORKER" }}{{ with .workerUsername }}{{ $_ := set $env (printf "%s_USERNAME" $name) . }}{{ end }}{{ end -}}
{{- if .entra }}{{ $_ := set $env (printf "%s_AUTH" $name) "entra" }}{{ end -}}
{{- if and .secret (not .entra) }}{{ $_ := set $env (printf "%s_PASSWORD_FILE" $name) (printf "/etc/penstock/%s/password" .component) }}{{ end -}}
{{- with .clusterNodes }}{{ $_ := set $env (printf "%s_CLUSTER_NODES" $name) (join "," .) }}{{ end -}}
{{- with .sentinels }}{{ $_ := set $env (printf "%s_SENTINELS" $name) (join "," .) }}{{ end -}}
{{- with .sentinelUsername }}{{ $_ := set $env (printf "%s_SENTINEL_USERNAME" $name) . }}{{ end -}}
{{- if .sentinelKey }}{{ $_ := set $env (printf "%s_SENTINEL_PASSWORD_FILE" $name) (printf "/etc/penstock/%s/sentinel-password" .component) }}{{ end -}}
{{- if .ca }}{{ $_ := set $env (printf "%s_CA_FILE" $name) (printf "/etc/penstock/%s/ca.crt" .component) }}{{ end -}}
{{- if .cert }}{{ $_ := mergeOverwrite $env (dict (printf "%s_CERT_FILE" $name) (printf "/etc/penstock/%s/tls.crt" .component) (printf "%s_KEY_FILE" $name) (printf "/etc/penstock/%s/tls.key" .component)) }}{{ end -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{/* Seconds that a request must wait for a pool that may be at zero; 0 if there is no such pool. */}}
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
{{- if .Values.gateway.keys.existingSecret }}{{ $_ := set $env "GATEWAY_KEYS_FILE" "/etc/penstock/keys/keys.yaml" }}{{ end -}}
{{- if .Values.gateway.identity.existingConfigMap }}{{ $_ := set $env "GATEWAY_IDENTITY_FILE" "/etc/penstock/identity/identity.yaml" }}{{ end -}}
{{- if .Values.gateway.tls.existingSecret }}{{ $_ := mergeOverwrite $env (dict "GATEWAY_TLS_CERT_FILE" "/etc/penstock/tls/tls.crt" "GATEWAY_TLS_KEY_FILE" "/etc/penstock/tls/tls.key") }}{{ end -}}
{{- $memory := include "penstock.bytes" (dig "limits" "memory" "1Gi" .Values.gateway.resources) | int64 -}}
{{- toYaml (mergeOverwrite $env (dict
  "GATEWAY_HOST" .Values.listenAddress
  "GATEWAY_PORT" "8080"
  "GATEWAY_INTERNAL_HOST" .Values.listenAddress
  "GATEWAY_INTERNAL_PORT" "9090"
  "GATEWAY_MODELS_DIR" "/etc/penstock/models"
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

{{/* Folders for the engines' downloads and compiled kernels, all on the cache volume. */}}
{{- define "penstock.cacheSettings" -}}
HOME: /models
XDG_CACHE_HOME: /models/cache
HF_HOME: /models/huggingface
VLLM_CACHE_ROOT: /models/vllm
TORCHINDUCTOR_CACHE_DIR: /models/torchinductor
TRITON_CACHE_DIR: /models/triton
CUDA_CACHE_PATH: /models/cuda
{{- end -}}

{{/* The volumes `redis-auth` and `reply-redis-auth` with passwords and certificate authorities; left out if there are none. Context: ctx, prefix. */}}
{{- define "penstock.redisVolumes" -}}
{{- $prefix := .prefix }}
{{- range (include "penstock.redisTargets" .ctx | fromJson).targets }}
{{- if or (and .secret (not .entra)) .sentinelKey .ca .cert }}
- name: {{ .component }}-auth
  projected:
    sources:
      {{- if and .secret (not .entra) }}
      - secret: {name: {{ .secret }}, items: [{key: {{ and (eq $prefix "WORKER") .workerKey | default .key | quote }}, path: password}]}
      {{- end }}
      {{- if .sentinelKey }}
      - secret: {name: {{ .secret }}, items: [{key: {{ .sentinelKey | quote }}, path: sentinel-password}]}
      {{- end }}
      {{- if .ca }}
      - secret: {name: {{ .ca }}, items: [{key: {{ .caKey | quote }}, path: ca.crt}]}
      {{- end }}
      {{- if .cert }}
      - secret: {name: {{ .cert }}, items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]}
      {{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "penstock.redisMounts" -}}
{{- range (include "penstock.redisTargets" . | fromJson).targets }}
{{- if or (and .secret (not .entra)) .sentinelKey .ca .cert }}
- {name: {{ .component }}-auth, mountPath: /etc/penstock/{{ .component }}, readOnly: true}
{{- end }}
{{- end }}
{{- end -}}
