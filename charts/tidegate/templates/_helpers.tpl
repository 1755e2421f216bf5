{{- define "tidegate.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- /* The release's name where it says what this is; at most 55 characters, so that suffixes fit. */ -}}
{{- define "tidegate.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "tidegate.name" .) .Release.Name -}}
{{- .Release.Name | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "tidegate.name" .) | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* In a namespace that is not the release's, where another release of this name may have an object, too. Takes: root, namespace. */ -}}
{{- define "tidegate.nameIn" -}}
{{- $root := index . 0 -}}
{{- if ne (index . 1) $root.Release.Namespace }}{{ $root.Release.Namespace }}-{{ end }}{{ include "tidegate.fullname" $root -}}
{{- end -}}

{{- define "tidegate.selectorLabels" -}}
app.kubernetes.io/name: {{ include "tidegate.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end -}}

{{- define "tidegate.labels" -}}
{{- $own := dict
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
  "app.kubernetes.io/version" (.Values.image.tag | default .Chart.AppVersion | trunc 63 | trimSuffix "-")
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/part-of" "tidegate" -}}
{{- toYaml (merge dict (include "tidegate.selectorLabels" . | fromYaml) $own .Values.commonLabels) -}}
{{- end -}}

{{- define "tidegate.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "tidegate.fullname" .) -}}
{{- else -}}
{{- required "serviceAccount.name is needed where serviceAccount.create is false" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "tidegate.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* Milliseconds of a duration such as 1m30s; its form is the schema's to check. */ -}}
{{- define "tidegate.milliseconds" -}}
{{- $total := 0 -}}
{{- range regexFindAll "[0-9]+(ms|h|m|s)" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $total = add $total (mul (regexFind "[0-9]+" . | atoi) (get (dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1) $unit)) -}}
{{- end -}}
{{- $total -}}
{{- end -}}

{{- /* Seconds between the deletion of a pod and the last moment at which its program exits by itself. */ -}}
{{- define "tidegate.drainSeconds" -}}
{{- add .Values.preStopSleepSeconds (divf (include "tidegate.milliseconds" .Values.drainTimeout) 1000 | ceil | int) -}}
{{- end -}}

{{- define "tidegate.gracePeriod" -}}
{{- $needed := include "tidegate.drainSeconds" . | int -}}
{{- if kindIs "invalid" .Values.terminationGracePeriodSeconds -}}
{{- add $needed 10 -}}
{{- else -}}
{{- .Values.terminationGracePeriodSeconds | int -}}
{{- end -}}
{{- end -}}

{{- /* What the schema can't say: values that don't go together. */ -}}
{{- define "tidegate.validate" -}}
{{- $delay := include "tidegate.milliseconds" .Values.drainDelay | int -}}
{{- $timeout := include "tidegate.milliseconds" .Values.drainTimeout | int -}}
{{- if ge $delay $timeout -}}
{{- fail (printf "drainDelay (%s) must be shorter than drainTimeout (%s), which counts from SIGTERM on, too" .Values.drainDelay .Values.drainTimeout) -}}
{{- end -}}
{{- $needed := include "tidegate.drainSeconds" . | int -}}
{{- if lt (include "tidegate.gracePeriod" . | int) (add $needed 2 | int) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d, and preStopSleepSeconds with drainTimeout needs %d: the kubelet would kill a gateway that still serves" (int .Values.terminationGracePeriodSeconds) (add $needed 2)) -}}
{{- end -}}
{{- if and (gt (int .Values.preStopSleepSeconds) 0) (semverCompare "<1.30.0-0" .Capabilities.KubeVersion.Version) -}}
{{- fail (printf "preStopSleepSeconds needs Kubernetes 1.30 or later, and this is %s: use drainDelay" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and .Values.hostNetwork (or .Values.hostPorts.http .Values.hostPorts.https) -}}
{{- fail "hostPorts does not go with hostNetwork: the gateway listens on ports 8080 and 8443 of the node itself" -}}
{{- end -}}
{{- $surge := .Values.rollingUpdate.maxSurge | toString | trimSuffix "%" -}}
{{- $unavailable := .Values.rollingUpdate.maxUnavailable | toString | trimSuffix "%" -}}
{{- if and (eq $surge "0") (eq $unavailable "0") -}}
{{- fail "rollingUpdate takes one of maxUnavailable and maxSurge above 0: with neither no pod could ever be replaced" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (eq .Values.kind "DaemonSet") -}}
{{- fail "autoscaling.enabled goes with kind Deployment: a DaemonSet has a pod on each node" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" -}}
{{- end -}}
{{- if and .Values.podDisruptionBudget.enabled (eq (kindIs "invalid" .Values.podDisruptionBudget.minAvailable) (kindIs "invalid" .Values.podDisruptionBudget.maxUnavailable)) -}}
{{- fail "podDisruptionBudget takes one of minAvailable and maxUnavailable: set the other one to null" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.service.enabled) -}}
{{- fail "metrics.serviceMonitor.enabled needs metrics.service.enabled" -}}
{{- end -}}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.networkPolicy.enabled (empty .Values.networkPolicy.adminFrom) -}}
{{- fail "metrics.serviceMonitor.enabled needs networkPolicy.adminFrom: without it Prometheus may not call the admin port" -}}
{{- end -}}
{{- if and .Values.ingressClass.isDefault .Values.watchNamespaces .Values.rbac.create (not .Values.rbac.readIngressClasses) -}}
{{- fail "ingressClass.isDefault with watchNamespaces needs rbac.readIngressClasses: else the gateway can't see that the class is the default one" -}}
{{- end -}}
{{- if and .Values.publish.addresses .Values.publish.serviceOverride -}}
{{- fail "publish takes one of addresses and serviceOverride" -}}
{{- end -}}
{{- if and .Values.rbac.secretNamespaces .Values.watchNamespaces -}}
{{- range .Values.rbac.secretNamespaces -}}
{{- if not (has . $.Values.watchNamespaces) -}}
{{- fail (printf "rbac.secretNamespaces has %s, which watchNamespaces has not: its Secrets would never be used" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
