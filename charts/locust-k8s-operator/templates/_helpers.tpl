{{/* The prefix of all names. With the release name locust-k8s-operator the names are those of config/default. */}}
{{- define "locust-k8s-operator.prefix" -}}
{{ .Values.fullnameOverride | default .Release.Name }}
{{- end }}

{{/* The name of the operator's Deployment, and by default of its ServiceAccount. */}}
{{- define "locust-k8s-operator.manager" -}}
{{ include "locust-k8s-operator.prefix" . }}-controller-manager
{{- end }}

{{- define "locust-k8s-operator.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "locust-k8s-operator.manager" .) }}
{{- end }}

{{/* The name of the webhooks' Service, Secret and ValidatingWebhookConfiguration. */}}
{{- define "locust-k8s-operator.webhook" -}}
{{ include "locust-k8s-operator.prefix" . }}-webhook
{{- end }}

{{/*
The labels of an object, for a list of the root context and a map of additional labels. The chart's own labels take
precedence over those of the user, because selectors need them.
*/}}
{{- define "locust-k8s-operator.labels" -}}
{{- $root := first . }}
{{- $own := dict
  "app.kubernetes.io/name" "locust-k8s-operator"
  "app.kubernetes.io/part-of" "locust-k8s-operator"
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/managed-by" $root.Release.Service
  "helm.sh/chart" (printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_"))
}}
{{- merge $own (last .) $root.Values.commonLabels | toYaml }}
{{- end }}

{{/* The labels that select the operator's pods. */}}
{{- define "locust-k8s-operator.selector" -}}
app.kubernetes.io/name: locust-k8s-operator
app.kubernetes.io/instance: {{ .Release.Name }}
control-plane: controller-manager
{{- end }}

{{/* The label of what belongs to the operator's pods, as in config. */}}
{{- define "locust-k8s-operator.managerLabels" -}}
{{ include "locust-k8s-operator.labels" (list . (dict "control-plane" "controller-manager")) }}
{{- end }}

{{/*
The operator's image. A released chart has the digest of its image in an annotation, not in a value: a user who sets only
the tag gets that tag.
*/}}
{{- define "locust-k8s-operator.image" -}}
{{- $image := .Values.image }}
{{- $digest := $image.digest }}
{{- if not (or $image.tag $digest) }}
  {{- $digest = index .Chart.Annotations "locust.io/operator-digest" }}
{{- end }}
{{- $tag := $image.tag }}
{{- if not (or $tag $digest) }}
  {{- $tag = printf "v%s" .Chart.AppVersion }}
{{- end }}
{{- $image.repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with $digest }}@{{ . }}{{ end }}
{{- end }}

{{/* imagePullSecrets, with those of the 2.x chart, which are names. */}}
{{- define "locust-k8s-operator.imagePullSecrets" -}}
{{- $all := .Values.imagePullSecrets }}
{{- range .Values.image.pullSecrets }}
  {{- $all = append $all (dict "name" .) }}
{{- end }}
{{- with $all }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The annotation by which cert-manager writes the CA bundle. Without it, the operator does. */}}
{{- define "locust-k8s-operator.injectCA" -}}
{{- if eq .Values.certificates "cert-manager" -}}
cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/{{ include "locust-k8s-operator.webhook" . }}
{{- end }}
{{- end }}
