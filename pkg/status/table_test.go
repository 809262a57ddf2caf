package status

import (
	"testing"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestTable_CoversEveryReasonOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, row := range Table {
		key := row.Type + string(row.Status) + row.Reason
		assert.False(t, seen[key], "%s is there twice", key)
		seen[key] = true
		assert.NotEmpty(t, row.When, key)
		assert.NotEmpty(t, row.Do, key)
	}
	for _, reason := range severity {
		assert.True(t, Known(metav1.Condition{Type: v2.ConditionTypePodsHealthy, Status: metav1.ConditionFalse, Reason: reason}), reason)
	}
	for _, reasons := range []map[string]string{waitingReasons, eventReasons} {
		for kind, reason := range reasons {
			assert.Contains(t, severity, reason, "the problem of %s has no severity", kind)
		}
	}
}
