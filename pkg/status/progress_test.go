package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// TestTargets_Live: Locust's own target, however the load was started.
func TestTargets_Live(t *testing.T) {
	n := func(n int32) *int32 { return &n }
	lasting := func(d time.Duration) *time.Duration { return &d }
	for name, tc := range map[string]struct {
		state    report.State
		target   *report.Target
		users    *int32
		duration time.Duration
	}{
		"no reporter":                     {report.StateRunning, nil, n(4), 100 * time.Second},
		"no load yet":                     {report.StateReady, &report.Target{Users: n(0)}, n(4), 100 * time.Second},
		"as in the arguments":             {report.StateSpawning, &report.Target{Users: n(4), RunTime: lasting(100 * time.Second)}, n(4), 100 * time.Second},
		"started in the web UI":           {report.StateRunning, &report.Target{Users: n(6)}, n(6), 0},
		"with a run time from the web UI": {report.StateRunning, &report.Target{Users: n(6), RunTime: lasting(50 * time.Second)}, n(6), 50 * time.Second},
		"no users any more":               {report.StateRunning, &report.Target{Users: n(0)}, n(0), 0},
		"users not known":                 {report.StateRunning, &report.Target{RunTime: lasting(100 * time.Second)}, n(4), 100 * time.Second},
		"stopping":                        {report.StateStopping, &report.Target{Users: n(6)}, n(6), 0},
		"a load shape":                    {report.StateRunning, &report.Target{Users: n(7), RunTime: lasting(100 * time.Second), Shape: true}, nil, 0},
		"a load shape, no load yet":       {report.StateReady, &report.Target{Users: n(0), Shape: true}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			s.obs.Run.Spec.Master.Command += " --users 4 --run-time 100s"
			s.answer(t0.Add(20*time.Second), 3, report.StateSpawning, report.Stats{})
			assert.Equal(t, n(4), s.prev.Progress.TargetUsers, "claimed before")
			assert.NotNil(t, s.prev.Progress.Percent, "claimed before")

			s.answerWithTarget(t0.Add(45*time.Second), tc.state, tc.target, report.Stats{Requests: 20})
			p := s.prev.Progress
			assert.Equal(t, tc.users, p.TargetUsers)
			if tc.duration == 0 {
				assert.Nil(t, p.Duration)
				assert.Nil(t, p.Percent)
				return
			}
			assert.Equal(t, tc.duration, p.Duration.Duration)
			if tc.state != report.StateReady {
				assert.EqualValues(t, 25*100*time.Second/tc.duration, *p.Percent)
			}
		})
	}
}

// TestTargets_AtEnd: the final report takes precedence.
func TestTargets_AtEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		members string
		want    v2.Progress
	}{
		"older reporter": {`"new":1`, v2.Progress{TargetUsers: new(int32(4)), Duration: limit(80 * time.Second), Percent: new(int32(25))}},
		"the web UI's":   {`"target_users":12,"run_time":20,"shape":false`, v2.Progress{TargetUsers: new(int32(12)), Duration: limit(20 * time.Second), Percent: new(int32(100))}},
		"no limit":       {`"target_users":12,"run_time":null,"shape":false`, v2.Progress{TargetUsers: new(int32(12))}},
		"a load shape":   {`"target_users":12,"run_time":80,"shape":true`, v2.Progress{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			s.obs.Run.Spec.Master.Command += " --users 4 --run-time 80s"
			s.obs.Run.Spec.LoadGuarantee = v2.LoadGuaranteeNone // 20 of 80 s are too few otherwise
			s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{Requests: 9})
			s.endMaster(t0.Add(40*time.Second), 0, finalMessage(true, 3, 100, 0, tc.members))
			s.derive(t0.Add(41 * time.Second))
			require.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
			start := metav1.NewTime(t0.Add(15 * time.Second))
			tc.want.CurrentUsers, tc.want.StartTime, tc.want.Elapsed = 12, &start, limit(20*time.Second)
			assert.Equal(t, tc.want, *s.prev.Progress)
		})
	}
}

// TestElapsed_EndedLoad: it is bounded by the run time of Locust, not by that of the arguments.
func TestElapsed_EndedLoad(t *testing.T) {
	s := polled(t)
	s.obs.Run.Spec.Master.Command += " --run-time 10s"
	target := &report.Target{Users: new(int32(6))}
	s.answerWithTarget(t0.Add(20*time.Second), report.StateRunning, target, report.Stats{Requests: 20})
	s.answerWithTarget(t0.Add(60*time.Second), report.StateStopped, target, report.Stats{Requests: 40})
	assert.Equal(t, 40*time.Second, s.prev.Progress.Elapsed.Duration)
}
