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
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

const (
	operatorWebhook = "locust-k8s-operator-webhook"
	testsCRD        = "locusttests.locust.io"

	// nodeLabel marks the nodes that kwok simulates. It is also the key of their taint, so that other pods are not scheduled
	// there.
	nodeLabel = "locust.io/scale"
	// managedAnnotation selects the nodes that kwok manages.
	managedAnnotation = "kwok.x-k8s.io/node"
	podsPerNode       = 2000

	annotationEnd     = "locust.io/scale-end"
	annotationWorkers = "locust.io/scale-workers"

	// creators is the number of clients that create tests concurrently.
	creators = 16
)

//go:embed stages.yaml
var stages []byte

// cluster is the embedded cluster with nodes and pods that kwok simulates.
type cluster struct {
	client.WithWatch
	config *rest.Config
	set    kubernetes.Interface
	log    func(format string, args ...any)
	// work is the folder for logs and results.
	work string
	// cleanup are the functions that close calls in reverse order.
	cleanup []func()
}

func newCluster(work string) (*cluster, error) {
	c, config, err := framework.Connect(framework.NewScheme(apiextensionsv1.AddToScheme), func(config *rest.Config) {
		config.QPS, config.UserAgent = -1, "scale"
	})
	if err != nil {
		return nil, err
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("create a client: %w", err)
	}
	began := time.Now()
	return &cluster{WithWatch: c, config: config, set: set, work: work, log: func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%7.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, args...))
	}}, nil
}

// close reverts the changes to the cluster.
func (c *cluster) close() {
	for _, f := range slices.Backward(c.cleanup) {
		f()
	}
	c.cleanup = nil
}

// startKwok starts kwok with enough nodes for a number of pods.
func (c *cluster) startKwok(ctx context.Context, kwok string, pods int) error {
	configPath := filepath.Join(c.work, "stages.yaml")
	if err := os.WriteFile(configPath, stages, 0o600); err != nil {
		return err
	}
	if _, err := c.start(ctx, "kwok", kwok, "--config", configPath, "--kubeconfig", os.Getenv("KUBECONFIG"), "--manage-all-nodes=false",
		"--manage-nodes-with-annotation-selector", managedAnnotation+"=fake", "--node-lease-duration-seconds", "40", "--cidr", "100.64.0.1/10", "--node-ip", "192.0.2.1"); err != nil {
		return err
	}
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100k"), corev1.ResourceMemory: resource.MustParse("100Ti"),
		corev1.ResourcePods: *resource.NewQuantity(2*podsPerNode, resource.DecimalSI)}
	nodes := max(3, pods/podsPerNode+1)
	c.cleanup = append(c.cleanup, func() {
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
			return fmt.Errorf("create node %s: %w", node.Name, err)
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
		return fmt.Errorf("kwok's nodes did not become ready; see %s: %w", filepath.Join(c.work, "kwok.log"), err)
	}
	c.log("kwok simulates %d nodes", nodes)
	return nil
}

// program is a child process.
type program struct {
	cmd *exec.Cmd
	// done is closed when the process has exited.
	done chan struct{}
}

// start runs a program in the background and writes its output to a log file. close stops it.
func (c *cluster) start(ctx context.Context, name, path string, args ...string) (*program, error) {
	file, err := os.Create(filepath.Join(c.work, name+".log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.WithoutCancel(ctx), path, args...)
	cmd.Stdout, cmd.Stderr = file, file
	// It is killed if this program dies.
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
	c.cleanup = append(c.cleanup, p.stop)
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

// change updates a Deployment, and retries on conflicts.
func (c *cluster) change(ctx context.Context, name string, update func(*appsv1.Deployment)) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		d := &appsv1.Deployment{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: framework.OperatorNamespace, Name: name}, d); err != nil {
			return fmt.Errorf("read the operator's Deployment; run make deploy: %w", err)
		}
		update(d)
		return c.Update(ctx, d)
	})
}

