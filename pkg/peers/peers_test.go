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
		ours, theirs []string
		want         string
	}{
		{nil, nil, "all namespaces"},
		{nil, []string{"a", "b"}, "namespace a, b"},
		{[]string{"a"}, nil, "namespace a"},
		{[]string{"a", "b", "c"}, []string{"c", "d", "a"}, "namespace a, c"},
		{[]string{"a"}, []string{"b"}, ""},
	} {
		assert.Equal(t, c.want, overlap(c.ours, c.theirs), "%v %v", c.ours, c.theirs)
	}
}

func TestAcquired(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	since := metav1.NewMicroTime(now.Add(-time.Hour))
	for name, c := range map[string]struct {
		change func(*coordinationv1.LeaseSpec)
		leads  bool
	}{
		"held":     {func(*coordinationv1.LeaseSpec) {}, true},
		"released": {func(s *coordinationv1.LeaseSpec) { s.HolderIdentity = new("") }, false},
		"expired":  {func(s *coordinationv1.LeaseSpec) { s.RenewTime = new(metav1.NewMicroTime(now.Add(-16 * time.Second))) }, false},
		"new":      {func(s *coordinationv1.LeaseSpec) { *s = coordinationv1.LeaseSpec{} }, false},
	} {
		lease := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new("pod_1"), LeaseDurationSeconds: new(int32(15)), AcquireTime: &since,
			RenewTime: new(metav1.NewMicroTime(now.Add(-14 * time.Second))),
		}}
		c.change(&lease.Spec)
		if got := acquired(lease, now); c.leads {
			assert.Equal(t, &since, got, name)
		} else {
			assert.Nil(t, got, name)
		}
	}
}
