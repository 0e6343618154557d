{{/* Names have at most 52 characters, because Kubernetes appends to them; a longer name ends with a hash of itself. */}}
{{- define "penstock.short" -}}
{{- if gt (len .) 52 -}}{{ printf "%s-%s" (trunc 43 . | trimSuffix "-") (sha256sum . | trunc 8) }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{- define "penstock.name" -}}{{ default .Chart.Name .Values.nameOverride | trunc 52 | trimSuffix "-" }}{{- end -}}

{{- define "penstock.fullname" -}}
{{- $name := include "penstock.name" . -}}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- include "penstock.short" (default $release .Values.fullnameOverride) -}}
{{- end -}}

{{/* Name of an object. Context: ctx, suffix. */}}
{{- define "penstock.object" -}}{{ include "penstock.short" (printf "%s-%s" (include "penstock.fullname" .ctx) .suffix) }}{{- end -}}

{{/* Labels for selectors: nothing that changes while a release exists. Context: ctx, component, pool if any. */}}
{{- define "penstock.selector" -}}
app.kubernetes.io/name: {{ include "penstock.name" .ctx }}
app.kubernetes.io/instance: {{ .ctx.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
pool: {{ . | quote }}
{{- end }}
{{- end -}}

{{- define "penstock.labels" -}}
{{- $own := include "penstock.selector" . | fromYaml -}}
{{- $_ := set $own "app.kubernetes.io/version" .ctx.Chart.AppVersion -}}
{{- $_ := set $own "app.kubernetes.io/part-of" "penstock" -}}
{{- $_ := set $own "app.kubernetes.io/managed-by" .ctx.Release.Service -}}
{{- $_ := set $own "helm.sh/chart" (printf "%s-%s" .ctx.Chart.Name .ctx.Chart.Version | replace "+" "_") -}}
{{- toYaml (mergeOverwrite (dict) (.ctx.Values.commonLabels | default dict) (.extra | default dict) $own) -}}
{{- end -}}

{{/* Labels of a pod template, without the chart's version, so that a new version does not restart pods. */}}
{{- define "penstock.podLabels" -}}{{ unset (include "penstock.labels" . | fromYaml) "helm.sh/chart" | toYaml }}{{- end -}}

{{/* The inside of `metadata`. Context: ctx, component, suffix; pool, annotations, extra labels if any. */}}
{{- define "penstock.metadata" -}}
name: {{ include "penstock.object" . }}
namespace: {{ .ctx.Release.Namespace }}
labels:
  {{- include "penstock.labels" . | nindent 2 }}
{{- with mergeOverwrite (dict) (.ctx.Values.commonAnnotations | default dict) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Context: ctx, image. */}}
{{- define "penstock.image" -}}
{{- $registry := default .image.registry .ctx.Values.global.imageRegistry -}}
{{- with $registry }}{{ . | trimSuffix "/" }}/{{ end -}}
{{- .image.repository -}}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ default .ctx.Chart.AppVersion .image.tag }}{{ end -}}
{{- end -}}

{{/* Context: ctx, component, account (its values). */}}
{{- define "penstock.serviceAccountName" -}}
{{- if .account.create -}}{{ default (include "penstock.object" (dict "ctx" .ctx "suffix" .component)) .account.name }}
{{- else -}}{{ default "default" .account.name }}{{- end -}}
{{- end -}}

{{/* A quantity such as 1.5Gi in bytes. */}}
{{- define "penstock.bytes" -}}
{{- $text := toString . -}}
{{- $factors := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $unit := regexReplaceAll "^[0-9.]+" $text "" -}}
{{- if or (not (hasKey $factors $unit)) (not (regexMatch "^[0-9]" $text)) -}}
{{- fail (printf "%s is not a quantity of bytes: write a number and one of k, M, G, T, Ki, Mi, Gi, Ti." $text) -}}
{{- end -}}
{{- mulf (regexFind "^[0-9.]+" $text | float64) (get $factors $unit | default 0 | float64) | int64 -}}
{{- end -}}

{{/* A map as a list of environment variables, in the order of their names; an empty value is left out. */}}
{{- define "penstock.env" -}}
{{- $list := list -}}
{{- range $name, $value := . -}}
{{- if ne (toString $value) "" }}{{ $list = append $list (dict "name" $name "value" (toString $value)) }}{{ end -}}
{{- end -}}
{{- toYaml $list -}}
{{- end -}}

{{/* Parts that all pods share. Context: ctx, values of the component, account, priority. */}}
{{- define "penstock.pod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .ctx.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .values.podSecurityContext | nindent 2 }}
{{- with default .priority .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .values.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.extraInitContainers }}
initContainers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The name of a PriorityClass of the release, or nothing. Context: ctx, component. */}}
{{- define "penstock.priority" -}}
{{- if .ctx.Values.priorityClasses.create }}{{ include "penstock.object" (dict "ctx" .ctx "suffix" .component) }}{{ end -}}
{{- end -}}

{{/* Whether the rendering can query a cluster: every namespace has this ConfigMap, unless the namespace does not exist yet. */}}
{{- define "penstock.cluster" -}}
{{- if lookup "v1" "ConfigMap" .Release.Namespace "kube-root-ca.crt" -}}yes
{{- else if lookup "v1" "Namespace" "" "default" -}}yes{{- end -}}
{{- end -}}
