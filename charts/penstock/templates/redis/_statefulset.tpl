{{/* Context: ctx, redis (one of redisTargets). */}}
{{- define "penstock.redisStatefulSet" -}}
{{- $ctx := .ctx -}}
{{- $target := .redis -}}
{{- $redis := $target.bundled }}
{{- $component := $target.component }}
{{- $id := dict "ctx" $ctx "component" $component "suffix" $component }}
{{- /* Bodies and replies have no disk. */}}
{{- $persistence := $redis.persistence | default dict }}
apiVersion: apps/v1
kind: StatefulSet
metadata:
  {{- include "penstock.metadata" $id | nindent 2 }}
spec:
  replicas: 1
  serviceName: {{ include "penstock.object" (dict "ctx" $ctx "suffix" (printf "%s-headless" $component)) }}
  selector:
    matchLabels:
      {{- include "penstock.selector" $id | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "penstock.podLabels" (dict "ctx" $ctx "component" $component "extra" $redis.podLabels) | nindent 8 }}
      annotations:
        checksum/config: {{ include "penstock.redisFiles" $target | sha256sum }}
        {{- with mergeOverwrite (dict) ($ctx.Values.commonAnnotations | default dict) ($redis.podAnnotations | default dict) }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- include "penstock.pod" (dict "ctx" $ctx "values" $redis "account" (include "penstock.serviceAccountName" (dict "ctx" $ctx "component" $component "account" $redis.serviceAccount)) "priority" "") | nindent 6 }}
      terminationGracePeriodSeconds: {{ int $redis.terminationGracePeriodSeconds }}
      containers:
        - name: redis
          image: {{ include "penstock.image" (dict "ctx" $ctx "image" $redis.image) }}
          imagePullPolicy: {{ $redis.image.pullPolicy }}
          command: [sh, /etc/redis/start.sh]
          ports:
            - {name: redis, containerPort: 6379, protocol: TCP}
          {{- with $redis.extraEnv }}
          env:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          {{- with $redis.extraEnvFrom }}
          envFrom:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          startupProbe:
            exec: {command: [sh, /etc/redis/ping.sh]}
            periodSeconds: 2
            timeoutSeconds: 5
            failureThreshold: 30
          livenessProbe:
            exec: {command: [sh, /etc/redis/ping.sh]}
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            exec: {command: [sh, /etc/redis/ping.sh]}
            periodSeconds: 5
            timeoutSeconds: 3
            failureThreshold: 3
          terminationMessagePolicy: FallbackToLogsOnError
          resources:
            {{- toYaml $redis.resources | nindent 12 }}
          securityContext:
            {{- toYaml $redis.securityContext | nindent 12 }}
          volumeMounts:
            {{- if $persistence }}
            - {name: data, mountPath: /data}
            {{- end }}
            - {name: config, mountPath: /etc/redis, readOnly: true}
            - {name: auth, mountPath: /run/redis-auth, readOnly: true}
            - {name: tmp, mountPath: /tmp}
            {{- with $redis.extraVolumeMounts }}
            {{- toYaml . | nindent 12 }}
            {{- end }}
        {{- with $redis.extraContainers }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      volumes:
        - name: config
          configMap: {name: {{ include "penstock.object" $id }}}
        - name: auth
          secret:
            secretName: {{ $target.secret }}
            items: [{key: {{ $target.key | quote }}, path: password}]
        - name: tmp
          emptyDir: {medium: Memory, sizeLimit: 1Mi}
        {{- if and $persistence (not $persistence.enabled) }}
        - name: data
          emptyDir: {sizeLimit: {{ $persistence.size }}}
        {{- end }}
        {{- with $redis.extraVolumes }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  {{- if $persistence.enabled }}
  volumeClaimTemplates:
    - metadata:
        name: data
        labels:
          {{- include "penstock.selector" $id | nindent 10 }}
      spec:
        accessModes: [ReadWriteOnce]
        {{- with $persistence.storageClassName }}
        storageClassName: {{ . }}
        {{- end }}
        resources: {requests: {storage: {{ $persistence.size }}}}
  {{- end }}
{{- end -}}
