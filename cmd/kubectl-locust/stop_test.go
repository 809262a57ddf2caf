package main

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// outputs are the streams of an app in a test.
type outputs struct{ out, errOut bytes.Buffer }

func (o *outputs) app() *app {
	return &app{IOStreams: genericiooptions.IOStreams{Out: &o.out, ErrOut: &o.errOut}, now: time.Now}
}

// withCompleted sets the message of TestCompleted.
func withCompleted(test *v2.LocustTest, message string) {
	test.Status.Conditions = []metav1.Condition{{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionTrue, Message: message}}
}

// operatorThatStops ends each test that is to be stopped, at the second read after the request.
func operatorThatStops() interceptor.Funcs {
	reads := 0
	return interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
		if err := c.Get(ctx, key, object, opts...); err != nil {
			return err
		}
		test, isTest := object.(*v2.LocustTest)
		if !isTest || !test.Spec.Stop {
			return nil
		}
		if reads++; reads >= 2 {
			test.Status.Phase = v2.PhaseSucceeded
			withCompleted(test, "stopped after 12s\x1b[2J")
		}
		return nil
	}}
}

func TestStop(t *testing.T) {
	finished := storedTest("done", inPhase(v2.PhaseFailed))
	withCompleted(finished, "2 requests failed")
	stopping := storedTest("stopping", inPhase(v2.PhaseRunning))
	stopping.Spec.Stop = true
	running := func(name string) *v2.LocustTest { return storedTest(name, inPhase(v2.PhaseRunning)) }
	options := stopOptions{wait: true, timeout: time.Minute, poll: time.Millisecond}

	for name, row := range map[string]struct {
		tests   []client.Object
		names   []string
		options stopOptions
		want    string
	}{
		"a running test":          {[]client.Object{running("shop")}, []string{"shop"}, options, "stopping load/shop\nload/shop has ended: Succeeded: stopped after 12s\ufffd[2J\n"},
		"without waiting":         {[]client.Object{running("shop")}, []string{"shop"}, stopOptions{}, "stopping load/shop\n"},
		"a test that has ended":   {[]client.Object{finished}, []string{"done"}, options, "load/done has ended: Failed: 2 requests failed\n"},
		"a test that is stopping": {[]client.Object{stopping}, []string{"stopping"}, options, "load/stopping is stopping already\nload/stopping has ended: Succeeded: stopped after 12s\ufffd[2J\n"},
		"all":                     {[]client.Object{running("a"), finished, running("b")}, nil, stopOptions{all: true}, "stopping load/a\nstopping load/b\n"},
		"all of none":             {[]client.Object{finished}, nil, stopOptions{all: true}, "no test of namespace load is pending or running\n"},
	} {
		t.Run(name, func(t *testing.T) {
			var o outputs
			c := fakeCluster(operatorThatStops(), row.tests...)
			require.NoError(t, o.app().stop(t.Context(), c, "load", row.names, row.options))
			assert.Equal(t, row.want, o.out.String())
			assert.Empty(t, o.errOut.String())
			for _, test := range row.tests {
				stored := &v2.LocustTest{}
				require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(test), stored))
				assert.Equal(t, test.GetName() != "done", stored.Spec.Stop, test.GetName())
			}
		})
	}
}

// TestStop_RequestsAllFirst checks that an error does not keep the others running.
func TestStop_RequestsAllFirst(t *testing.T) {
	var o outputs
	c := fakeCluster(operatorThatStops(), storedTest("b", inPhase(v2.PhaseRunning)))
	err := o.app().stop(t.Context(), c, "load", []string{"a", "b"}, stopOptions{wait: true, timeout: time.Minute, poll: time.Millisecond})
	assert.ErrorContains(t, err, "load/a")
	assert.Contains(t, o.out.String(), "load/b has ended: Succeeded")
}

