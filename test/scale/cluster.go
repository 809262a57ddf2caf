package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

const (
	operatorNamespace  = "locust-k8s-operator-system"
	operatorDeployment = "locust-k8s-operator-controller-manager"
	operatorWebhook    = "locust-k8s-operator-webhook"
	testsCRD           = "locusttests.locust.io"
	operatorUser       = "system:serviceaccount:" + operatorNamespace + ":locust-k8s-operator-controller-manager"

	// nodeLabel marks the nodes that kwok plays; its value is also that of their taint, so that nothing else lands there.
	nodeLabel = "locust.io/scale"
	// managedAnnotation is by what kwok knows its nodes.
	managedAnnotation = "kwok.x-k8s.io/node"
	podsPerNode       = 2000

	annotationEnd     = "locust.io/scale-end"
	annotationWorkers = "locust.io/scale-workers"

	// creators is how many clients create the tests.
	creators = 16
)

//go:embed stages.yaml
var stages []byte

// cluster is the embedded cluster, with the nodes and pods that kwok plays on it.
type cluster struct {
	client.WithWatch
	config *rest.Config
	set    kubernetes.Interface
	log    func(format string, args ...any)
	// work is the folder of logs and results.
	work string
	// undo are what close does, last first.
	undo []func()
}

func newCluster(work string) (*cluster, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("no cluster; run make cluster-up, and set KUBECONFIG as make cluster-env says: %w", err)
	}
	config.QPS, config.UserAgent = -1, "scale"
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(apiextensionsv1.AddToScheme(scheme))
	utilruntime.Must(v2.AddToScheme(scheme))
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	began := time.Now()
	return &cluster{WithWatch: c, config: config, set: set, work: work, log: func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%7.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}}, nil
}

// close takes back what was done to the cluster.
func (c *cluster) close() {
	for _, undo := range slices.Backward(c.undo) {
		undo()
	}
	c.undo = nil
}

// play starts kwok, with nodes for so many pods.
func (c *cluster) play(ctx context.Context, kwok string, pods int) error {
	config := filepath.Join(c.work, "stages.yaml")
	if err := os.WriteFile(config, stages, 0o600); err != nil {
		return err
	}
	if _, err := c.start(ctx, "kwok", kwok, "--config", config, "--kubeconfig", os.Getenv("KUBECONFIG"), "--manage-all-nodes=false",
		"--manage-nodes-with-annotation-selector", managedAnnotation+"=fake", "--node-lease-duration-seconds", "40", "--cidr", "100.64.0.1/10", "--node-ip", "192.0.2.1"); err != nil {
		return err
	}
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100k"), corev1.ResourceMemory: resource.MustParse("100Ti"),
		corev1.ResourcePods: *resource.NewQuantity(2*podsPerNode, resource.DecimalSI)}
	nodes := max(3, pods/podsPerNode+1)
	c.undo = append(c.undo, func() {
		_ = c.DeleteAllOf(context.Background(), &corev1.Node{}, client.HasLabels{nodeLabel})
	})
	for i := range nodes {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("scale-%d", i), Labels: map[string]string{nodeLabel: "true", corev1.LabelOSStable: "linux", corev1.LabelHostname: fmt.Sprintf("scale-%d", i)},
			Annotations: map[string]string{managedAnnotation: "fake"},
		}}
		node.Spec.Taints = []corev1.Taint{{Key: nodeLabel, Value: "true", Effect: corev1.TaintEffectNoSchedule}}
		node.Status = corev1.NodeStatus{Capacity: size, Allocatable: size}
		if err := client.IgnoreAlreadyExists(c.Create(ctx, node)); err != nil {
			return fmt.Errorf("make node %s: %w", node.Name, err)
		}
	}
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		var list corev1.NodeList
		if err := c.List(ctx, &list, client.HasLabels{nodeLabel}); err != nil {
			return false, err
		}
		ready := 0
		for _, node := range list.Items {
			for _, condition := range node.Status.Conditions {
				if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
					ready++
				}
			}
		}
		return ready >= nodes, nil
	})
	if err != nil {
		return fmt.Errorf("kwok's nodes do not become ready; see %s: %w", filepath.Join(c.work, "kwok.log"), err)
	}
	c.log("kwok plays %d nodes", nodes)
	return nil
}

// program is a process that was started here.
type program struct {
	cmd *exec.Cmd
	// done is closed when it has ended.
	done chan struct{}
}

// start runs a program beside this one; its output goes to a log. It is ended with the cluster, or before.
func (c *cluster) start(ctx context.Context, name, path string, args ...string) (*program, error) {
	file, err := os.Create(filepath.Join(c.work, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, args...)
	cmd.Stdout, cmd.Stderr = file, file
	// It ends with this program, whatever ends that.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &program{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		_ = file.Close()
		close(p.done)
	}()
	c.undo = append(c.undo, p.stop)
	return p, nil
}

