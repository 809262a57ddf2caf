package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// polled returns a running test whose pods have been ready since t0+10s and whose master is polled but has not answered.
func polled(t *testing.T) *fixture {
	s := created(t)
	s.obs.Locust = &Locust{}
	s.runMaster(t0.Add(10 * time.Second))
	for i := range 3 {
		s.runPod(s.worker(i), t0.Add(10*time.Second))
	}
	s.derive(t0.Add(12 * time.Second))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase)
	return s
}

// answer records a report of the master and derives the status.
func (s *fixture) answer(at time.Time, workers int32, state report.State, stats report.Stats) Derivation {
	s.t.Helper()
	l := *s.obs.Locust
	l.RecordReport(&report.Report{State: state, Users: 10, Workers: workers, Stats: stats, Exact: state == report.StateStopped}, at)
	s.obs.Locust = &l
	return s.derive(at)
}

// failPoll records a failed poll and derives the status.
func (s *fixture) failPoll(at time.Time, reason string) Derivation {
	s.t.Helper()
	l := *s.obs.Locust
	l.RecordFailure(reason, strings.Contains(reason, "refused"), at)
	s.obs.Locust = &l
	return s.derive(at)
}

// endMaster ends the master's pod and Job.
func (s *fixture) endMaster(at time.Time, code int32, message string) {
	s.endPod(s.master(), at, code, message)
	if code == 0 {
		s.endJob(s.obs.MasterJob, "Complete", at)
	} else {
		s.endJob(s.obs.MasterJob, "Failed", at)
	}
}

// finalMessage returns a termination message of the reporter. The load ran from t0+15s to t0+35s.
func finalMessage(complete bool, workers, requests, failures int, more ...string) string {
	extra := ""
	for _, m := range more {
		extra += "," + m
	}
	return fmt.Sprintf(`{"locust.io/report":1,"complete":%t,"state":"running","users":12,"workers":%d,"start":%d,"end":%d,"requests":%d,"failures":%d,`+
		`"avg":12.345,"rps":4.5,"p50":10,"p90":20,"p95":25,"p99":40,"endpoints":[{"method":"GET","name":"/a","requests":%d,"failures":%d,"avg":12.345,"p95":25}],`+
		`"errors":[{"method":"GET","name":"/a","error":"500 Server Error","count":%d}],"exceptions":[],"custom_exit":false,"log":[]%s}`,
		complete, workers, t0.Unix()+15, t0.Unix()+35, requests, failures, requests, failures, failures, extra)
}

func workersMessage(s *v2.LocustTestStatus) string {
	for _, c := range s.Conditions {
		if c.Type == v2.ConditionTypeWorkersConnected {
			return c.Message
		}
	}
	return ""
}