// TestStop_AllWithoutOperator checks the remedy if there is no operator, or one that serves only v1.
func TestStop_AllWithoutOperator(t *testing.T) {
	var o outputs
	err := o.app().stop(t.Context(), fakeCluster(refusing(notServed(testsResource), nil)), "load", nil, stopOptions{all: true})
	assert.ErrorIs(t, err, errNotInstalled)
	assert.Empty(t, o.out.String())
}

func TestStop_Waiting(t *testing.T) {
	for name, row := range map[string]struct {
		get    func(test *v2.LocustTest) error
		err    string
		out    string
		errOut string
	}{
		"no operator": {func(*v2.LocustTest) error { return nil }, "the operator has not reacted\ncheck that an operator runs", "", "no reaction of the operator yet; check that an operator runs"},
		"a slow end":  {func(test *v2.LocustTest) error { test.Status.ObservedGeneration = 9; return nil }, "it is still stopping\nWait longer with --timeout", "", ""},
		"deleted": {func(*v2.LocustTest) error {
			return apierrors.NewNotFound(schema.GroupResource{Resource: "locusttests"}, "shop")
		}, "", "the test load/shop has been deleted\n", ""},
		"created again": {func(test *v2.LocustTest) error { test.UID = "other"; return nil }, "", "the test load/shop has been deleted\n", ""},
		"lost rights": {func(*v2.LocustTest) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "locusttests"}, "shop", errors.New("no rule"))
		}, "ClusterRole " + viewerRole, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var o outputs
			a := o.app()
			start := time.Now()
			a.now = func() time.Time { return start.Add(1000 * time.Since(start)) } // reactionTime passes soon
			c := fakeCluster(interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
					if err := c.Get(ctx, key, object, opts...); err != nil {
						return err
					}
					if test := object.(*v2.LocustTest); test.Spec.Stop {
						return row.get(test)
					}
					return nil
				},
			}, storedTest("shop", inPhase(v2.PhaseRunning)))
			err := a.stop(t.Context(), c, "load", []string{"shop"}, stopOptions{wait: true, timeout: 100 * time.Millisecond, poll: time.Millisecond})
			if row.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, row.err)
			}
			assert.Equal(t, "stopping load/shop\n"+row.out, o.out.String())
			if row.errOut == "" {
				assert.Empty(t, o.errOut.String())
			} else {
				assert.Contains(t, o.errOut.String(), row.errOut)
			}
		})
	}
}

func TestStop_Interrupted(t *testing.T) {
	var o outputs
	ctx, cancel := context.WithCancel(t.Context())
	reads := 0
	c := fakeCluster(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if reads++; reads == 3 {
				cancel()
			}
			return c.Get(ctx, key, object, opts...)
		},
	}, storedTest("shop", inPhase(v2.PhaseRunning)))
	a := prodApp()
	a.Out, a.ErrOut = &o.out, &o.errOut
	err := a.stop(ctx, c, "load", []string{"shop"}, stopOptions{wait: true, timeout: time.Minute, poll: time.Millisecond})
	var interrupted interruptedError
	require.ErrorAs(t, err, &interrupted)
	assert.Equal(t, "load/shop stops nevertheless; follow it with: kubectl locust watch -n load --context prod shop", interrupted.state)
}

// TestPollTest_Outage checks that a short outage of the API server does not end a command, and a long one does.
func TestPollTest_Outage(t *testing.T) {
	for outage, want := range map[int]string{maxFailingPolls: "", maxFailingPolls + 1: "connection refused"} {
		reads := 0
		c := fakeCluster(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
				if reads++; reads > 1 && reads <= 1+outage {
					return errors.New("connection refused")
				}
				return c.Get(ctx, key, object, opts...)
			},
		}, storedTest("shop", nil))
		seen := 0
		test := storedTest("shop", nil)
		_, err := pollTest(t.Context(), c, client.ObjectKeyFromObject(test), test.UID, time.Microsecond, func(*v2.LocustTest) bool { seen++; return seen == 2 })
		if want == "" {
			assert.NoError(t, err)
		} else {
			assert.ErrorContains(t, err, want)
		}
	}
}