func (p *program) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// change makes a change to a Deployment, again when somebody else was faster.
func (c *cluster) change(ctx context.Context, name string, what func(*appsv1.Deployment)) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		d := &appsv1.Deployment{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: name}, d); err != nil {
			return fmt.Errorf("read the operator's Deployment; run make deploy: %w", err)
		}
		what(d)
		return c.Update(ctx, d)
	})
}

// keepOperator has the operator's Deployment put back as it is now at the end.
func (c *cluster) keepOperator(ctx context.Context) error {
	d := &appsv1.Deployment{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: operatorDeployment}, d); err != nil {
		return fmt.Errorf("read the operator's Deployment; run make deploy: %w", err)
	}
	c.undo = append(c.undo, func() {
		err := c.change(context.Background(), operatorDeployment, func(now *appsv1.Deployment) { now.Spec = d.Spec })
		if err != nil {
			c.log("the operator's Deployment could not be put back: %s", err)
		}
	})
	return nil
}

// stopOperator lets no operator run.
func (c *cluster) stopOperator(ctx context.Context) error {
	none := int32(0)
	if err := c.change(ctx, operatorDeployment, func(d *appsv1.Deployment) { d.Spec.Replicas = &none }); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		err := c.List(ctx, &pods, client.InNamespace(operatorNamespace), client.MatchingLabels{"control-plane": "controller-manager"})
		return len(pods.Items) == 0, err
	})
}

// convertBy sets how the API server converts tests between their versions.
func (c *cluster) convertBy(ctx context.Context, how *apiextensionsv1.CustomResourceConversion) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := c.Get(ctx, client.ObjectKey{Name: testsCRD}, crd); err != nil {
			return fmt.Errorf("read the CRD of the tests: %w", err)
		}
		crd.Spec.Conversion = how
		return c.Update(ctx, crd)
	})
}

// withoutWebhooks takes away admission and conversion, which nobody would answer while no operator runs, and returns what puts
// them back. Each conversion that failed would cost the API server time, and some would be tried again.
func (c *cluster) withoutWebhooks(ctx context.Context) (restore func() error, err error) {
	webhook := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	if err := c.Get(ctx, client.ObjectKey{Name: operatorWebhook}, webhook); err != nil {
		return nil, fmt.Errorf("read the operator's webhook; run make deploy: %w", err)
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := c.Get(ctx, client.ObjectKey{Name: testsCRD}, crd); err != nil {
		return nil, fmt.Errorf("read the CRD of the tests; run make deploy: %w", err)
	}
	if how := crd.Spec.Conversion; how == nil || how.Strategy != apiextensionsv1.WebhookConverter {
		return nil, errors.New("the CRD of the tests has no conversion webhook, maybe since a run that was killed; run make deploy")
	}
	there := false
	restore = func() error {
		if there {
			return nil // the operator may have put another authority into it since
		}
		// Not with the context of a run that may have been interrupted.
		ctx := context.Background()
		if err := c.convertBy(ctx, crd.Spec.Conversion); err != nil {
			return fmt.Errorf("put the operator's conversion webhook back: %w", err)
		}
		webhook.ResourceVersion, webhook.UID = "", ""
		if err := client.IgnoreAlreadyExists(c.Create(ctx, webhook)); err != nil {
			return fmt.Errorf("put the operator's admission webhook back: %w", err)
		}
		there = true
		return nil
	}
	c.undo = append(c.undo, func() {
		if err := restore(); err != nil {
			c.log("%s; run make deploy", err)
		}
	})
	if err := c.Delete(ctx, webhook.DeepCopy()); err != nil {
		return nil, fmt.Errorf("take the operator's admission webhook away: %w", err)
	}
	if err := c.convertBy(ctx, &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}); err != nil {
		return nil, fmt.Errorf("take the operator's conversion webhook away: %w", err)
	}
	// The API server ends watches of the tests a moment after it has learnt of the change.
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
	}
	return restore, ctx.Err()
}

// startOperator lets one fresh operator run, with settings in its environment, and waits until it leads.
func (c *cluster) startOperator(ctx context.Context, settings map[string]string) (*corev1.Pod, error) {
	if err := c.stopOperator(ctx); err != nil {
		return nil, err
	}
	one := int32(1)
	if err := c.change(ctx, operatorDeployment, func(d *appsv1.Deployment) {
		d.Spec.Replicas = &one
		set(&d.Spec.Template.Spec.Containers[0], settings)
	}); err != nil {
		return nil, err
	}
	return c.leader(ctx, map[string]string{"control-plane": "controller-manager"}, settings)
}

