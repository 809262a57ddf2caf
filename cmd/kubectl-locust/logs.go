package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// podReaderRole is Kubernetes' own role to read pods and logs.
const podReaderRole = "view"

// logOptions are the flags of `logs`.
type logOptions struct {
	workers, all bool
	follow       bool
	timestamps   bool
	tail         int64
	since        time.Duration
}

func (a *app) logsCommand() *cobra.Command {
	var options logOptions
	var master bool
	command := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print the logs of the master, the workers, or all pods of a test",
		Long: `Print the logs of Locust in the pods of a test: of the master, of the workers, or of all.

Lines of several pods have the name of the pod as prefix, and are ordered by time; with --follow as they arrive, and pods that start later
are followed too. On a terminal, characters that a terminal interprets, such as colors, are replaced; otherwise lines are printed as they are.
Longer lines than 32 KiB are cut.

Kubernetes' own role "view" has the needed permissions.`,
		Example: `  kubectl locust logs shop
  kubectl locust logs shop --workers --tail 20
  kubectl locust logs shop --all --follow`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTests,
		RunE: func(command *cobra.Command, args []string) error {
			return a.runLogs(command.Context(), args[0], options)
		},
	}
	flags := command.Flags()
	flags.BoolVar(&master, "master", false, "of the master (default)")
	flags.BoolVar(&options.workers, "workers", false, "of all workers")
	flags.BoolVar(&options.all, "all", false, "of the master and all workers")
	flags.BoolVarP(&options.follow, "follow", "f", false, "print new lines until the test has ended")
	flags.BoolVar(&options.timestamps, "timestamps", false, "begin each line with its time")
	flags.Int64Var(&options.tail, "tail", -1, "number of recent lines of each pod; -1 for all")
	flags.DurationVar(&options.since, "since", 0, "only lines of this last time, for example 5m")
	command.MarkFlagsMutuallyExclusive("master", "workers", "all")
	return command
}

func (a *app) runLogs(ctx context.Context, name string, options logOptions) error {
	c, namespace, err := a.connect()
	if err != nil {
		return err
	}
	config, err := a.streamConfig()
	if err != nil {
		return err
	}
	raw, err := rawClient(config)
	if err != nil {
		return err
	}
	test, err := getTest(ctx, c, client.ObjectKey{Namespace: namespace, Name: name})
	if err != nil {
		return err
	}
	printer := &logPrinter{out: a.Out, prefix: options.workers || options.all, timestamps: options.timestamps, safe: isTTY(a.Out)}
	l := &testLogs{
		app: a, client: c, open: logOpener(raw), printer: printer, test: test, options: options, poll: podInterval, reopen: reopenInterval,
		endPatience: endPatience,
	}
	if options.follow {
		return l.followAll(ctx)
	}
	return l.printAll(ctx)
}

// testLogs prints the logs of one test.
type testLogs struct {
	*app
	client  client.Client
	open    openLog
	printer *logPrinter
	// test is the last known state.
	test    *v2.LocustTest
	options logOptions
	// poll is the time between two lists of the pods, reopen that until a log that was interrupted is opened again.
	poll, reopen time.Duration
	// endPatience is how long pods may run after their test has ended.
	endPatience time.Duration
	notices     sync.Mutex
}

// key returns the namespace and the name of the test.
func (l *testLogs) key() client.ObjectKey { return client.ObjectKeyFromObject(l.test) }

// pods returns the selected pods of the test, oldest first.
func (l *testLogs) pods(ctx context.Context) ([]corev1.Pod, error) {
	role := resources.RoleMaster
	if l.options.workers {
		role = resources.RoleWorker
	}
	if l.options.all {
		role = ""
	}
	return podsOf(ctx, l.client, l.test, role)
}

