{{- /* There is one plugin on a node, so names and labels do not depend on the release. */}}
{{- define "rdma-cni.podLabels" -}}
app.kubernetes.io/name: rdma-cni
app.kubernetes.io/component: cni-plugin
{{- end }}

{{- /* Those of the pod stay the same when only the chart changes, so that it does not start again. */}}
{{- define "rdma-cni.labels" -}}
{{ include "rdma-cni.podLabels" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "rdma-cni.image" -}}
{{- with .Values.image -}}
image: "{{ .repository }}{{ with .digest }}@{{ . }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}"
imagePullPolicy: {{ .pullPolicy }}
{{- end }}
{{- end }}

{{- define "rdma-cni.cniBinDir" -}}
{{- .Values.cniBinDir | default (ternary "/var/lib/cni/bin" "/opt/cni/bin" .Values.openshift.enabled) }}
{{- end }}

{{- /* The security context of a container that has no capability but those in the list. */}}
{{- define "rdma-cni.confined" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  {{- with . }}
  add: {{ toJson . }}
  {{- end }}
privileged: false
readOnlyRootFilesystem: true
{{- end }}
