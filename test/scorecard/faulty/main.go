// Faulty runs the operator's reconciler with an injected fault, to show that the scorecard tests
// detect it. Use it on a cluster where no other operator runs.
//
//	faulty FAULT
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/controllers"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// fault is one way in which the reconciler is faulty.
type fault struct {
	// write modifies a status before it is written; if it returns false, the status is not written.
	write func(status *v2.LocustTestStatus) bool
	// report modifies a report before it is created.
	report func(report *v1alpha1.LocustReport)
	// tamper is called every second for each test.
	tamper func(ctx context.Context, c client.Client, test *v2.LocustTest) error
}

var startTime = time.Now()

var faults = map[string]fault{
	"none": {},
	// The status is never written.
	"no-status": {write: func(*v2.LocustTestStatus) bool { return false }},
	// A reason that is not in the contract.
	"wrong-reason": {write: func(s *v2.LocustTestStatus) bool {
		for i := range s.Conditions {
			if s.Conditions[i].Type == v2.ConditionTypePodsHealthy {
				s.Conditions[i].Reason = "EverythingIsFine"
			}
		}
		return true
	}},
	// The status is written although nothing has happened.
	"hot-loop": {tamper: func(ctx context.Context, c client.Client, test *v2.LocustTest) error {
		before := test.DeepCopy()
		for i := range test.Status.Conditions {
			if test.Status.Conditions[i].Type == v2.ConditionTypePodsHealthy {
				test.Status.Conditions[i].Message = "looked at " + time.Now().Format(time.RFC3339Nano)
			}
		}
		return c.Status().Patch(ctx, test, client.MergeFrom(before))
	}},
	// Each write changes the lastTransitionTime of all conditions.
	"moving-times": {write: func(s *v2.LocustTestStatus) bool {
		for i := range s.Conditions {
			s.Conditions[i].LastTransitionTime = metav1.Now()
		}
		return true
	}},
	// The lastTransitionTime of conditions never changes.
	"frozen-times": {write: func(s *v2.LocustTestStatus) bool {
		for i := range s.Conditions {
			s.Conditions[i].LastTransitionTime = metav1.NewTime(startTime)
		}
		return true
	}},
	// A write drops conditions that it does not change.
	"dropped-conditions": {write: func(s *v2.LocustTestStatus) bool {
		if s.Phase == v2.PhaseRunning {
			s.Conditions = slices.DeleteFunc(s.Conditions, func(c metav1.Condition) bool { return c.Type == v2.ConditionTypePodsHealthy })
		}
		return true
	}},
	// The start of the load is never detected.
	"load-not-started": {write: loadDelivered(metav1.ConditionUnknown, v2.ReasonLoadNotStarted)},
	// Any load counts as the requested one, whatever its requests.
	"load-claimed": {write: loadDelivered(metav1.ConditionTrue, v2.ReasonLoadAsPlanned)},
	// The report counts one request too many.
	"wrong-report": {report: func(report *v1alpha1.LocustReport) {
		if report.Summary != nil {
			report.Summary.TotalRequests++
		}
	}},
	// A finished test whose Job is deleted becomes Pending again.
	"not-absorbing": {tamper: func(ctx context.Context, c client.Client, test *v2.LocustTest) error {
		var job batchv1.Job
		err := c.Get(ctx, client.ObjectKey{Namespace: test.Namespace, Name: resources.MasterName(test.Name)}, &job)
		if !test.Status.IsTerminal() || !apierrors.IsNotFound(err) {
			return client.IgnoreNotFound(err)
		}
		before := test.DeepCopy()
		test.Status.Phase = v2.PhasePending
		return c.Status().Patch(ctx, test, client.MergeFrom(before))
	}},
}

// loadDelivered returns a fault that sets the same LoadDelivered condition in each status.
func loadDelivered(status metav1.ConditionStatus, reason string) func(*v2.LocustTestStatus) bool {
	return func(s *v2.LocustTestStatus) bool {
		meta.SetStatusCondition(&s.Conditions, metav1.Condition{
			Type: v2.ConditionTypeLoadDelivered, Status: status, Reason: reason, Message: "broken on purpose", ObservedGeneration: s.ObservedGeneration,
		})
		return true
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "faulty:", err)
		os.Exit(1)
	}
}

