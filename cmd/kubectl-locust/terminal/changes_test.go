package terminal

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestChanges(t *testing.T) {
	assert.Equal(t, []string{
		"phase Pending",
		"workers 1/3",
		"WorkersConnected=False WaitingForWorkers: 1/3 workers connected",
		"PodsHealthy=False ImagePullError: pod x: not found",
	}, Changes(nil, pending()), "neither conditions that are good, nor those that only repeat the phase")
	assert.Equal(t, []string{
		"phase Running",
		"workers 3/3",
		"users 10/20; requests 200, 12.50/s, 3 failed (1.5 %); responses average 1.23ms, p50 1ms",
		"WorkersConnected=True AllWorkersConnected: 3/3 workers connected",
		"PodsHealthy=True PodsHealthy: 3/3 pods are running",
		"LoadDelivered=True LoadAsPlanned: 20 users",
	}, Changes(pending(), pending(running)))
	assert.Empty(t, Changes(pending(), pending()), "no change, no line")
	assert.Equal(t, []string{"phase not known yet"}, Changes(pending(), &v2.LocustTest{})[:1])
}

func TestChangesOfMessages(t *testing.T) {
	message := func(conditionType, message string) func(*v2.LocustTestStatus) {
		return func(s *v2.LocustTestStatus) {
			for i := range s.Conditions {
				if s.Conditions[i].Type == conditionType {
					s.Conditions[i].Message = message
				}
			}
		}
	}
	assert.Equal(t, []string{"PodsHealthy=False ImagePullError: pod y: not found"},
		Changes(pending(), pending(message(v2.ConditionTypePodsHealthy, "pod y: not found"))))
	assert.Empty(t, Changes(pending(), pending(message(v2.ConditionTypeTestCompleted, "Test has been waiting for 5 s"))), "a message that counts has no line each time")
	assert.Empty(t, Changes(pending(), pending(func(s *v2.LocustTestStatus) { s.Conditions = s.Conditions[:6] })), "Reconciling ends with the phase")
}

func TestChangeLog(t *testing.T) {
	var out strings.Builder
	log := &ChangeLog{Out: &out}
	first := pending()
	log.Draw(State{Test: first, Elapsed: 2 * time.Second})
	assert.True(t, strings.HasPrefix(out.String(), "  0:02  phase Pending\n"), out.String())
	length := out.Len()
	log.Draw(State{Test: first, Elapsed: 3 * time.Second})
	assert.Equal(t, length, out.Len(), "no change, no line")

	log.Draw(State{Test: first, Elapsed: 15 * time.Second, Note: "no operator"})
	log.Draw(State{Test: first, Elapsed: 16 * time.Second, Note: "no operator"})
	log.Draw(State{Test: first, Elapsed: 17 * time.Second})
	log.Close()
	assert.Equal(t, "  0:15  no operator\n", out.String()[length:])
}

func TestChangeOfAConditionThatBecomesGood(t *testing.T) {
	before := metav1.Condition{Type: v2.ConditionTypePodsHealthy, Status: metav1.ConditionFalse, Reason: v2.ReasonImagePullError}
	after := metav1.Condition{Type: v2.ConditionTypePodsHealthy, Status: metav1.ConditionTrue, Reason: v2.ReasonPodsHealthy}
	assert.Equal(t, "PodsHealthy=True PodsHealthy", changeOf(&before, &after))
	assert.Empty(t, changeOf(nil, &after))
}
