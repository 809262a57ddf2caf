package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

func TestNextPoll(t *testing.T) {
	asking := Settings{PollInterval: 5 * time.Second}
	now := t0.Add(60 * time.Second)
	connected := func(s *fixture) { s.answer(t0.Add(14*time.Second), 3, report.StateRunning, report.Stats{}) }
	for name, tc := range map[string]struct {
		change func(s *fixture)
		now    time.Time
		wait   time.Duration
		ask    bool
	}{
		"never polled":    {func(*fixture) {}, now, -time.Hour, true},
		"all well":        {func(s *fixture) { s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{}) }, t0.Add(46 * time.Second), 3 * time.Second, true},
		"due":             {func(s *fixture) { s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{}) }, t0.Add(49 * time.Second), 0, true},
		"workers are new": {connected, t0.Add(16 * time.Second), -time.Second, true},
		"a worker is deleted": {func(s *fixture) {
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
			at := metav1.NewTime(t0)
			s.worker(1).DeletionTimestamp = &at
		}, t0.Add(46 * time.Second), -time.Second, true},
		"a worker is replaced": {func(s *fixture) {
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
			s.pod("worker", 1).CreationTimestamp = metav1.NewTime(t0.Add(45 * time.Second))
		}, t0.Add(46 * time.Second), -time.Second, true},
		"workers come":        {func(s *fixture) { s.answer(t0.Add(14*time.Second), 2, report.StateReady, report.Stats{}) }, t0.Add(14 * time.Second), time.Second, true},
		"workers do not come": {func(s *fixture) { s.answer(t0.Add(140*time.Second), 2, report.StateReady, report.Stats{}) }, t0.Add(171 * time.Second), -26 * time.Second, true},
		"a worker went": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(20*time.Second), 2, report.StateRunning, report.Stats{})
		}, t0.Add(20 * time.Second), time.Second, true},
		"a worker is unresponsive": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(20*time.Second), 2, report.StateRunning, report.Stats{})
		}, t0.Add(50 * time.Second), -25 * time.Second, true},
		"starting": {func(s *fixture) { s.failPoll(t0.Add(13*time.Second), "refused") }, t0.Add(13 * time.Second), time.Second, true},
		"starting slowly": {func(s *fixture) {
			s.obs.Locust.Failures = 20
			s.failPoll(t0.Add(29*time.Second), "x")
		}, t0.Add(29 * time.Second), 5 * time.Second, true},
		"starting, and refuses": {func(s *fixture) { s.failPoll(t0.Add(24*time.Second), "refused") }, t0.Add(24 * time.Second), time.Second, true},
		"loading": {func(s *fixture) {
			s.obs.Locust.Failures = 50
			s.failPoll(t0.Add(65*time.Second), "refused")
		}, t0.Add(65 * time.Second), 5 * time.Second, true},
		"not up after all": {func(s *fixture) {
			s.obs.Locust.Failures = 60
			s.failPoll(t0.Add(72*time.Second), "refused")
		}, t0.Add(72 * time.Second), 5 * time.Second, true},
		"never up": {func(s *fixture) {
			s.obs.Locust.Failures = 20
			s.failPoll(t0.Add(100*time.Second), "refused")
		}, t0.Add(100 * time.Second), 30 * time.Second, true},
		"no answer":          {func(s *fixture) { connected(s); s.failPoll(t0.Add(40*time.Second), "x") }, t0.Add(40 * time.Second), 5 * time.Second, true},
		"no answer for long": {func(s *fixture) { connected(s); s.obs.Locust.Failures = 2; s.failPoll(t0.Add(40*time.Second), "x") }, t0.Add(40 * time.Second), 20 * time.Second, true},
		"no answer for ever": {func(s *fixture) { connected(s); s.obs.Locust.Failures = 99; s.failPoll(t0.Add(40*time.Second), "x") }, t0.Add(40 * time.Second), 30 * time.Second, true},
		"a slow answer": {func(s *fixture) {
			s.obs.Locust.PollDuration = 700 * time.Millisecond
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
		}, t0.Add(44 * time.Second), 7 * time.Second, true},
		"a slow answer while workers come": {func(s *fixture) {
			s.obs.Locust.PollDuration = 600 * time.Millisecond
			s.answer(t0.Add(14*time.Second), 2, report.StateReady, report.Stats{})
		}, t0.Add(14 * time.Second), 6 * time.Second, true},
		"an answer while workers come": {func(s *fixture) {
			s.obs.Locust.PollDuration = 400 * time.Millisecond
			s.answer(t0.Add(14*time.Second), 2, report.StateReady, report.Stats{})
		}, t0.Add(14 * time.Second), time.Second, true},
		"a very slow answer: the report stays fresh": {func(s *fixture) {
			s.obs.Locust.PollDuration = 1900 * time.Millisecond
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
		}, t0.Add(44 * time.Second), 10 * time.Second, true},
		"a slow answer after the load has ended": {func(s *fixture) {
			connected(s)
			s.obs.Locust.PollDuration = 1900 * time.Millisecond
			s.answer(t0.Add(44*time.Second), 3, report.StateStopped, report.Stats{Requests: 1})
		}, t0.Add(44 * time.Second), time.Second, true},
		"a quick answer": {func(s *fixture) {
			s.obs.Locust.PollDuration = 500 * time.Millisecond
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
		}, t0.Add(44 * time.Second), 5 * time.Second, true},
		"the load has ended": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(44*time.Second), 3, report.StateStopping, report.Stats{})
			s.answer(t0.Add(50*time.Second), 3, report.StateStopped, report.Stats{})
		}, t0.Add(79 * time.Second), -28 * time.Second, true},
		"its final result does not come": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(44*time.Second), 3, report.StateStopped, report.Stats{Requests: 1})
			s.answer(t0.Add(75*time.Second), 3, report.StateStopped, report.Stats{Requests: 2})
		}, t0.Add(75 * time.Second), 5 * time.Second, true},
		"it does not stop": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(44*time.Second), 3, report.StateStopping, report.Stats{})
			s.answer(t0.Add(75*time.Second), 3, report.StateStopping, report.Stats{})
		}, t0.Add(75 * time.Second), 5 * time.Second, true},
		"not polled":              {func(s *fixture) { s.obs.Locust = nil }, now, 0, false},
		"unreachable":             {func(s *fixture) { s.obs.Locust.Unreachable = true }, now, 0, false},
		"a Service plays no part": {func(s *fixture) { s.obs.Service = nil }, now, -time.Hour, true},
		"no address yet":          {func(s *fixture) { s.master().Status.PodIP = "" }, now, 0, false},
		"no master":               {func(s *fixture) { s.dropPod(s.master()) }, now, 0, false},
		"the test has ended":      {func(s *fixture) { s.prev.Phase = v2.PhaseSucceeded }, now, 0, false},
		"the master's pod ended":  {func(s *fixture) { s.endPod(s.master(), now, 0, "") }, now, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			tc.change(s)
			wait, ask := newFacts(&s.prev, &s.obs, asking, tc.now).nextPoll(&s.prev)
			assert.Equal(t, tc.ask, ask)
			if tc.wait == -time.Hour {
				assert.Negative(t, wait)
			} else {
				assert.Equal(t, tc.wait, wait)
			}
		})
	}
}
