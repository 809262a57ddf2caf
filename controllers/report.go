package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/cause"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

const reportKind = "LocustReport"

// eventReportRefused is the reason of the Event for a report that cannot be created.
const eventReportRefused = "ReportNotCreated"

// maxRefusal bounds the error in the Event, in characters: the API server refuses Events of more than 1024 bytes.
const maxRefusal = 500

// reportState is what is known of the report of a run.
type reportState struct {
	// exists is set once the report has been created or observed: it is not created again if it is deleted.
	exists bool
	// pending is a report whose creation has failed. Its sources may be gone at the next attempt.
	pending *v1alpha1.LocustReport
	// refusal is the error of the last Event about it.
	refusal string
	// created is the metadata of the report that this operator has created, which the cache may not have yet.
	created *metav1.PartialObjectMetadata
	// prune is set while older reports may have to be deleted.
	prune bool
}

// observeReport sets whether the report of the finished run exists. Only the metadata of reports is cached.
func (r *LocustTestReconciler) observeReport(ctx context.Context, test *v2.LocustTest, state *testState, obs *status.Observation) error {
	if !test.Status.IsTerminal() {
		return nil
	}
	if test.Status.Report != "" && !state.report.exists {
		found := reportMetadata()
		err := r.Get(ctx, client.ObjectKey{Namespace: test.Namespace, Name: test.Status.Report}, found)
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("read report %s/%s: %w", test.Namespace, test.Status.Report, err)
		}
		state.report.exists = err == nil
		state.report.prune = err == nil && len(found.OwnerReferences) == 0 // a previous process may not have done it
	}
	obs.ReportExists = state.report.exists || test.Status.Report == ""
	if obs.ReportExists {
		state.final = nil
	}
	return nil
}

// observeFinal sets the decoded final report of the run's master, until the report of the run exists.
func observeFinal(state *testState, obs *status.Observation) {
	if !obs.ReportExists {
		state.final = status.DecodeFinalReport(obs, state.final)
		obs.Final = state.final
	}
}

func reportMetadata() *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(reportKind))
	return object
}

// reportEnd creates the report of a run whose end has just been written to the status. The next reconcile tries again: it must not
// wait for a retry, because it stops the load.
func (r *LocustTestReconciler) reportEnd(ctx context.Context, test *v2.LocustTest, final *v2.LocustTestStatus, state *testState, obs *status.Observation) {
	if !final.IsTerminal() {
		return
	}
	ended := *test
	ended.Status = *final
	of := *obs
	of.Test = &ended
	if err := r.createReport(ctx, &ended, state, &of); err != nil {
		logf.FromContext(ctx).Info("the report could not be created, will retry", "reason", err.Error())
	}
}

// prune deletes retained reports beyond the limit.
func (r *LocustTestReconciler) prune(ctx context.Context, test *v2.LocustTest, state *testState) error {
	if !state.report.prune {
		return nil
	}
	if err := r.pruneReports(ctx, test, state.report.created); err != nil {
		return err
	}
	state.report.prune, state.report.created = false, nil
	return nil
}

// createReport creates the report. It returns an error if it must be tried again.
func (r *LocustTestReconciler) createReport(ctx context.Context, test *v2.LocustTest, state *testState, obs *status.Observation) error {
	if state.report.pending == nil {
		built, err := buildReport(obs)
		if err != nil {
			return r.refuseReport(test, state, resources.ReportName(test), err)
		}
		state.report.pending = built
	}
	object := state.report.pending
	err := r.Create(ctx, object)
	if apierrors.IsAlreadyExists(err) {
		err = r.checkOwnReport(ctx, test, object)
	}
	switch {
	case err == nil:
		logf.FromContext(ctx).Info("created", "object", reportKind, "name", object.Name)
	case apierrors.IsInvalid(err):
		// The tests of pkg/report check their reports against the schema. Should one be invalid, its summary is better than none.
		state.report.pending = report.WithoutLists(state.report.pending)
		return r.refuseReport(test, state, object.Name, err)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		// The test will be deleted with its namespace.
		return fmt.Errorf("create report %s/%s: %w", object.Namespace, object.Name, err)
	default:
		return r.refuseReport(test, state, object.Name, err)
	}
	state.report, state.final = reportState{exists: true}, nil
	if len(object.OwnerReferences) == 0 {
		state.report.prune, state.report.created = true, &metav1.PartialObjectMetadata{ObjectMeta: object.ObjectMeta}
	}
	return nil
}

// buildReport builds the report. What Locust reports comes from user code; it must not keep the operator from stopping the load.
func buildReport(obs *status.Observation) (built *v1alpha1.LocustReport, err error) {
	defer func() {
		if r := recover(); r != nil {
			built, err = nil, fmt.Errorf("cannot build the report: %v", r)
		}
	}()
	return report.Build(obs), nil
}

// checkOwnReport returns nil if the existing report of this name is that of the test: a previous process has created it, and the cache
// was behind. It sets the metadata of object.
func (r *LocustTestReconciler) checkOwnReport(ctx context.Context, test *v2.LocustTest, object *v1alpha1.LocustReport) error {
	found := reportMetadata()
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(object), found); err != nil {
		return err
	}
	if uid := found.Labels[resources.LabelTestUID]; uid != string(test.UID) {
		return fmt.Errorf("an object of this name exists, with the label %s=%s; delete it", resources.LabelTestUID, uid)
	}
	object.ObjectMeta = found.ObjectMeta
	return nil
}

// refuseReport sends an Event for a report that cannot be created, once for each cause, and returns the error.
func (r *LocustTestReconciler) refuseReport(test *v2.LocustTest, state *testState, name string, err error) error {
	if message := err.Error(); message != state.report.refusal {
		state.report.refusal = message
		r.Recorder.Eventf(test, nil, corev1.EventTypeWarning, eventReportRefused, eventReportRefused,
			"LocustReport %s could not be created, will retry: %s", name, cause.Shorten(message, maxRefusal))
	}
	return fmt.Errorf("create report %s/%s: %w", test.Namespace, name, err)
}

// pruneReports deletes the oldest retained reports of the test's name beyond its limit. The newest report counts although the cache may
// not have it yet.
func (r *LocustTestReconciler) pruneReports(ctx context.Context, test *v2.LocustTest, newest *metav1.PartialObjectMetadata) error {
	name, labelled := resources.ReportLabels(test)[resources.LabelTestName]
	if !labelled {
		return nil
	}
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(reportKind + "List"))
	if err := r.List(ctx, list, client.InNamespace(test.Namespace), client.MatchingLabels{resources.LabelTestName: name}); err != nil {
		return fmt.Errorf("list reports of test %s/%s: %w", test.Namespace, test.Name, err)
	}
	if newest != nil && !slices.ContainsFunc(list.Items, func(m metav1.PartialObjectMetadata) bool { return m.UID == newest.UID }) {
		list.Items = append(list.Items, *newest)
	}
	var errs []error
	for _, old := range report.Excess(list.Items, resources.ReportName(test), report.HistoryLimit(test)) {
		err := r.Delete(ctx, &old, client.Preconditions{UID: &old.UID})
		if client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("delete report %s/%s: %w", old.Namespace, old.Name, err))
			continue
		}
		logf.FromContext(ctx).Info("deleted old report", "name", old.Name)
	}
	return errors.Join(errs...)
}
