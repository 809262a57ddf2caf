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
locustPods.runtimeClassName: set podDefaults.runtimeClassName
locustPods.metricsExporter: remove it; the operator exports the numbers of all tests itself. For Prometheus set monitoring.serviceMonitor.enabled
otelCollector: install a collector with its own chart, and set spec.observability.openTelemetry.endpoint of each LocustTest
kafka: set the variables in spec.env of each LocustTest
config.loadGenerationJobs: set config.jobTTL, for example 1h
config.loadGenerationPods: set podDefaults instead of resource, and spec.env of each LocustTest instead of kafka; remove the rest, affinity and tolerations always apply
runtimeClassName: remove it; the chart sets no runtime class for the operator. For the pods of tests set podDefaults.runtimeClassName
k8s: remove it; the roles are always created, and the CRD too. To run tests only in some namespaces, set watchNamespaces
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
{{- if or (hasPrefix "lotest/" .Values.image.repository) (regexMatch "^v?2[.]" .Values.image.tag) }}
  {{- $problems = append $problems (printf "image %s:%s is one of the 2.x operator, which does not work with this chart: remove image.repository and image.tag" .Values.image.repository .Values.image.tag) }}
{{- end }}
{{- range .Values.extraEnv }}
  {{- if regexMatch "^(JOB_TTL_SECONDS_AFTER_FINISHED|((MASTER|WORKER)_)?POD_(CPU|MEM|EPHEMERAL)_(REQUEST|LIMIT)|DEFAULT_RUNTIME_CLASS_NAME|ENABLE_(AFFINITY|TAINT_TOLERATIONS)_CR_INJECTION|ENABLE_WEBHOOKS|METRICS_EXPORTER_[A-Z_]+|KAFKA_[A-Z_]+)$" .name }}
    {{- $problems = append $problems (printf "extraEnv: %s is a variable of the 2.x operator, without an effect here: remove it; docs/migrate.md names what replaces it" .name) }}
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
