// Package peers finds other operators that run the LocustTests of the same namespaces. With two of them, each would
// overwrite the other's status, and a setting of one would not hold.
//
// The leader of each operator writes the namespaces that it watches to the Lease of its leader election, where the others find
// them.
package peers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

const (
	// LeaseLabel is on the Lease of each operator.
	LeaseLabel = "locust.io/operator"
	// NamespacesAnnotation has the namespaces that an operator watches, separated by commas; empty means all.
	NamespacesAnnotation = "locust.io/watch-namespaces"
	// AccountAnnotation has the name of the operator's service account.
	AccountAnnotation = "locust.io/service-account"
)

// recheck is how often the leader looks for others: two operators may have started at the same time.
const recheck = time.Minute

// errConflict is the cause of the errors that name another operator.
var errConflict = errors.New("another operator already runs the LocustTests")

// Operator is this operator.
type Operator struct {
	// Client writes the own Lease, and asks for permissions of others.
	Client client.Client
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

// Check returns an error if another operator has a leader and watches one of the namespaces. Call it before the leader election,
// so that an operator that would only do damage never becomes a leader.
func (o *Operator) Check(ctx context.Context) error {
	err := o.check(ctx, true)
	if apierrors.IsForbidden(err) {
		o.Log.Info("Other operators that watch the same namespaces are not detected, because a permission is missing", "error", err.Error())
		return nil
	}
	return err
}

// Start writes the namespaces to the Lease and checks again, then once a minute. It returns an error to the operator that became
// leader later. It implements manager.Runnable, which runs on the leader only.
func (o *Operator) Start(ctx context.Context) error {
	written := o.Lease.Name == ""
	err := wait.PollUntilContextCancel(ctx, recheck, true, func(ctx context.Context) (bool, error) {
		if !written {
			if err := o.write(ctx); err != nil {
				o.Log.Error(err, "Cannot write the watched namespaces to the Lease", "lease", o.Lease)
				return false, nil
			}
			written = true
		}
		err := o.check(ctx, false)
		if err != nil && !errors.Is(err, errConflict) {
			if !apierrors.IsForbidden(err) {
				o.Log.Error(err, "Cannot look for other operators")
			}
			err = nil
		}
		return false, err
	})
	if ctx.Err() != nil {
		return nil // the manager stops
	}
	return err
}

// write adds the namespaces and the service account to the Lease.
func (o *Operator) write(ctx context.Context) error {
	self := &authenticationv1.SelfSubjectReview{}
	if err := o.Client.Create(ctx, self); err != nil {
		return fmt.Errorf("find out the own service account: %w", err)
	}
	account := strings.TrimPrefix(self.Status.UserInfo.Username, accountOf(o.Lease.Namespace, ""))
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: o.Lease.Namespace, Name: o.Lease.Name}}
	body := fmt.Sprintf(`{"metadata":{"labels":{%q:"true"},"annotations":{%q:%q,%q:%q}}}`,
		LeaseLabel, NamespacesAnnotation, strings.Join(o.Namespaces, ","), AccountAnnotation, account)
	return o.Client.Patch(ctx, lease, client.RawPatch(types.MergePatchType, []byte(body)))
}

// accountOf returns the user name of a service account.
func accountOf(namespace, name string) string {
	return "system:serviceaccount:" + namespace + ":" + name
}

// check returns an error about the first other operator that is in conflict and whose leader acquired its Lease earlier. Before the
// own election, starting is true, and an operator whose leader has just ended counts too: its next leader follows.
func (o *Operator) check(ctx context.Context, starting bool) error {
	var leases coordinationv1.LeaseList
	if err := o.APIReader.List(ctx, &leases, client.MatchingLabels{LeaseLabel: "true"}); err != nil {
		return fmt.Errorf("list the Leases of other operators: %w", err)
	}
	now := o.Clock.Now()
	var since *metav1.MicroTime // when a pod of this operator became leader
	for i := range leases.Items {
		if client.ObjectKeyFromObject(&leases.Items[i]) == o.Lease {
			since = acquired(&leases.Items[i], now, false)
		}
	}
	for i := range leases.Items {
		lease := &leases.Items[i]
		key := client.ObjectKeyFromObject(lease)
		theirs := acquired(lease, now, starting)
		if key == o.Lease || theirs == nil || since != nil && since.Before(theirs) {
			continue
		}
		shared, description := overlap(o.Namespaces, namespaces(lease))
		if description == "" {
			continue
		}
		isOperator, err := o.runsTests(ctx, lease, shared)
		if err != nil {
			return err
		}
		if isOperator {
			return fmt.Errorf("%w of %s: its leader is %q, its Lease %s. Remove one of the two operators, or let each watch other "+
				"namespaces with --watch-namespace", errConflict, description, ptr.Deref(lease.Spec.HolderIdentity, ""), key)
		}
	}
	return nil
}

// runsTests reports whether the service account named in a Lease may write statuses of tests in a namespace, or in all if it is empty.
// Users who may create Leases in their namespace could stop the operator otherwise.
func (o *Operator) runsTests(ctx context.Context, lease *coordinationv1.Lease, namespace string) (bool, error) {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   accountOf(lease.Namespace, lease.Annotations[AccountAnnotation]),
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + lease.Namespace, "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: namespace, Verb: "patch", Group: v2.GroupVersion.Group, Resource: "locusttests", Subresource: "status",
		},
	}}
	if err := o.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("check the permissions of %s: %w", review.Spec.User, err)
	}
	return review.Status.Allowed, nil
}

// acquired returns when the current leader acquired a Lease, or nil if there is none. With next, a leader that has ended less than a
// minute ago counts as well. A Lease expires after twice its duration, because clocks differ.
func acquired(lease *coordinationv1.Lease, now time.Time, next bool) *metav1.MicroTime {
	spec := lease.Spec
	if spec.RenewTime == nil || spec.AcquireTime == nil {
		return nil
	}
	age := now.Sub(spec.RenewTime.Time)
	held := ptr.Deref(spec.HolderIdentity, "") != "" && age < 2*time.Duration(ptr.Deref(spec.LeaseDurationSeconds, 0))*time.Second
	if held || next && age < recheck {
		return spec.AcquireTime
	}
	return nil
}

func namespaces(lease *coordinationv1.Lease) []string {
	if list := lease.Annotations[NamespacesAnnotation]; list != "" {
		return strings.Split(list, ",")
	}
	return nil
}

// overlap returns one of the namespaces that two operators watch, "" for all, and a description of them, which is empty if there is
// none.
func overlap(ours, theirs []string) (one, description string) {
	if len(ours) == 0 && len(theirs) == 0 {
		return "", "all namespaces"
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
		return "", ""
	}
	return shared[0], "namespace " + strings.Join(shared, ", ")
}