// restoreOperatorAtEnd registers a cleanup that restores the current spec of the operator's Deployment.
func (c *cluster) restoreOperatorAtEnd(ctx context.Context) error {
	d := &appsv1.Deployment{}
	if err := c.Get(ctx, framework.OperatorKey, d); err != nil {
		return fmt.Errorf("read the operator's Deployment; run make deploy: %w", err)
	}
	c.cleanup = append(c.cleanup, func() {
		err := c.change(context.Background(), framework.OperatorDeployment, func(now *appsv1.Deployment) { now.Spec = d.Spec })
		if err != nil {
			c.log("restoring the operator's Deployment failed: %s", err)
		}
	})
	return nil
}

// stopOperator scales the operator to zero and waits for the end of its pods.
func (c *cluster) stopOperator(ctx context.Context) error {
	none := int32(0)
	if err := c.change(ctx, framework.OperatorDeployment, func(d *appsv1.Deployment) { d.Spec.Replicas = &none }); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		err := c.List(ctx, &pods, client.InNamespace(framework.OperatorNamespace), framework.OperatorPods)
		return len(pods.Items) == 0, err
	})
}

// setConversion sets the conversion strategy of the tests' CRD.
func (c *cluster) setConversion(ctx context.Context, how *apiextensionsv1.CustomResourceConversion) error {
	return retry.RetryOnConflict(retry.DefaultRetry, func() error {
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := c.Get(ctx, client.ObjectKey{Name: testsCRD}, crd); err != nil {
			return fmt.Errorf("read the CRD of the tests: %w", err)
		}
		crd.Spec.Conversion = how
		return c.Update(ctx, crd)
	})
}

// withoutWebhooks removes the admission and conversion webhooks, which have no endpoint while no operator runs, and returns a
// function that restores them. Each failed conversion would cost the API server time, and some would be retried.
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
		return nil, errors.New("the CRD of the tests has no conversion webhook, perhaps because a run was killed; run make deploy")
	}
	restored := false
	restore = func() error {
		if restored {
			return nil // the operator may have injected another CA bundle since
		}
		// The context of the run may be canceled.
		ctx := context.Background()
		if err := c.setConversion(ctx, crd.Spec.Conversion); err != nil {
			return fmt.Errorf("restore the operator's conversion webhook: %w", err)
		}
		webhook.ResourceVersion, webhook.UID = "", ""
		if err := client.IgnoreAlreadyExists(c.Create(ctx, webhook)); err != nil {
			return fmt.Errorf("restore the operator's admission webhook: %w", err)
		}
		restored = true
		return nil
	}
	c.cleanup = append(c.cleanup, func() {
		if err := restore(); err != nil {
			c.log("%s; run make deploy", err)
		}
	})
	if err := c.Delete(ctx, webhook.DeepCopy()); err != nil {
		return nil, fmt.Errorf("remove the operator's admission webhook: %w", err)
	}
	if err := c.setConversion(ctx, &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.NoneConverter}); err != nil {
		return nil, fmt.Errorf("remove the operator's conversion webhook: %w", err)
	}
	// The API server ends watches of the tests shortly after it observes the change.
	select {
	case <-ctx.Done():
	case <-time.After(5 * time.Second):
	}
	return restore, ctx.Err()
}

// startOperator restarts the operator with one replica and the settings in its environment, and waits until it is the leader.
func (c *cluster) startOperator(ctx context.Context, settings map[string]string) (*corev1.Pod, error) {
	if err := c.stopOperator(ctx); err != nil {
		return nil, err
	}
	one := int32(1)
	if err := c.change(ctx, framework.OperatorDeployment, func(d *appsv1.Deployment) {
		d.Spec.Replicas = &one
		set(&d.Spec.Template.Spec.Containers[0], settings)
	}); err != nil {
		return nil, err
	}
	return c.leader(ctx, framework.OperatorPods, settings)
}

