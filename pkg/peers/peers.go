// Package peers finds other operators that run the LocustTests of the same namespaces. With two of them, each would
// overwrite the other's status, and a setting of one would not hold.
//
// Each operator writes the namespaces that it watches to the Lease of its leader election, where the others find them.
package peers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// LeaseLabel is on the Lease of each operator.
	LeaseLabel = "locust.io/operator"
	// NamespacesAnnotation has the namespaces that an operator watches, separated by commas; empty means all.
	NamespacesAnnotation = "locust.io/watch-namespaces"
)

// Operator is this operator.
type Operator struct {
	// Client writes the own Lease.
	Client client.Writer
	// APIReader lists Leases without a cache.
	APIReader client.Reader
	// Clock is the API server's.
	Clock clock.PassiveClock
	Log   logr.Logger
	// Lease is that of the leader election. The name is empty without leader election; others do not find this operator then.
	Lease client.ObjectKey
	// Namespaces are those that the operator watches; empty means all.
	Namespaces []string
}

// Register writes the namespaces to the Lease, and returns an error if another operator has a leader and watches one of them.
// Call it before the leader election, so that an operator that would only do damage never becomes a leader.
func (o *Operator) Register(ctx context.Context) error {
	if o.Lease.Name != "" {
		if err := o.write(ctx); err != nil {
			return fmt.Errorf("write the watched namespaces to the Lease %s: %w", o.Lease, err)
		}
	}
	return o.check(ctx)
}

// Start checks again, because two operators may have started at the same time. It returns an error to the one that became
// leader later. It implements manager.Runnable, which runs on the leader only.
func (o *Operator) Start(ctx context.Context) error { return o.check(ctx) }

func (o *Operator) write(ctx context.Context) error {
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Namespace: o.Lease.Namespace, Name: o.Lease.Name,
		Labels:      map[string]string{LeaseLabel: "true"},
		Annotations: map[string]string{NamespacesAnnotation: strings.Join(o.Namespaces, ",")},
	}}
	err := o.Client.Create(ctx, lease.DeepCopy())
	if !apierrors.IsAlreadyExists(err) {
		return err
	}
	body := fmt.Sprintf(`{"metadata":{"labels":{%q:"true"},"annotations":{%q:%q}}}`,
		LeaseLabel, NamespacesAnnotation, lease.Annotations[NamespacesAnnotation])
	return o.Client.Patch(ctx, lease, client.RawPatch(types.MergePatchType, []byte(body)))
}

func (o *Operator) check(ctx context.Context) error {
	var leases coordinationv1.LeaseList
	err := o.APIReader.List(ctx, &leases, client.MatchingLabels{LeaseLabel: "true"})
	if apierrors.IsForbidden(err) {
		o.Log.Info("Other operators that watch the same namespaces are not detected: there is no permission to list Leases of all namespaces")
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the Leases of other operators: %w", err)
	}
	var since *metav1.MicroTime // when a pod of this operator became leader
	for i := range leases.Items {
		if client.ObjectKeyFromObject(&leases.Items[i]) == o.Lease {
			since = acquired(&leases.Items[i], o.Clock.Now())
		}
	}
	for i := range leases.Items {
		lease := &leases.Items[i]
		key := client.ObjectKeyFromObject(lease)
		theirs := acquired(lease, o.Clock.Now())
		if key == o.Lease || theirs == nil || since != nil && since.Before(theirs) {
			continue
		}
		if shared := overlap(o.Namespaces, namespaces(lease)); shared != "" {
			return fmt.Errorf("another operator already runs the LocustTests of %s: its leader is %q, its Lease %s. "+
				"Remove one of the two operators, or let each watch other namespaces with --watch-namespace",
				shared, ptr.Deref(lease.Spec.HolderIdentity, ""), key)
		}
	}
	return nil
}

// acquired returns when the current leader acquired a Lease, or nil if there is no leader.
func acquired(lease *coordinationv1.Lease, now time.Time) *metav1.MicroTime {
	spec := lease.Spec
	if ptr.Deref(spec.HolderIdentity, "") == "" || spec.RenewTime == nil || spec.AcquireTime == nil {
		return nil
	}
	if now.After(spec.RenewTime.Add(time.Duration(ptr.Deref(spec.LeaseDurationSeconds, 0)) * time.Second)) {
		return nil
	}
	return spec.AcquireTime
}

func namespaces(lease *coordinationv1.Lease) []string {
	if list := lease.Annotations[NamespacesAnnotation]; list != "" {
		return strings.Split(list, ",")
	}
	return nil
}

// overlap describes the namespaces that two operators watch, or returns "" if there is none.
func overlap(ours, theirs []string) string {
	if len(ours) == 0 && len(theirs) == 0 {
		return "all namespaces"
	}
	if len(ours) == 0 {
		ours = theirs
	}
	var shared []string
	for _, namespace := range ours {
		if len(theirs) == 0 || slices.Contains(theirs, namespace) {
			shared = append(shared, namespace)
		}
	}
	if len(shared) == 0 {
		return ""
	}
	return "namespace " + strings.Join(shared, ", ")
}
