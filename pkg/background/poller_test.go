package background

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

type statsFunc func() (*report.Report, error)

func (a statsFunc) Stats(context.Context, locust.Target) (*report.Report, error) { return a() }

// TestTargetOf: a master is polled at the address of its pod and its own port, regardless of its Service.
func TestTargetOf(t *testing.T) {
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "load"}}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "shop-master", UID: "job"}}
	pod := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "shop-master-x7k2p", OwnerReferences: []metav1.OwnerReference{{UID: "job"}},
			Labels: map[string]string{resources.LabelTestName: "shop", resources.LabelPodName: "shop-master"},
		},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "fd00::7", ContainerStatuses: []corev1.ContainerStatus{
			{Name: "shop-master", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
		}},
	}
	obs := &status.Observation{
		Run:       resources.NewRun(&v2.LocustTest{Spec: v2.LocustTestSpec{Master: v2.MasterSpec{Command: "-f a.py --web-port 9000 --web-base-path /ui"}}}),
		Service:   &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "shop-master.other.svc"}},
		MasterJob: job, Pods: []corev1.Pod{pod},
	}
	want := locust.Target{Namespace: "load", Pod: "shop-master-x7k2p", IP: "fd00::7", Port: 9000, BasePath: "/ui"}
	assert.Equal(t, want, targetOf(test, obs))
	obs.Pods = nil
	assert.Empty(t, targetOf(test, obs).Pod)
}

// TestPoller_Known: the state of a master after each kind of response.
func TestPoller_Known(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var response *report.Report
		var err error
		p := NewPoller(statsFunc(func() (*report.Report, error) { return response, err }), time.Second, 1, clock.RealClock{}, nil)
		defer p.stop()
		one := &masterPoll{target: locust.Target{IP: "10.0.0.7"}}
		poll := func() status.Locust {
			p.slots.acquire("", func() { p.poll(one, types.NamespacedName{Name: "shop"}) })
			assert.Equal(t, "shop", (<-p.tests).Object.Name)
			time.Sleep(time.Second)
			return one.known
		}

		err = locust.ErrRefused
		began := time.Now()
		known := poll()
		assert.Equal(t, began, known.RefusedAt)
		assert.Equal(t, 1, known.Failures)

		err = errors.New("something else")
		known = poll()
		assert.Equal(t, began, known.RefusedAt, "the time of the earlier refusal")
		assert.Equal(t, "the request failed", known.LastError)
		assert.Equal(t, 2, known.Failures)

		response, err = &report.Report{Workers: 2}, nil
		known = poll()
		assert.Equal(t, response, known.Report)
		assert.Empty(t, known.LastError)
		assert.Zero(t, known.Failures)
	})
}

// TestPoller_Queued: a queued poll uses the address that the master has when the poll starts, never that of another pod.
func TestPoller_Queued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		targets := make(chan locust.Target, 1)
		p := NewPoller(targetRecorder(targets), time.Second, 1, clock.RealClock{}, nil)
		defer p.stop()
		test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: "load", Name: "shop"}}
		queue := func() {
			p.slots.acquire("load", func() {}) // takes the only slot
			assert.Zero(t, p.request(test, locust.Target{IP: "10.0.0.7"}, 0))
			synctest.Wait()
		}

		queue()
		assert.Zero(t, p.request(test, locust.Target{IP: "10.0.0.8"}, 0))
		p.slots.release("load")
		assert.Equal(t, "10.0.0.8", (<-targets).IP)
		<-p.tests

		queue()
		p.Cancel(test)
		p.slots.release("load")
		synctest.Wait()
		assert.Empty(t, targets, "the master has no address")
		assert.False(t, p.of(test).busy)
		assert.Empty(t, p.slots.queues)
	})
}

// targetRecorder records the targets of polls.
type targetRecorder chan locust.Target

func (r targetRecorder) Stats(_ context.Context, target locust.Target) (*report.Report, error) {
	r <- target
	return &report.Report{}, nil
}