// leader waits until the operator's pod is ready and holds the Lease, and returns it.
func (c *cluster) leader(ctx context.Context, labels, settings map[string]string) (*corev1.Pod, error) {
	pod, err := c.readyPod(ctx, labels)
	if err != nil {
		return nil, err
	}
	name := settings["LOCUST_OPERATOR_LEADER_ELECTION_ID"]
	if name == "" {
		name = framework.OperatorLease
	}
	err = wait.PollUntilContextTimeout(ctx, 300*time.Millisecond, 2*time.Minute, true, func(ctx context.Context) (bool, error) {
		holder, err := framework.Leader(ctx, c, framework.OperatorNamespace, name)
		return holder == pod.Name, err
	})
	if err != nil {
		return nil, fmt.Errorf("the operator did not acquire its Lease %s: %w", name, err)
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
		in := client.InNamespace(framework.OperatorNamespace)
		if err := c.List(ctx, &pods, in, client.MatchingLabels(labels)); err != nil {
			return false, err
		}
		for i := range pods.Items {
			if framework.IsReady(&pods.Items[i]) && pods.Items[i].DeletionTimestamp == nil {
				found = &pods.Items[i]
			}
		}
		return found != nil, nil
	})
	if err != nil {
		return nil, fmt.Errorf("the operator did not become ready: %w", err)
	}
	return found, nil
}

// newTest returns a test whose master and workers end at a given time. Annotations of the pods pass the time to kwok.
func newTest(namespace, name string, workers int, end time.Time) *v2.LocustTest {
	ends := map[string]string{annotationEnd: end.UTC().Format(time.RFC3339Nano), annotationWorkers: strconv.Itoa(workers)}
	return builder.MakeLocustTest(name).Namespace(namespace).Args("--host https://example.com --users 100 --run-time 10m").
		Workers(workers).Nodes(nodeLabel, "true").Spec(func(spec *v2.LocustTestSpec) {
		spec.Master.Annotations, spec.Worker.Annotations = ends, ends
		spec.Scheduling.Tolerations = []corev1.Toleration{{Key: nodeLabel, Operator: corev1.TolerationOpExists}}
	}).Obj()
}

// makeNamespace creates a namespace that close deletes.
func (c *cluster) makeNamespace(ctx context.Context, name string) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	// A namespace of an interrupted run may still be terminating.
	err := wait.PollUntilContextTimeout(ctx, time.Second, 5*time.Minute, true, func(ctx context.Context) (bool, error) {
		err := c.Create(ctx, namespace)
		return err == nil, client.IgnoreAlreadyExists(err)
	})
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	c.cleanup = append(c.cleanup, func() { _ = c.Delete(context.Background(), namespace) })
	return nil
}

// clear deletes a namespace with all its objects, and waits for the end of the deletion.
func (c *cluster) clear(ctx context.Context, namespace string) error {
	// Delete Jobs and pods directly, because the garbage collector would take much longer.
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
		return fmt.Errorf("wait for the deletion of namespace %s: %w", namespace, err)
	}
	return nil
}

// create creates tests from several concurrent clients, in their order.
func (c *cluster) create(ctx context.Context, seen *timelines, tests []*v2.LocustTest) error {
	numbers := make(chan *v2.LocustTest)
	errs := make(chan error, creators)
	var creating sync.WaitGroup
	for range creators {
		creating.Go(func() {
			for test := range numbers {
				seen.recordCreate(test.Name)
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

// podsIn returns the number of pods of tests in a namespace.
func (c *cluster) podsIn(ctx context.Context, namespace string) (int, error) {
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("PodList"))
	err := c.List(ctx, list, client.InNamespace(namespace), client.HasLabels{resources.LabelTestName})
	return len(list.Items), err
}

func joinPhases(phases []string) string { return strings.Join(phases, " → ") }
