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
)

var (
	jobsResource  = schema.GroupResource{Group: "batch", Resource: "jobs"}
	errWrongField = apierrors.NewInvalid(schema.GroupKind{Group: "batch", Kind: "Job"}, "x", field.ErrorList{
		field.Invalid(field.NewPath("spec", "template", "spec", "tolerations").Index(0).Child("operator"), "Sometimes", "not supported")})
)

// policyRefusal is the answer for a ValidatingAdmissionPolicy that gives no reason of its own
// (k8s.io/apiserver/pkg/admission/plugin/policy/validating/dispatcher.go).
func policyRefusal(reason metav1.StatusReason, code int32) error {
	const message = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"
	err := apierrors.NewForbidden(jobsResource, "x", errors.New(message))
	err.ErrStatus.Reason, err.ErrStatus.Code = reason, code
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Message: message})
	return err
}

// webhookRefusal is the answer for an admission webhook (k8s.io/apiserver/pkg/admission/plugin/webhook/errors/statuserror.go).
func webhookRefusal(status metav1.Status) error {
	status.Message = `admission webhook "w.example.com" denied the request: no`
	return &apierrors.StatusError{ErrStatus: status}
}

// TestIsFinal: what the API server finds wrong itself stays wrong; a policy may change.
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
		"no answer":                                  {errors.New("connection refused"), false},
	} {
		t.Run(name, func(t *testing.T) { assert.Equal(t, row.final, isFinal(row.err)) })
	}
}

// TestRefusedByPolicy: the test waits for the policy to change.
func TestRefusedByPolicy(t *testing.T) {
	w := newWorld(t)
	w.requireLook("status")
	w.refusal = policyRefusal(metav1.StatusReasonInvalid, 422)
	w.broken = func(what string) bool { return what == "test-worker" }
	w.requireLook("test-master", "test-master", "test-worker", "status")
	assert.Equal(t, v2.PhasePending, w.phase())
	assert.Equal(t, v2.ReasonResourcesFailed, w.ready().Reason)
}

// TestWrongWorkerJob: the master Job exists already, and nothing runs yet.
func TestWrongWorkerJob(t *testing.T) {
	w := newWorld(t)
	w.requireLook("status")
	w.refusal = errWrongField
	w.broken = func(what string) bool { return what == "test-worker" }
	w.requireLook("test-master", "test-master", "test-worker", "status")
	assert.Equal(t, v2.PhaseFailed, w.phase())
}

// TestRefusedDuringTheRun: a Service that cannot be created again does not end a run that goes well.
func TestRefusedDuringTheRun(t *testing.T) {
	w := newWorld(t)
	w.requireLook("status")
	w.requireLook("test-master", "test-master", "test-worker")
	w.requireLook("status")
	w.phase()
	w.test.Status.Phase, w.test.Status.MasterPod = v2.PhaseRunning, "master"
	started := metav1.Now()
	w.test.Status.StartTime = &started
	require.NoError(t, w.client.Status().Update(t.Context(), w.test))
	require.NoError(t, w.client.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test-master"}}))
	w.restart()
	w.refusal = errWrongField
	w.broken = func(what string) bool { return what == "test-master" }
	w.requireLook("test-master", "status")
	assert.Equal(t, v2.PhaseRunning, w.phase())
	assert.Equal(t, v2.ReasonResourcesFailed, w.ready().Reason)
}

// labelled reads only the operator's own Services, as the cache does.
type labelled struct{ client.Client }

func (c *labelled) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, into, opts...)
	if service, ok := into.(*corev1.Service); ok && err == nil && service.Labels[resources.LabelManagedBy] == "" {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, key.Name)
	}
	return err
}

// TestForeignName: the cache does not have the Service that has the name. It is tried again every 30 s, not at each reconcile.
func TestForeignName(t *testing.T) {
	w := newWorld(t)
	now := clocktesting.NewFakePassiveClock(time.Now())
	w.subject.Client, w.subject.Clock, w.subject.Settings.StartupDeadline = &labelled{w.client}, now, time.Hour
	foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test-master"}}
	require.NoError(t, w.client.Create(t.Context(), foreign))
	healthy := func() *metav1.Condition {
		return meta.FindStatusCondition(w.test.Status.Conditions, v2.ConditionTypePodsHealthy)
	}
	w.requireLook("status")
	again := w.requireLook("test-master", "status")
	assert.Equal(t, retryName, again.RequeueAfter)
	assert.Contains(t, w.ready().Message, "taken by others: Service test-master")
	assert.Equal(t, v2.ReasonCreationError, healthy().Reason)

	now.SetTime(now.Now().Add(20 * time.Second))
	written, again, err := w.look()
	require.NoError(t, err)
	assert.Empty(t, written, "it is too early for another try, and the status is the same")
	assert.Equal(t, retryName-20*time.Second, again.RequeueAfter)

	now.SetTime(now.Now().Add(again.RequeueAfter))
	assert.Equal(t, retryName, w.requireLook("test-master").RequeueAfter)
	require.NoError(t, w.client.Delete(t.Context(), foreign))
	now.SetTime(now.Now().Add(retryName))
	w.requireLook("test-master", "test-master", "test-worker", "status")
	assert.Equal(t, v2.ReasonResourcesCreated, w.ready().Reason)
	assert.Equal(t, v2.ReasonPodsStarting, healthy().Reason)
}
