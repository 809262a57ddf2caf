package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

func TestContradiction(t *testing.T) {
	const basic, strict, none = v2.LoadGuaranteeBasic, v2.LoadGuaranteeStrict, v2.LoadGuaranteeNone
	for name, c := range map[string]struct {
		phase     string
		reason    string
		requests  int64
		guarantee v2.LoadGuarantee
		want      string
	}{
		"before the load":                     {v2.PhasePending, v2.ReasonLoadNotStarted, 0, basic, ""},
		"a good run":                          {v2.PhaseSucceeded, v2.ReasonLoadAsPlanned, 9, basic, ""},
		"the load has just started":           {v2.PhaseRunning, v2.ReasonLoadAsPlanned, 0, basic, ""},
		"no requests, failed":                 {v2.PhaseFailed, v2.ReasonNoRequests, 0, basic, ""},
		"no requests, and requests":           {v2.PhaseRunning, v2.ReasonNoRequests, 1, basic, "NoRequests with 1 requests"},
		"no requests, and requests, None":     {v2.PhaseRunning, v2.ReasonNoRequests, 1, none, "NoRequests with 1 requests"},
		"as planned without a request":        {v2.PhaseSucceeded, v2.ReasonLoadAsPlanned, 0, basic, "LoadAsPlanned in phase Succeeded without a request"},
		"as planned without a request, None":  {v2.PhaseSucceeded, v2.ReasonLoadAsPlanned, 0, none, "LoadAsPlanned in phase Succeeded without a request"},
		"never updated":                       {v2.PhaseSucceeded, v2.ReasonLoadNotStarted, 9, none, "LoadNotStarted in phase Succeeded"},
		"a success without requests":          {v2.PhaseSucceeded, v2.ReasonNoRequests, 0, basic, "phase Succeeded with LoadDelivered=False/NoRequests and loadGuarantee Basic"},
		"a success without requests, None":    {v2.PhaseSucceeded, v2.ReasonNoRequests, 0, none, ""},
		"a success that was cut short":        {v2.PhaseSucceeded, v2.ReasonLoadCutShort, 9, basic, "LoadDelivered=False/LoadCutShort"},
		"a success that was cut short, None":  {v2.PhaseSucceeded, v2.ReasonLoadCutShort, 9, none, ""},
		"a success with lost workers":         {v2.PhaseSucceeded, v2.ReasonWorkersLost, 9, basic, ""},
		"a success with lost workers, Strict": {v2.PhaseSucceeded, v2.ReasonWorkersLost, 9, strict, "LoadDelivered=False/WorkersLost and loadGuarantee Strict"},
		"not observed":                        {v2.PhaseSucceeded, v2.ReasonNotObserved, 0, basic, ""},
		"not observed, Strict":                {v2.PhaseSucceeded, v2.ReasonNotObserved, 0, strict, "LoadDelivered=Unknown/NotObserved"},
	} {
		t.Run(name, func(t *testing.T) {
			load := metav1.Condition{Type: v2.ConditionTypeLoadDelivered, Status: statusOf(c.reason), Reason: c.reason}
			of := &v2.LocustTestStatus{Phase: c.phase, Conditions: []metav1.Condition{load}}
			if c.requests > 0 {
				of.TestResult = &v2.TestResult{TotalRequests: c.requests}
			}
			err := contradiction(of, c.guarantee)
			if c.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// statusOf returns the condition status that belongs to a reason of LoadDelivered.
func statusOf(reason string) metav1.ConditionStatus {
	for _, row := range status.Table {
		if row.Type == v2.ConditionTypeLoadDelivered && row.Reason == reason {
			return row.Status
		}
	}
	return ""
}

// TestPermanentConditions compares the list with that of the operator.
func TestPermanentConditions(t *testing.T) {
	assert.ElementsMatch(t, status.PermanentTypes, permanentConditions)
}
