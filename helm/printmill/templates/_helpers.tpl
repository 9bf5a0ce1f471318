{{/* The name that all objects begin with. */}}
{{- define "printmill.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "printmill" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-printmill" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What selects the pods of a component; it never changes. Takes (dict "root" $ "component" "api"). */}}
{{- define "printmill.selector" -}}
app.kubernetes.io/name: printmill
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* All labels of a component's objects. */}}
{{- define "printmill.labels" -}}
{{ include "printmill.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- with .root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "printmill.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "printmill.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "printmill.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{/* How long a pod may take to end: what its preStop waits, the drain, and 10 seconds for the rest. */}}
{{- define "printmill.gracePeriod" -}}
{{- add (int .drain) (int .preStop) 10 -}}
{{- end -}}

{{/* Settings of the node as variables, one line each. Takes a dictionary of settings. */}}
{{- define "printmill.settings" -}}
{{- range $key := keys . | sortAlpha }}
{{- $value := get $ $key }}
PRINTMILL_{{ $key | upper }}: {{ if kindIs "float64" $value }}{{ printf "%.0f" $value | quote }}{{ else }}{{ $value | toString | quote }}{{ end }}
{{- end }}
{{- end -}}

{{/* The variables that come from Secrets: addresses with passwords in them, and the signing key. */}}
{{- define "printmill.secretVariables" -}}
- name: PRINTMILL_DATABASE
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret | quote }}
      key: {{ .Values.database.key | quote }}
{{- if not .Values.queue.address }}
- name: PRINTMILL_QUEUE
  valueFrom:
    secretKeyRef:
      name: {{ .Values.queue.existingSecret | default .Values.database.existingSecret | quote }}
      key: {{ ternary .Values.queue.key .Values.database.key (not (empty .Values.queue.existingSecret)) | quote }}
{{- end }}
{{- if not .Values.blobs.address }}
- name: PRINTMILL_BLOBS
  valueFrom:
    secretKeyRef:
      name: {{ .Values.blobs.existingSecret | quote }}
      key: {{ .Values.blobs.key | quote }}
{{- end }}
- name: PRINTMILL_SIGNING_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .Values.signingKey.existingSecret | quote }}
      key: {{ .Values.signingKey.key | quote }}
{{- end -}}

