{{/* The values of the 2.x chart that mean nothing here, or something else, and what to do instead. */}}
{{- define "locust-k8s-operator.removed" -}}
nameOverride: set fullnameOverride, the prefix of all names
metrics: remove it; metrics are always served, over TLS on port 8443, to clients that may get /metrics. For Prometheus set monitoring.serviceMonitor.enabled
webhook: set certificates to self or cert-manager; the webhooks are always on
locustPods.resources: set podDefaults.master.resources and podDefaults.worker.resources
locustPods.masterResources: set podDefaults.master.resources
locustPods.workerResources: set podDefaults.worker.resources
locustPods.affinityInjection: remove it; spec.scheduling.affinity of a LocustTest always applies
locustPods.tolerationsInjection: remove it; spec.scheduling.tolerations of a LocustTest always applies
locustPods.metricsExporter: remove it; the operator exports the numbers of all tests itself. For Prometheus set monitoring.serviceMonitor.enabled
otelCollector: install a collector with its own chart, and set spec.observability.openTelemetry.endpoint of each LocustTest
kafka: set the variables in spec.env of each LocustTest
config.loadGenerationJobs: set config.jobTTL, for example 1h
config.loadGenerationPods: set podDefaults, and spec.env of each LocustTest
k8s: remove it; the roles are always created. To run tests only in some namespaces, set watchNamespaces
{{- end }}

{{/*
Refuses what the schema cannot, because its messages cannot name a remedy. It reports everything at once.
*/}}
{{- define "locust-k8s-operator.checks" -}}
{{- $problems := list }}
{{- range $path, $remedy := include "locust-k8s-operator.removed" . | fromYaml }}
  {{- $value := $.Values }}
  {{- $found := true }}
  {{- range $key := splitList "." $path }}
    {{- if and $found (kindIs "map" $value) (hasKey $value $key) }}
      {{- $value = index $value $key }}
    {{- else }}
      {{- $found = false }}
    {{- end }}
  {{- end }}
  {{- if $found }}
    {{- $problems = append $problems (printf "%s is a value of the 2.x chart: %s" $path $remedy) }}
  {{- end }}
{{- end }}
{{- with .Values.leaderElection }}
  {{- if not (dig "enabled" true .) }}
    {{- $problems = append $problems "leaderElection.enabled is a value of the 2.x chart: remove it; leader election is always on. It costs one Lease" }}
  {{- end }}
{{- end }}
{{- $prefix := include "locust-k8s-operator.prefix" . }}
{{- if or (gt (len $prefix) 36) (not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" $prefix)) }}
  {{- $problems = append $problems (printf "%q cannot be the prefix of the names of Services: set fullnameOverride to at most 36 lower case letters, digits and dashes, beginning with a letter" $prefix) }}
{{- end }}
{{- if and (eq .Values.certificates "none") .Values.crds.install }}
  {{- $problems = append $problems "certificates: none needs crds.install: false, because the CRD needs the conversion webhook" }}
{{- end }}
{{- if not (or .Values.serviceAccount.create .Values.serviceAccount.name) }}
  {{- $problems = append $problems "serviceAccount.create: false needs serviceAccount.name, an existing ServiceAccount" }}
{{- end }}
{{- with $problems }}
  {{- fail (printf "invalid values:\n- %s\n" (join "\n- " .)) }}
{{- end }}
{{- end }}