// leader is the operator's pod when it is ready and works: it has the Lease.
func (c *cluster) leader(ctx context.Context, labels, settings map[string]string) (*corev1.Pod, error) {
	pod, err := c.readyPod(ctx, labels)
	if err != nil {
		return nil, err
	}
	name := settings["LOCUST_OPERATOR_LEADER_ELECTION_ID"]
	if name == "" {
		name = "locust-k8s-operator.locust.io"
	}
	err = wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		lease := &coordinationv1.Lease{}
		err := c.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: name}, lease)
		holder := lease.Spec.HolderIdentity
		return err == nil && holder != nil && strings.HasPrefix(*holder, pod.Name), client.IgnoreNotFound(err)
	})
	if err != nil {
		return nil, fmt.Errorf("the operator does not get its Lease %s: %w", name, err)
	}
	return pod, nil
}

func set(container *corev1.Container, settings map[string]string) {
	for name, value := range settings {
		container.Env = slices.DeleteFunc(container.Env, func(e corev1.EnvVar) bool { return e.Name == name })
		container.Env = append(container.Env, corev1.EnvVar{Name: name, Value: value})
	}
}

func (c *cluster) readyPod(ctx context.Context, labels map[string]string) (*corev1.Pod, error) {
	var found *corev1.Pod
	err := wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		if err := c.List(ctx, &pods, client.InNamespace(operatorNamespace), client.MatchingLabels(labels)); err != nil {
			return false, err
		}
		for i := range pods.Items {
			for _, condition := range pods.Items[i].Status.Conditions {
				if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue && pods.Items[i].DeletionTimestamp == nil {
					found = &pods.Items[i]
				}
			}
		}
		return found != nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("the operator does not become ready: %w", err)
	}
	return found, nil
}

// newTest is a test whose master and workers end at a moment. That is told in annotations of their pods, for kwok.
func newTest(namespace, name string, workers int, end time.Time) *v2.LocustTest {
	ends := map[string]string{annotationEnd: end.UTC().Format(time.RFC3339Nano), annotationWorkers: strconv.Itoa(workers)}
	return &v2.LocustTest{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v2.LocustTestSpec{
			Image:  "locustio/locust:2.43.3",
			Master: v2.MasterSpec{Command: "--locustfile /lotest/src/locustfile.py --host https://example.com --users 100 --run-time 10m", Annotations: ends},
			Worker: v2.WorkerSpec{Command: "--locustfile /lotest/src/locustfile.py", Replicas: int32(workers), Annotations: ends},
			Scheduling: &v2.SchedulingConfig{
				NodeSelector: map[string]string{nodeLabel: "true"},
				Tolerations:  []corev1.Toleration{{Key: nodeLabel, Operator: corev1.TolerationOpExists}},
			},
		},
	}
}

// makeNamespace makes a namespace, which goes at the end.
func (c *cluster) makeNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	// One that a run left behind when it was stopped may still be going.
	err := wait.PollUntilContextTimeout(ctx, time.Second, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		err := c.Create(ctx, namespace)
		return err == nil, client.IgnoreAlreadyExists(err)
	})
	if err != nil {
		return fmt.Errorf("make namespace %s: %w", name, err)
	}
	c.undo = append(c.undo, func() { _ = c.Delete(context.Background(), namespace) })
	return nil
}

// clear deletes everything in a namespace, and the namespace, and waits until it is gone.
func (c *cluster) clear(ctx context.Context, namespace string) error {
	// Jobs and pods too: the garbage collector would take much longer.
	background := client.PropagationPolicy(metav1.DeletePropagationBackground)
	in := client.InNamespace(namespace)
	none := client.GracePeriodSeconds(0)
	steps := []error{
		c.DeleteAllOf(ctx, &v2.LocustTest{}, in, background),
		c.DeleteAllOf(ctx, &batchv1.Job{}, in, background),
		c.DeleteAllOf(ctx, &corev1.Pod{}, in, none),
		c.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}),
	}
	if err := errors.Join(steps...); err != nil {
		return fmt.Errorf("clear namespace %s: %w", namespace, err)
	}
	err := wait.PollUntilContextTimeout(ctx, time.Second, time.Hour, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, client.ObjectKey{Name: namespace}, &corev1.Namespace{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("namespace %s does not go: %w", namespace, err)
	}
	return nil
}

// create makes tests, from several clients at the same time, in the order of their numbers.
func (c *cluster) create(ctx context.Context, seen *stories, tests []*v2.LocustTest) error {
	numbers := make(chan *v2.LocustTest)
	errs := make(chan error, creators)
	var creating sync.WaitGroup
	for range creators {
		creating.Go(func() {
			for test := range numbers {
				seen.asked(test.Name)
				if err := c.Create(ctx, test); err != nil {
					select {
					case errs <- fmt.Errorf("create test %s: %w", test.Name, err):
					default:
					}
				}
			}
		})
	}
	for _, test := range tests {
		numbers <- test
	}
	close(numbers)
	creating.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// podsIn is how many pods of tests there are in a namespace.
func (c *cluster) podsIn(ctx context.Context, namespace string) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	err := c.List(ctx, list, client.InNamespace(namespace), client.HasLabels{resources.LabelTestName})
	return len(list.Items), err
}

func joined(words []string) string { return strings.Join(words, " → ") }
