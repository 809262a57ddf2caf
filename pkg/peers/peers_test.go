package peers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestOverlap(t *testing.T) {
	for _, c := range []struct {
		ours, theirs     []string
		one, description string
	}{
		{nil, nil, "", "all namespaces"},
		{nil, []string{"a", "b"}, "a", "namespace a, b"},
		{[]string{"a"}, nil, "a", "namespace a"},
		{[]string{"a", "b", "c"}, []string{"c", "d", "a"}, "a", "namespace a, c"},
		{[]string{"a"}, []string{"b"}, "", ""},
	} {
		one, description := overlap(c.ours, c.theirs)
		assert.Equal(t, []string{c.one, c.description}, []string{one, description}, "%v %v", c.ours, c.theirs)
	}
}

func TestAcquired(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	since := metav1.NewMicroTime(now.Add(-time.Hour))
	for name, c := range map[string]struct {
		change      func(*coordinationv1.LeaseSpec)
		leads, next bool
	}{
		"held":            {func(*coordinationv1.LeaseSpec) {}, true, true},
		"just released":   {func(s *coordinationv1.LeaseSpec) { s.HolderIdentity = new("") }, false, true},
		"expired":         {func(s *coordinationv1.LeaseSpec) { s.RenewTime = ago(now, 31*time.Second) }, false, true},
		"long ended":      {func(s *coordinationv1.LeaseSpec) { s.RenewTime = ago(now, 61*time.Second) }, false, false},
		"never held":      {func(s *coordinationv1.LeaseSpec) { *s = coordinationv1.LeaseSpec{} }, false, false},
		"clocks disagree": {func(s *coordinationv1.LeaseSpec) { s.RenewTime = ago(now, -time.Second) }, true, true},
	} {
		lease := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("pod_1"), LeaseDurationSeconds: new(int32(15)), AcquireTime: &since, RenewTime: ago(now, 29*time.Second),
		}}
		c.change(&lease.Spec)
		assert.Equal(t, c.leads, acquired(lease, now, false) != nil, name)
		assert.Equal(t, c.next, acquired(lease, now, true) != nil, name)
	}
}

func ago(now time.Time, d time.Duration) *metav1.MicroTime {
	at := metav1.NewMicroTime(now.Add(-d))
	return &at
}
