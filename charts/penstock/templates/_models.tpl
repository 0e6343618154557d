{{/* The card of a served model: the packaged card of that name, the values merged over it. Context: ctx, name, model. */}}
{{- define "penstock.card" -}}
{{- $arg := . -}}
{{- $model := .model | default dict -}}
{{- $state := dict "card" (dict) -}}
{{- range $path, $_ := .ctx.Files.Glob "files/models/*.yaml" -}}
{{- $packaged := $arg.ctx.Files.Get $path | fromYaml -}}
{{- if eq $packaged.name $arg.name }}{{ $_ := set $state "card" $packaged }}{{ end -}}
{{- end -}}
{{- $card := mergeOverwrite $state.card (deepCopy ($model.card | default dict)) -}}
{{- $_ := set $card "name" .name -}}
{{- $engine := $card.engine | default dict -}}
{{- $hub := dig "source" "hub" (dict) $model -}}
{{- with $hub.repo }}{{ $_ := set $engine "weights" . }}{{ $_ := unset $engine "revision" }}{{ end -}}
{{- with $hub.revision }}{{ $_ := set $engine "revision" . }}{{ end -}}
{{- if kindIs "bool" $model.trustRemoteCode }}{{ $_ := set $engine "trust_remote_code" $model.trustRemoteCode }}{{ end -}}
{{- with $model.engineArgs }}{{ $_ := set $engine "args" (concat ($engine.args | default list) .) }}{{ end -}}
{{- $_ := set $card "engine" $engine -}}
{{- with $model.maxModelLen -}}
{{- $limits := $card.limits | default dict -}}
{{- $_ := set $limits "context_tokens" (int64 .) -}}
{{- $most := min (int64 .) (int64 ($limits.max_output_tokens | default .)) -}}
{{- $_ := set $limits "max_output_tokens" $most -}}
{{- $_ := set $limits "default_output_tokens" (min $most (int64 ($limits.default_output_tokens | default $most))) -}}
{{- $_ := set $card "limits" $limits -}}
{{- end -}}
{{- toYaml $card -}}
{{- end -}}

{{- define "penstock.cardFile" -}}{{ printf "%s.yaml" (lower .) }}{{- end -}}

{{/* All cards, as the data of their ConfigMap. */}}
{{- define "penstock.cards" -}}
{{- $files := dict -}}
{{- range $name := (include "penstock.models" . | fromJson).names -}}
{{- $_ := set $files (include "penstock.cardFile" $name) (include "penstock.card" (dict "ctx" $ "name" $name "model" (get $.Values.models $name))) -}}
{{- end -}}
{{- toYaml $files -}}
{{- end -}}

{{/*
A pool as its templates use it: the values of `worker` with its own over them, and what follows from size and model.
As JSON. Context: ctx, name, pool.
*/}}
{{- define "penstock.pool" -}}
{{- $values := mergeOverwrite (deepCopy .ctx.Values.worker) (deepCopy .pool) -}}
{{- if $values.spot -}}
{{- if not (hasKey .pool "drainSeconds") }}{{ $_ := set $values "drainSeconds" 20 }}{{ end -}}
{{- if not (hasKey .pool "terminationGracePeriodSeconds") }}{{ $_ := set $values "terminationGracePeriodSeconds" 30 }}{{ end -}}
{{- end -}}
{{- $model := keys ($values.models | default dict) | sortAlpha | first | default "" -}}
{{- $wish := get ($values.models | default dict) $model | default dict -}}
{{- $modelValues := get .ctx.Values.models $model | default dict -}}
{{- $size := get .ctx.Values.skus ($values.sku | default "") | default dict -}}
{{- $sizeGpus := int ($size.gpus | default 0) -}}
{{- $gpus := int (default $sizeGpus $values.gpus) -}}
{{- $perEngine := int ($modelValues.gpusPerEngine | default 1) -}}
{{- $fill := or (not $wish.engines) (eq (toString $wish.engines) "fill") -}}
{{- $engines := ternary (max 1 (div $gpus $perEngine)) (int64 (ternary 0 $wish.engines $fill)) $fill -}}
{{- $startup := max (int64 $values.startupSeconds) (int64 ($modelValues.startupSeconds | default 0)) -}}
{{- dict "name" .name "values" $values "model" $model "modelValues" $modelValues "size" $size "sizeGpus" $sizeGpus "gpus" $gpus
  "perEngine" $perEngine "fill" $fill "engines" $engines "startupSeconds" $startup
  "simulator" (eq $values.engine "simulator") | toJson -}}
{{- end -}}