{{/* Where PRINTMILL_… of a pod come from. Takes (dict "root" $ "role" .Values.api "component" "api"). */}}
{{- define "printmill.environment" -}}
{{- $root := .root -}}
envFrom:
  - configMapRef:
      name: {{ include "printmill.fullname" $root }}
  {{- with $root.Values.blobs.credentialsSecret }}
  - secretRef:
      name: {{ . | quote }}
  {{- end }}
  {{- with $root.Values.extraEnvFrom }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
env:
  {{- include "printmill.secretVariables" $root | nindent 2 }}
  {{- range $key, $value := fromYaml (include "printmill.settings" (.role.settings | default dict)) }}
  - name: {{ $key }}
    value: {{ $value | quote }}
  {{- end }}
  {{- with $root.Values.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* What all pods of Printmill have in common: identity, and as few rights as there are. */}}
{{- define "printmill.podSecurity" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# A Service called printmill-… would else put variables called PRINTMILL_… into each pod, and a node
# refuses settings that it does not know.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ int .Values.podSecurity.runAsUser }}
  runAsGroup: {{ int .Values.podSecurity.runAsGroup }}
  fsGroup: {{ int .Values.podSecurity.fsGroup }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "printmill.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{/* The folder for files that are being made. Takes (dict "root" $ "role" .Values.worker). */}}
{{- define "printmill.volumes" -}}
- name: data
  emptyDir:
    sizeLimit: {{ .role.dataSize | quote }}
{{- with .root.Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "printmill.volumeMounts" -}}
- name: data
  mountPath: /var/lib/printmill
{{- with .root.Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Who is asked how it is: the listener that every role has. */}}
{{- define "printmill.probes" -}}
# A node that cannot reach its database ends by itself, with the reason in its log.
startupProbe:
  httpGet: {path: /healthz, port: status}
  periodSeconds: 2
  timeoutSeconds: 3
  # Five minutes: without the Job, others wait while one pod brings the tables up to date.
  failureThreshold: 150
livenessProbe:
  httpGet: {path: /healthz, port: status}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 3
readinessProbe:
  httpGet: {path: /readyz, port: status}
  periodSeconds: 5
  timeoutSeconds: 4
  failureThreshold: 2
{{- end -}}

{{/* Where pods run. Takes (dict "root" $ "role" … "component" …). */}}
{{- define "printmill.placement" -}}
{{- with .root.Values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - maxSkew: {{ .maxSkew }}
    topologyKey: {{ .topologyKey }}
    whenUnsatisfiable: {{ .whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "printmill.selector" $ | nindent 8 }}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- with .role.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .role.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end -}}

{{/* Whether the number of a role's pods is somebody else's business. */}}
{{- define "printmill.scaled" -}}
{{- if eq .component "worker" -}}
{{- if .root.Values.keda.enabled }}yes{{ end -}}
{{- else if eq .component "api" -}}
{{- if .role.autoscaling.enabled }}yes{{ end -}}
{{- end -}}
{{- end -}}

{{/* The Deployment of a role. Takes (dict "root" $ "role" .Values.api "component" "api"). */}}
{{- define "printmill.deployment" -}}
{{- $root := .root -}}
{{- $preStop := 0 -}}
{{- if eq .component "api" -}}{{- $preStop = .role.preStopSeconds -}}{{- end -}}
{{- $drain := $root.Values.settings.drain_seconds -}}
{{- if hasKey (.role.settings | default dict) "drain_seconds" -}}{{- $drain = .role.settings.drain_seconds -}}{{- end -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "printmill.fullname" $root }}-{{ .component }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "printmill.labels" . | nindent 4 }}
spec:
  {{- if not (include "printmill.scaled" .) }}
  replicas: {{ int .role.replicas }}
  {{- end }}
  revisionHistoryLimit: 3
  # The new pod is there before an old one goes; both versions work on the same database meanwhile.
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: 1
      maxUnavailable: 0
  selector:
    matchLabels:
      {{- include "printmill.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "printmill.labels" . | nindent 8 }}
        app.kubernetes.io/part-of: roles
        {{- with .role.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        # Pods begin anew when the settings change.
        checksum/settings: {{ include (print $root.Template.BasePath "/configmap.yaml") $root | sha256sum }}
        {{- with .role.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "printmill.serviceAccount" $root }}
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: {{ include "printmill.gracePeriod" (dict "drain" $drain "preStop" $preStop) }}
      {{- include "printmill.podSecurity" $root | nindent 6 }}
      {{- include "printmill.placement" . | nindent 6 }}
      containers:
        - name: {{ .component }}
          image: {{ include "printmill.image" $root | quote }}
          imagePullPolicy: {{ $root.Values.image.pullPolicy }}
          args: [serve, --roles, {{ .component }}]
          {{- include "printmill.environment" . | nindent 10 }}
          ports:
            {{- if eq .component "api" }}
            - {name: http, containerPort: 7070, protocol: TCP}
            {{- end }}
            - {name: status, containerPort: 7071, protocol: TCP}
          {{- include "printmill.probes" $root | nindent 10 }}
          {{- if gt (int $preStop) 0 }}
          # Requests still come for a moment after a pod was told to go: it accepts them till then.
          lifecycle:
            preStop:
              sleep:
                seconds: {{ int $preStop }}
          {{- end }}
          resources:
            {{- toYaml .role.resources | nindent 12 }}
          {{- include "printmill.containerSecurity" $root | nindent 10 }}
          volumeMounts:
            {{- include "printmill.volumeMounts" . | nindent 12 }}
      volumes:
        {{- include "printmill.volumes" . | nindent 8 }}
{{- end -}}