// podsOf returns the pods of a test, oldest first; of all roles if the role is empty.
func podsOf(ctx context.Context, c client.Client, test *v2.LocustTest, role resources.Role) ([]corev1.Pod, error) {
	labels := client.MatchingLabels{resources.LabelTestUID: string(test.UID)}
	if role != "" {
		labels[resources.LabelComponent] = string(role)
	}
	var list corev1.PodList
	if err := c.List(ctx, &list, client.InNamespace(test.Namespace), labels); err != nil {
		return nil, explain("list the pods of the test "+client.ObjectKeyFromObject(test).String(), podReaderRole, err)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list.Items, nil
}

// locustContainer returns the name of the container that runs Locust.
func locustContainer(test *v2.LocustTest, pod *corev1.Pod) string {
	if pod.Labels[resources.LabelComponent] == string(resources.RoleMaster) {
		return resources.MasterName(test.Name)
	}
	return resources.WorkerName(test.Name)
}

// containerState returns the state of a container; all parts of it are nil if the kubelet has not reported it yet.
func containerState(pod *corev1.Pod, name string) corev1.ContainerState {
	for _, status := range pod.Status.ContainerStatuses {
		if status.Name == name {
			return status.State
		}
	}
	return corev1.ContainerState{}
}

// hasStarted reports whether a container runs or has ended, so that it has a log.
func hasStarted(state corev1.ContainerState) bool {
	return state.Running != nil || state.Terminated != nil
}

// printAll prints what has been logged so far.
func (l *testLogs) printAll(ctx context.Context) error {
	pods, err := l.pods(ctx)
	if err != nil {
		return err
	}
	var started []*corev1.Pod
	for i := range pods {
		if hasStarted(containerState(&pods[i], locustContainer(l.test, &pods[i]))) {
			started = append(started, &pods[i])
		}
	}
	switch {
	case len(started) == 0 && l.test.Status.IsTerminal():
		return l.goneError()
	case len(started) == 0:
		return l.notStartedError()
	case len(started) < len(pods):
		l.notify(fmt.Sprintf("%d of %d pods have not started yet, and have no log", len(pods)-len(started), len(pods)))
	}
	return l.merge(ctx, started)
}

// goneError reports that a finished test has no logs any more.
func (l *testLogs) goneError() error {
	reason := "they were deleted, the operator's --job-ttl has passed, or they never started"
	if l.test.Spec.Stop && !l.options.workers && !l.options.all {
		reason = "stopping a test deletes the pod of its master. Those of the workers may still exist: --workers"
	}
	return fmt.Errorf("the test %s is %s, and its pods and their logs are gone: %s\nThe outcome has the cause, often with the last lines of the "+
		"log: %s; see docs/troubleshooting.md", l.key(), l.test.Status.Phase, reason, l.suggest("report", l.test))
}

func (l *testLogs) notStartedError() error {
	return fmt.Errorf("the test %s has no log yet: %s\nWait for it: %s --follow", l.key(), describeStart(l.test), l.suggest("logs", l.test))
}

// describeStart returns what a test waits for that has not started, as one line.
func describeStart(test *v2.LocustTest) string {
	phase := test.Status.Phase
	if phase == "" {
		return "the operator has not observed the test; " + noOperator
	}
	for _, condition := range test.Status.Conditions {
		isProblem := condition.Type == v2.ConditionTypePodsHealthy && condition.Reason != v2.ReasonPodsHealthy ||
			condition.Type == v2.ConditionTypeReady && condition.Reason != v2.ReasonResourcesCreated
		if isProblem && condition.Message != "" {
			return fmt.Sprintf("it is %s (%s): %s", phase, condition.Reason, condition.Message)
		}
	}
	return "it is " + phase
}

// notify prints a message about the logs on standard error.
func (l *testLogs) notify(message string) {
	l.notices.Lock()
	defer l.notices.Unlock()
	fmt.Fprintln(l.ErrOut, terminal.Safe(message))
}

// errNoLog reports that a pod has no log, now or any more.
var errNoLog = errors.New("the pod has no log")
