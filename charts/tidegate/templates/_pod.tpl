{{- /* NAMESPACE/NAME of the Service whose addresses Ingresses get; empty: none. */ -}}
{{- define "tidegate.publishedService" -}}
{{- if .Values.publish.addresses -}}
{{- else if .Values.publish.serviceOverride -}}
{{ .Values.publish.serviceOverride }}
{{- else if and .Values.publish.service .Values.service.enabled -}}
{{ .Release.Namespace }}/{{ include "tidegate.fullname" . }}
{{- end -}}
{{- end -}}

{{- /* The program's arguments. Every flag here is one that `tidegate serve` knows. */ -}}
{{- define "tidegate.args" -}}
- serve
- --http={{ .Values.listenAddress }}:8080
- --https={{ .Values.listenAddress }}:8443
{{- /* Beyond loopback, for the kubelet and Prometheus; the NetworkPolicy keeps others away. */}}
- --admin={{ .Values.listenAddress }}:9901
- --ingress-class={{ .Values.ingressClass.name }}
{{- with .Values.workers }}
- --workers={{ . }}
{{- end }}
{{- with .Values.watchNamespaces }}
- --watch-namespace={{ join "," . }}
{{- end }}
{{- if .Values.publish.addresses }}
- --publish-address={{ join "," .Values.publish.addresses }}
{{- else }}
{{- with include "tidegate.publishedService" . }}
- --publish-service={{ . }}
{{- end }}
{{- end }}
{{- with .Values.trustedProxies }}
- --trusted-proxies={{ join "," . }}
{{- end }}
{{- if .Values.proxyProtocol }}
{{- if not .Values.trustedProxies }}
{{- fail "proxyProtocol needs trustedProxies: the addresses that the load balancer connects from" }}
{{- end }}
- --proxy-protocol
{{- end }}
{{- with .Values.tracing.endpoint }}
- --otlp-endpoint={{ . }}
- --trace-ratio={{ $.Values.tracing.ratio }}
{{- end }}
{{- with .Values.zone }}
- --zone={{ . }}
{{- end }}
{{- with .Values.defaultCertificate }}
- --default-certificate={{ . }}
{{- end }}
{{- if .Values.allowExternalName }}
- --allow-external-name
{{- end }}
{{- if .Values.allowLoopbackFetch }}
- --allow-loopback-fetch
{{- end }}
{{- if not .Values.h2c }}
- --h2c=off
{{- end }}
{{- if ne .Values.tls.minVersion "1.2" }}
- --tls-min-version={{ .Values.tls.minVersion }}
{{- end }}
{{- if ne .Values.tls.maxVersion "1.3" }}
- --tls-max-version={{ .Values.tls.maxVersion }}
{{- end }}
{{- with .Values.tls.ciphers }}
- --tls-ciphers={{ join "," . }}
{{- end }}
{{- if ne (toString .Values.maxConcurrency) "auto" }}
- --max-concurrency={{ .Values.maxConcurrency }}
{{- end }}
{{- if ne .Values.cacheMemory "128MiB" }}
- --cache-memory={{ .Values.cacheMemory }}
{{- end }}
{{- if gt (int .Values.maxConnectionsPerClient) 0 }}
- --max-connections-per-client={{ int .Values.maxConnectionsPerClient }}
{{- end }}
{{- if .Values.affinityKey.secretName }}
- --affinity-key-file=/etc/tidegate/affinity/{{ .Values.affinityKey.key }}
{{- end }}
{{- if .Values.redis.url }}
- --redis={{ .Values.redis.url }}
{{- if .Values.redis.passwordSecret.name }}
- --redis-password-file=/etc/tidegate/redis/{{ .Values.redis.passwordSecret.key }}
{{- end }}
{{- else if .Values.redis.passwordSecret.name }}
{{- fail "redis.passwordSecret needs redis.url: where the Redis is that the password is for" }}
{{- end }}
- --drain-delay={{ .Values.drainDelay }}
- --drain-timeout={{ .Values.drainTimeout }}
- --access-log={{ .Values.accessLog }}
- --log-level={{ .Values.logLevel }}
{{- with .Values.extraArgs }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- /* Pods can't take each other's place before they go where they share a port of the node. */ -}}
{{- define "tidegate.rollingUpdate" -}}
{{- if or .Values.hostNetwork .Values.hostPorts.http .Values.hostPorts.https -}}
maxUnavailable: 1
maxSurge: 0
{{- else -}}
{{ toYaml .Values.rollingUpdate }}
{{- end -}}
{{- end -}}

