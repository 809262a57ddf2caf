package controllers

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/validation"
)

var (
	jobsResource  = schema.GroupResource{Group: "batch", Resource: "jobs"}
	errWrongField = apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "Job"}, "x", field.ErrorList{
		field.Invalid(field.NewPath("spec", "template", "spec", "tolerations").Index(0).Child("operator"), "Sometimes", "not supported")})
)

// policyRefusal is the response to an object denied by a ValidatingAdmissionPolicy without a reason of its own
// (k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go).
func policyRefusal(reason metav1.StatusReason, code int32) error {
	const message = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"
	err := apierrors.NewForbidden(jobsResource, "x", errors.New(message))
	err.ErrStatus.Reason, err.ErrStatus.Code = reason, code
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Message: message})
	return err
}

// webhookRefusal is the response to an object denied by an admission webhook
// (k8s.io/apiserver/pkg/admission/plugin/webhook/errors/statuserror.go).
func webhookRefusal(status metav1.Status) error {
	status.Message = `admission webhook "w.example.com" denied the request: no`
	return &apierrors.StatusError{ErrStatus: status}
}

// TestIsFinal: an invalid object stays invalid; a policy may change.
func TestIsFinal(t *testing.T) {
	for name, row := range map[string]struct {
		err   error
		final bool
	}{
		"a wrong field":                              {errWrongField, true},
		"a wrong field, wrapped":                     {fmt.Errorf("create: %w", errWrongField), true},
		"cannot be decoded":                          {apierrors.NewBadRequest("strict decoding error"), true},
		"too large":                                  {apierrors.NewRequestEntityTooLargeError("limit is 3145728"), true},
		"a policy without a reason":                  {policyRefusal(metav1.StatusReasonInvalid, 422), false},
		"a policy with reason Forbidden":             {policyRefusal(metav1.StatusReasonForbidden, 403), false},
		"a policy with reason RequestEntityTooLarge": {policyRefusal(metav1.StatusReasonRequestEntityTooLarge, 413), false},
		"a webhook without a code":                   {webhookRefusal(metav1.Status{Code: 400}), false},
		"a webhook that names a field":               {webhookRefusal(metav1.Status{Code: 422, Reason: metav1.StatusReasonInvalid, Details: errWrongField.ErrStatus.Details}), false},
		"a quota":                                    {apierrors.NewForbidden(jobsResource, "x", errors.New("exceeded quota")), false},
		"no response":                                {errors.New("connection refused"), false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, row.final, isFinal(row.err)) })
	}
}

// TestRefusedByPolicy: the test waits for the policy to change.
func TestRefusedByPolicy(t *testing.T) {
	f := newFixture(t)
	f.requireWrites("status")
	f.refusal = policyRefusal(metav1.StatusReasonInvalid, 422)
	f.refuses = func(what string) bool { return what == "test-worker" }
	f.requireWrites("test-master", "test-master", "test-worker", "status")
	assert.Equal(t, v2.PhasePending, f.phase())
	assert.Equal(t, v2.ReasonResourcesFailed, f.ready().Reason)
}

// TestWrongWorkerJob: the master Job exists already, and nothing runs yet.
func TestWrongWorkerJob(t *testing.T) {
	f := newFixture(t)
	f.requireWrites("status")
	f.refusal = errWrongField
	f.refuses = func(what string) bool { return what == "test-worker" }
	f.requireWrites("test-master", "test-master", "test-worker", "status", "test-1")
	assert.Equal(t, v2.PhaseFailed, f.phase())
}

// TestRecreatedService_InvalidSpec: a spec that breaks a rule which is newer than the test keeps its lost Service.
func TestRecreatedService_InvalidSpec(t *testing.T) {
	f := newCreatedFixture(t)
	f.ready()
	f.test.Spec.Master.Labels = map[string]string{resources.LabelPodName: "x"}
	require.NotEmpty(t, validation.Validate(f.test))
	require.NoError(t, f.client.Update(t.Context(), f.test))
	require.NoError(t, f.client.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test-master"}}))
	f.restart()
	written, _, err := f.reconcile()
	require.NoError(t, err)
	assert.Contains(t, written, "test-master")
	assert.Equal(t, v2.PhasePending, f.phase())
}

// TestRefusedDuringRun: a Service that cannot be recreated does not end a healthy run.
func TestRefusedDuringRun(t *testing.T) {
	f := newCreatedFixture(t)
	f.phase()
	f.test.Status.Phase, f.test.Status.MasterPod = v2.PhaseRunning, "master"
	started := metav1.Now()
	f.test.Status.StartTime = &started
	require.NoError(t, f.client.Status().Update(t.Context(), f.test))
	require.NoError(t, f.client.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test-master"}}))
	f.restart()
	f.refusal = errWrongField
	f.refuses = func(what string) bool { return what == "test-master" }
	f.requireWrites("test-master", "status")
	assert.Equal(t, v2.PhaseRunning, f.phase())
	assert.Equal(t, v2.ReasonResourcesFailed, f.ready().Reason)
}

// labeledClient returns only the operator's own Services, as the cache does.
type labeledClient struct{ client.Client }

func (c *labeledClient) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, into, opts...)
	if service, ok := into.(*corev1.Service); ok && err == nil && service.Labels[resources.LabelManagedBy] == "" {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, key.Name)
	}
	return err
}

// TestForeignName: the cache does not have the foreign Service. Creation is retried every 30 s, not at each reconcile.
func TestForeignName(t *testing.T) {
	f := newFixture(t)
	now := clocktesting.NewFakePassiveClock(time.Now())
	f.reconciler.Client, f.reconciler.Clock, f.reconciler.Settings.StartupDeadline = &labeledClient{f.client}, now, time.Hour
	foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test-master"}}
	require.NoError(t, f.client.Create(t.Context(), foreign))
	healthy := func() *metav1.Condition {
		return meta.FindStatusCondition(f.test.Status.Conditions, v2.ConditionTypePodsHealthy)
	}
	f.requireWrites("status")
	result := f.requireWrites("test-master", "status")
	assert.Equal(t, nameRetryInterval, result.RequeueAfter)
	assert.Contains(t, f.ready().Message, "not owned by this test: Service test-master")
	assert.Equal(t, v2.ReasonCreationError, healthy().Reason)

	now.SetTime(now.Now().Add(20 * time.Second))
	written, result, err := f.reconcile()
	require.NoError(t, err)
	assert.Empty(t, written, "the retry is not due yet, and the status is the same")
	assert.Equal(t, nameRetryInterval-20*time.Second, result.RequeueAfter)

	now.SetTime(now.Now().Add(result.RequeueAfter))
	assert.Equal(t, nameRetryInterval, f.requireWrites("test-master").RequeueAfter)
	require.NoError(t, f.client.Delete(t.Context(), foreign))
	now.SetTime(now.Now().Add(nameRetryInterval))
	f.requireWrites("test-master", "test-master", "test-worker", "status")
	assert.Equal(t, v2.ReasonResourcesCreated, f.ready().Reason)
	assert.Equal(t, v2.ReasonPodsStarting, healthy().Reason)
}

// TestApply_RefusesWhatCannotRun: no object of an invalid test is created.
func TestApply_RefusesWhatCannotRun(t *testing.T) {
	f := newFixture(t)
	f.test.Spec.Master.Command = "'"
	require.NoError(t, f.client.Update(t.Context(), f.test))
	f.requireWrites("status")
	f.requireWrites("status", "test-1")
	assert.Equal(t, v2.PhaseFailed, f.phase())
	assert.Contains(t, f.ready().Message, "spec.master.command: Invalid value")
}