func run() error {
	var names []string
	for name := range faults {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(os.Args) != 2 || !slices.Contains(names, os.Args[1]) {
		return errors.New("name a fault: " + strings.Join(names, ", "))
	}
	f := faults[os.Args[1]]
	ctrl.SetLogger(zap.New())
	scheme := framework.NewScheme(v1alpha1.AddToScheme)
	direct, cluster, err := framework.Connect(scheme, func(*rest.Config) {})
	if err != nil {
		return err
	}
	mgr, err := ctrl.NewManager(cluster, ctrl.Options{Scheme: scheme, Cache: controllers.CacheOptions(nil), Metrics: metricsserver.Options{BindAddress: "0"}})
	if err != nil {
		return fmt.Errorf("set up the manager: %w", err)
	}
	ctx := ctrl.SetupSignalHandler()
	reconciler := &controllers.LocustTestReconciler{
		Client: newFaultyClient(mgr.GetClient(), direct, f), APIReader: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("locust-k8s-operator"), Clock: clock.RealClock{},
		Settings: status.Settings{StartupDeadline: 5 * time.Minute}, RefreshInterval: 10 * time.Second, Concurrency: 4,
	}
	if err := reconciler.SetupWithManager(ctx, mgr); err != nil {
		return fmt.Errorf("set up the controller: %w", err)
	}
	if f.tamper != nil {
		if err := mgr.Add(manager.RunnableFunc(func(ctx context.Context) error { return tamperPeriodically(ctx, direct, f) })); err != nil {
			return err
		}
	}
	return mgr.Start(ctx)
}

// splitClient reads from the cache and writes the status through another client.
type splitClient struct {
	client.Client
	status client.Client
}

func (r splitClient) Status() client.SubResourceWriter { return r.status.Status() }

// reportClient modifies reports before it creates them.
type reportClient struct {
	client.Client
	change func(report *v1alpha1.LocustReport)
}

func (r reportClient) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	if report, isReport := object.(*v1alpha1.LocustReport); isReport {
		r.change(report)
	}
	return r.Client.Create(ctx, object, options...)
}

func newFaultyClient(cached client.Client, direct client.WithWatch, f fault) client.Client {
	if f.report != nil {
		return reportClient{cached, f.report}
	}
	if f.write == nil {
		return cached
	}
	return splitClient{cached, interceptor.NewClient(direct, interceptor.Funcs{
		SubResourcePatch: func(ctx context.Context, c client.Client, _ string, object client.Object, patch client.Patch, _ ...client.SubResourcePatchOption) error {
			var test v2.LocustTest
			if err := c.Get(ctx, client.ObjectKeyFromObject(object), &test); err != nil {
				return err
			}
			desired, err := patched(&test, object, patch)
			if err != nil || !f.write(&desired.Status) {
				return err
			}
			// Like the patch, the update fails if the test has changed since the status was derived.
			err = c.Status().Update(ctx, desired)
			object.SetResourceVersion(desired.ResourceVersion)
			return err
		},
	})}
}

// patched returns the test as the reconciler intends to write it.
func patched(test *v2.LocustTest, object client.Object, patch client.Patch) (*v2.LocustTest, error) {
	change, err := patch.Data(object)
	if err != nil {
		return nil, err
	}
	before, err := json.Marshal(test)
	if err != nil {
		return nil, err
	}
	after, err := jsonpatch.MergePatch(before, change)
	if err != nil {
		return nil, err
	}
	var desired v2.LocustTest
	return &desired, json.Unmarshal(after, &desired)
}

func tamperPeriodically(ctx context.Context, c client.Client, f fault) error {
	for ctx.Err() == nil {
		var all v2.LocustTestList
		if err := c.List(ctx, &all); err != nil {
			return err
		}
		for i := range all.Items {
			if test := &all.Items[i]; test.Status.Phase != "" {
				_ = f.tamper(ctx, c, test) // retried in the next round
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}
