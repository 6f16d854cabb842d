{{- define "finetune.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- /* The name of nearly everything: the release's, with the chart's unless the release is called so. */ -}}
{{- define "finetune.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride -}}
{{- else if contains (include "finetune.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "finetune.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "finetune.selector" -}}
app.kubernetes.io/name: {{ include "finetune.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "finetune.labels" -}}
{{ include "finetune.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: finetune
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "finetune.serviceAccount" -}}
{{- $made := ternary (include "finetune.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $made .Values.serviceAccount.name -}}
{{- end -}}

{{- /* Roles that aggregate are shared by all releases that see them; the name tells them apart. */ -}}
{{- define "finetune.clusterName" -}}
{{- if eq .Release.Namespace (include "finetune.fullname" .) -}}
{{- include "finetune.fullname" . -}}
{{- else -}}
{{- printf "%s-%s" .Release.Namespace (include "finetune.fullname" .) -}}
{{- end -}}
{{- end -}}

{{- /* What the operator may do with what belongs to a namespace. docs/rbac.md says why; a test holds the two together. */ -}}
{{- define "finetune.rules" -}}
- apiGroups: [finetune.dev]
  resources: [finetunejobs]
  verbs: [get, list, watch]
- apiGroups: [finetune.dev]
  resources: [finetunejobs/status]
  verbs: [patch]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [create, get, list, watch, patch, delete]
- apiGroups: [""]
  resources: [configmaps, services]
  verbs: [create, get]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, list]
- apiGroups: [kueue.x-k8s.io]
  resources: [workloads]
  verbs: [list, watch]
{{- end -}}

{{- /* What it may do with what belongs to the cluster. */ -}}
{{- define "finetune.clusterRules" -}}
- apiGroups: [finetune.dev]
  resources: [finetuneprofiles]
  verbs: [list, watch]
{{- end -}}

{{- /* Labels of every pod that the operator's Jobs make. */ -}}
{{- define "finetune.jobPods" -}}
app.kubernetes.io/name: finetune
app.kubernetes.io/managed-by: finetune-operator
{{- end -}}

{{- /* An egress rule: names are looked up wherever the cluster's DNS stands. */ -}}
{{- define "finetune.dns" -}}
- ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
{{- end -}}

{{- /* What puts a policy into force, where this release serves. */ -}}
{{- define "finetune.policyBinding" -}}
{{- $top := index . 0 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ include "finetune.clusterName" $top }}-{{ index . 1 }}
  labels: {{- include "finetune.labels" $top | nindent 4 }}
spec:
  policyName: {{ include "finetune.clusterName" $top }}-{{ index . 1 }}
  validationActions: [Deny]
  {{- if eq $top.Values.scope "namespaces" }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - {key: kubernetes.io/metadata.name, operator: In, values: {{ toJson $top.Values.namespaces }}}
  {{- end }}
{{- end -}}
