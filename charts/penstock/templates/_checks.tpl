{{/* Pools that always have a worker; checks do not wait for a pool that may scale to zero. Separated by commas. */}}
{{- define "penstock.checkedPools" -}}
{{- $names := list -}}
{{- range $name := (include "penstock.pools" . | fromJson).names -}}
{{- $values := (include "penstock.pool" (dict "ctx" $ "name" $name "pool" (get $.Values.workerPools $name)) | fromJson).values -}}
{{- if gt (int (ternary $values.autoscaling.min $values.replicas $values.autoscaling.enabled)) 0 }}{{ $names = append $names $name }}{{ end -}}
{{- end -}}
{{- join "," $names -}}
{{- end -}}

{{/* Models of these pools. Separated by commas. */}}
{{- define "penstock.checkedModels" -}}
{{- $models := list -}}
{{- range $name := splitList "," (include "penstock.checkedPools" .) -}}
{{- if $name -}}
{{- $models = append $models (include "penstock.pool" (dict "ctx" $ "name" $name "pool" (get $.Values.workerPools $name)) | fromJson).model -}}
{{- end -}}
{{- end -}}
{{- join "," ($models | uniq) -}}
{{- end -}}

{{/* Spec of a pod that runs a check. Context: ctx, check, env (map), seconds. */}}
{{- define "penstock.checkPod" -}}
{{- $gateway := .ctx.Values.gateway -}}
restartPolicy: Never
activeDeadlineSeconds: {{ .seconds }}
serviceAccountName: {{ include "penstock.object" (dict "ctx" .ctx "suffix" "checks") }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .ctx.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml $gateway.podSecurityContext | nindent 2 }}
{{- with $gateway.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $gateway.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: check
    image: {{ include "penstock.image" (dict "ctx" .ctx "image" $gateway.image) }}
    imagePullPolicy: {{ $gateway.image.pullPolicy }}
    command: [node, /checks/checks.mjs, {{ .check }}]
    env:
      {{- $urls := dict "INTERNAL_URL" (printf "http://%s:9090" (include "penstock.object" (dict "ctx" .ctx "suffix" "gateway-internal"))) "PUBLIC_URL" (printf "%s://%s:%d" (ternary "https" "http" (ne $gateway.tls.existingSecret "")) (include "penstock.object" (dict "ctx" .ctx "suffix" "gateway")) (int $gateway.service.port)) }}
      {{- if $gateway.tls.existingSecret }}{{ $_ := set $urls "NODE_EXTRA_CA_CERTS" "/authority/ca.crt" }}{{ end }}
      {{- include "penstock.env" (mergeOverwrite $urls .env) | nindent 6 }}
      {{- if and .ctx.Values.tests.existingSecret (ne .check "pools") }}
      - name: KEY
        valueFrom: {secretKeyRef: {name: {{ .ctx.Values.tests.existingSecret }}, key: {{ .ctx.Values.tests.secretKey | quote }}}}
      {{- end }}
    terminationMessagePolicy: FallbackToLogsOnError
    resources:
      requests: {cpu: 50m, memory: 64Mi, ephemeral-storage: 16Mi}
      limits: {memory: 256Mi}
    securityContext:
      {{- toYaml $gateway.securityContext | nindent 6 }}
    volumeMounts:
      - {name: checks, mountPath: /checks, readOnly: true}
      {{- if $gateway.tls.existingSecret }}
      - {name: authority, mountPath: /authority, readOnly: true}
      {{- end }}
volumes:
  - name: checks
    configMap: {name: {{ include "penstock.object" (dict "ctx" .ctx "suffix" "checks") }}}
  {{- if $gateway.tls.existingSecret }}
  - name: authority
    secret:
      secretName: {{ $gateway.tls.existingSecret }}
      items: [{key: {{ $gateway.tls.caKey | quote }}, path: ca.crt}]
      optional: true
  {{- end }}
{{- end -}}