{{- define "tidegate.podTemplate" -}}
metadata:
  labels:
    {{- /* The chart's version is left out, so that a new one with the same pods does not replace them. */}}
    {{- $own := dict "app.kubernetes.io/component" "gateway" "app.kubernetes.io/part-of" "tidegate" }}
    {{- toYaml (merge dict (include "tidegate.selectorLabels" . | fromYaml) .Values.podLabels $own .Values.commonLabels) | nindent 4 }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "tidegate.serviceAccountName" . }}
  automountServiceAccountToken: true
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ include "tidegate.gracePeriod" . }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  {{- with .Values.runtimeClassName }}
  runtimeClassName: {{ . }}
  {{- end }}
  {{- if .Values.hostNetwork }}
  hostNetwork: true
  {{- end }}
  {{- if or .Values.dnsPolicy .Values.hostNetwork }}
  dnsPolicy: {{ .Values.dnsPolicy | default "ClusterFirstWithHostNet" }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- $selector := dict "matchLabels" (include "tidegate.selectorLabels" . | fromYaml) }}
  {{- if not (kindIs "invalid" .Values.topologySpreadConstraints) }}
  {{- with .Values.topologySpreadConstraints }}
  topologySpreadConstraints:
    {{- range . }}
    - {{- toYaml (merge (dict) . (dict "labelSelector" $selector)) | nindent 6 }}
    {{- end }}
  {{- end }}
  {{- else if eq .Values.kind "Deployment" }}
  topologySpreadConstraints:
    {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - topologyKey: {{ . }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      matchLabelKeys: [pod-template-hash]
      labelSelector:
        {{- toYaml $selector | nindent 8 }}
    {{- end }}
  {{- end }}
  containers:
    - name: tidegate
      image: {{ include "tidegate.image" . | quote }}
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args:
        {{- range include "tidegate.args" . | fromYamlArray }}
        - {{ . | quote }}
        {{- end }}
      env:
        - name: POD_NAME
          valueFrom: { fieldRef: { apiVersion: v1, fieldPath: metadata.name } }
        - name: POD_NAMESPACE
          valueFrom: { fieldRef: { apiVersion: v1, fieldPath: metadata.namespace } }
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: http
          containerPort: 8080
          protocol: TCP
          {{- with .Values.hostPorts.http }}
          hostPort: {{ . }}
          {{- end }}
        - name: https
          containerPort: 8443
          protocol: TCP
          {{- with .Values.hostPorts.https }}
          hostPort: {{ . }}
          {{- end }}
        - name: admin
          containerPort: 9901
          protocol: TCP
      livenessProbe:
        httpGet: { path: /healthz, port: admin, scheme: HTTP }
        {{- toYaml .Values.livenessProbe | nindent 8 }}
      readinessProbe:
        httpGet: { path: /readyz, port: admin, scheme: HTTP }
        {{- toYaml .Values.readinessProbe | nindent 8 }}
      {{- if gt (int .Values.preStopSleepSeconds) 0 }}
      lifecycle:
        preStop: { sleep: { seconds: {{ int .Values.preStopSleepSeconds }} } }
      {{- end }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      {{- if or .Values.affinityKey.secretName .Values.redis.passwordSecret.name .Values.extraVolumeMounts }}
      volumeMounts:
        {{- if .Values.affinityKey.secretName }}
        - { name: affinity-key, mountPath: /etc/tidegate/affinity, readOnly: true }
        {{- end }}
        {{- if .Values.redis.passwordSecret.name }}
        - { name: redis-password, mountPath: /etc/tidegate/redis, readOnly: true }
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- end }}
  {{- if or .Values.affinityKey.secretName .Values.redis.passwordSecret.name .Values.extraVolumes }}
  volumes:
    {{- if .Values.affinityKey.secretName }}
    - name: affinity-key
      secret: { secretName: {{ .Values.affinityKey.secretName | quote }} }
    {{- end }}
    {{- if .Values.redis.passwordSecret.name }}
    - name: redis-password
      secret: { secretName: {{ .Values.redis.passwordSecret.name | quote }} }
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- end }}
{{- end -}}