{{/* Names of the enabled pools. As JSON. */}}
{{- define "penstock.pools" -}}
{{- $names := list -}}
{{- range $name, $pool := .Values.workerPools -}}
{{- if $pool }}{{ if ne (toString $pool.enabled) "false" }}{{ $names = append $names $name }}{{ end }}{{ end -}}
{{- end -}}
{{- dict "names" ($names | sortAlpha) | toJson -}}
{{- end -}}

{{/* Names of the models; an entry set to null is left out. As JSON. */}}
{{- define "penstock.models" -}}
{{- $names := list -}}
{{- range $name, $model := .Values.models -}}
{{- if not (kindIs "invalid" $model) }}{{ $names = append $names $name }}{{ end -}}
{{- end -}}
{{- dict "names" ($names | sortAlpha) | toJson -}}
{{- end -}}

{{/* Limits and requests of a worker. Context: pool as computed. */}}
{{- define "penstock.workerResources" -}}
{{- $values := .pool.values -}}
{{- if $values.resources -}}
{{- toYaml $values.resources -}}
{{- else if .pool.simulator -}}
requests: {cpu: 250m, memory: 512Mi, ephemeral-storage: 256Mi}
limits: {memory: 1Gi}
{{- else -}}
{{- $memory := add (include "penstock.bytes" (.pool.size.memory | default "0")) (include "penstock.bytes" $values.shmSize) -}}
{{- $devices := mergeOverwrite (dict "nvidia.com/gpu" (toString .pool.gpus)) ($values.extraResources | default dict) -}}
requests:
  cpu: {{ .pool.size.cpu | quote }}
  memory: {{ .pool.size.memory }}
  ephemeral-storage: {{ .pool.size.ephemeralStorage }}
  {{- toYaml $devices | nindent 2 }}
limits:
  memory: {{ if eq (mod $memory 1073741824) 0 }}{{ div $memory 1073741824 }}Gi{{ else }}{{ div $memory 1048576 }}Mi{{ end }}
  {{- toYaml $devices | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* Affinity of a worker: every term of the user also requires its size and node pool. Context: pool as computed. */}}
{{- define "penstock.workerAffinity" -}}
{{- $affinity := deepCopy (.pool.values.affinity | default dict) -}}
{{- $own := list -}}
{{- if and .pool.values.sku (not .pool.simulator) -}}
{{- $own = append $own (dict "key" "node.kubernetes.io/instance-type" "operator" "In" "values" (list .pool.values.sku)) -}}
{{- end -}}
{{- with .pool.values.nodePool -}}
{{- $own = append $own (dict "key" "kubernetes.azure.com/agentpool" "operator" "In" "values" (list .)) -}}
{{- end -}}
{{- if $own -}}
{{- $node := $affinity.nodeAffinity | default dict -}}
{{- $required := $node.requiredDuringSchedulingIgnoredDuringExecution | default dict -}}
{{- $terms := list -}}
{{- range ($required.nodeSelectorTerms | default (list (dict))) -}}
{{- $terms = append $terms (set . "matchExpressions" (concat $own (.matchExpressions | default list))) -}}
{{- end -}}
{{- $_ := set $node "requiredDuringSchedulingIgnoredDuringExecution" (dict "nodeSelectorTerms" $terms) -}}
{{- $_ := set $affinity "nodeAffinity" $node -}}
{{- end -}}
{{- toYaml $affinity -}}
{{- end -}}

{{/* Prefix of every key of a model's two queues: `redisKeys.queuePrefix` of the programs. Context: ctx, model. */}}
{{- define "penstock.queuePrefix" -}}{{ printf "{%s:%s}" .ctx.Values.redis.prefix .model }}{{- end -}}
