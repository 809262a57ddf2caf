// Package operator2 makes the objects that the 2.x operator leaves in a cluster, for tests of the migration. They follow a
// dump of the objects of release 2.3.0: names, labels, owner references, ports, sidecar, resources, finalizer and status.
package operator2

import (
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Finalizer is the finalizer that the 2.x operator adds to each LocustTest.
const Finalizer = "locust.io/cleanup"

// exporter does nothing in place of the metrics exporter, a native sidecar.
const exporter = `import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); time.sleep(1e9)`

// Objects returns the Service and the Jobs of a stored test that has a ConfigMap and an autoquit timeout.
func Objects(test *v2.LocustTest) []client.Object {
	autoquit := "60"
	if quit := test.Spec.Master.Autoquit; quit != nil && quit.Timeout != nil {
		autoquit = fmt.Sprint(*quit.Timeout)
	}
	master := job(test, "master", 1, test.Spec.Master.Command, "--master", "--master-port=5557", fmt.Sprintf("--expect-workers=%d", test.Spec.Worker.Replicas),
		"--autostart", "--autoquit", autoquit, "--enable-rebalancing", "--only-summary")
	template := &master.Spec.Template
	template.Annotations = map[string]string{"prometheus.io/path": "/metrics", "prometheus.io/port": "9646", "prometheus.io/scrape": "true"}
	template.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 5557}, {ContainerPort: 5558}, {ContainerPort: 8089}}
	template.Spec.InitContainers = []corev1.Container{{
		Name: "locust-metrics-exporter", Image: test.Spec.Image, Command: []string{"python3", "-c", exporter}, RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
		Env:       []corev1.EnvVar{{Name: "LOCUST_EXPORTER_URI", Value: "http://localhost:8089"}, {Name: "LOCUST_EXPORTER_WEB_LISTEN_ADDRESS", Value: ":9646"}},
		Ports:     []corev1.ContainerPort{{ContainerPort: 9646}},
		Resources: resources(),
		SecurityContext: &corev1.SecurityContext{AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			ReadOnlyRootFilesystem: ptr.To(true)},
	}}
	worker := job(test, "worker", test.Spec.Worker.Replicas, test.Spec.Worker.Command, "--worker", "--master-port=5557", "--master-host="+test.Name+"-master")
	worker.Spec.Template.Spec.Containers[0].Ports = []corev1.ContainerPort{{ContainerPort: 8080}}
	return []client.Object{service(test), master, worker}
}

// Status returns the status of a stored test that is Running or Succeeded.
func Status(test *v2.LocustTest, phase string) v2.LocustTestStatus {
	now := metav1.Now().Rfc3339Copy()
	s := v2.LocustTestStatus{ObservedGeneration: test.Generation, Phase: phase, ExpectedWorkers: test.Spec.Worker.Replicas, StartTime: &now}
	workers := metav1.Condition{Type: "WorkersConnected", Status: "True", Reason: "AllWorkersConnected", Message: fmt.Sprintf("%[1]d/%[1]d workers connected", s.ExpectedWorkers)}
	completed := metav1.Condition{Type: "TestCompleted", Status: "False", Reason: "TestInProgress", Message: "Test has not started"}
	if phase == v2.PhaseSucceeded {
		s.CompletionTime = &now
		workers = metav1.Condition{Type: "WorkersConnected", Status: "False", Reason: "WorkersMissing", Message: fmt.Sprintf("0/%d workers connected", s.ExpectedWorkers)}
		completed = metav1.Condition{Type: "TestCompleted", Status: "True", Reason: "TestSucceeded", Message: "Test completed successfully"}
	} else {
		s.ConnectedWorkers = s.ExpectedWorkers
	}
	for _, c := range []metav1.Condition{
		{Type: "Ready", Status: "True", Reason: "ResourcesCreated", Message: "All resources created"},
		workers,
		completed,
		{Type: "PodsHealthy", Status: "True", Reason: "PodsStarting", Message: "Pods are starting up"},
		{Type: "SpecDrifted", Status: "True", Reason: "SpecChangeIgnored", Message: "Spec changes after creation are ignored. Delete and recreate the CR to apply changes."},
	} {
		c.ObservedGeneration, c.LastTransitionTime = test.Generation, now
		s.Conditions = append(s.Conditions, c)
	}
	return s
}

func meta(test *v2.LocustTest, role string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: test.Namespace, Name: test.Name + "-" + role, Labels: labels(test, role),
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(test, v2.GroupVersion.WithKind("LocustTest"))}}
}

func labels(test *v2.LocustTest, role string) map[string]string {
	return map[string]string{"app": test.Name, "managed-by": "locust-k8s-operator", "performance-test-name": test.Name, "performance-test-pod-name": test.Name + "-" + role}
}

func service(test *v2.LocustTest) *corev1.Service {
	service := &corev1.Service{ObjectMeta: meta(test, "master")}
	service.Labels = nil
	service.Spec.Selector = map[string]string{"performance-test-pod-name": service.Name}
	for name, port := range map[string]int32{"port5557": 5557, "port5558": 5558, "prometheus-metrics": 9646} {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: name, Port: port})
	}
	return service
}

func job(test *v2.LocustTest, role string, pods int32, command string, args ...string) *batchv1.Job {
	job := &batchv1.Job{ObjectMeta: meta(test, role), Spec: batchv1.JobSpec{Parallelism: &pods, BackoffLimit: ptr.To[int32](0)}}
	container := corev1.Container{Name: job.Name, Image: test.Spec.Image, ImagePullPolicy: corev1.PullIfNotPresent, Resources: resources(),
		Args:         append(strings.Fields(command), args...),
		VolumeMounts: []corev1.VolumeMount{{Name: job.Name, MountPath: "/lotest/src"}}}
	for name, value := range map[string]string{
		"KAFKA_BOOTSTRAP_SERVERS": "localhost:9092", "KAFKA_SECURITY_ENABLED": "false", "KAFKA_SECURITY_PROTOCOL_CONFIG": "SASL_PLAINTEXT",
		"KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_SASL_JAAS_CONFIG": "", "KAFKA_USERNAME": "", "KAFKA_PASSWORD": "",
	} {
		container.Env = append(container.Env, corev1.EnvVar{Name: name, Value: value})
	}
	if test.Spec.Env != nil {
		container.Env = append(container.Env, test.Spec.Env.Variables...)
	}
	template := &job.Spec.Template
	template.Labels = labels(test, role)
	template.Spec = corev1.PodSpec{
		RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{container},
		SecurityContext: &corev1.PodSecurityContext{SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Volumes: []corev1.Volume{{Name: job.Name, VolumeSource: corev1.VolumeSource{
			ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: test.Spec.TestFiles.ConfigMapRef}}}}},
	}
	return job
}

// resources returns the requests and limits that the 2.x operator sets by default.
func resources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("128Mi"), corev1.ResourceEphemeralStorage: resource.MustParse("30M")},
		Limits:   corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1"), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourceEphemeralStorage: resource.MustParse("50M")},
	}
}
