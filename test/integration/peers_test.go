//go:build integration

package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	clocktesting "k8s.io/utils/clock/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/peers"
)

// peer is a manager with leader election that runs no controller, as a service account of its namespace.
type peer struct {
	ctrl.Manager
	operator *peers.Operator
	stop     context.CancelFunc
	ended    chan error
}

func newPeer(t *testing.T, namespace string, namespaces ...string) *peer {
	t.Helper()
	config := rest.CopyConfig(apiServer)
	config.Impersonate.UserName = "system:serviceaccount:" + namespace + ":operator"
	config.Impersonate.Groups = []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"}, LeaderElection: true,
		LeaderElectionID: "operator", LeaderElectionNamespace: namespace, LeaderElectionReleaseOnCancel: true,
	})
	require.NoError(t, err)
	p := &peer{Manager: mgr, ended: make(chan error, 1), operator: &peers.Operator{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Clock: clock.RealClock{}, Log: logr.Discard(),
		Lease: client.ObjectKey{Namespace: namespace, Name: "operator"}, Namespaces: namespaces,
	}}
	require.NoError(t, mgr.Add(p.operator))
	return p
}

// operatorNamespace returns a new namespace whose service account "operator" has the permissions of an operator.
func operatorNamespace(t *testing.T) string {
	t.Helper()
	name := namespace(t)
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: name, Name: "operator"}},
	}
	require.NoError(t, k8s.Create(t.Context(), binding))
	t.Cleanup(func() { _ = k8s.Delete(context.Background(), binding) })
	return name
}

// start runs the manager until the end of the test or halt.
func (p *peer) start(t *testing.T) {
	t.Helper()
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go func() { p.ended <- p.Start(ctx) }()
	t.Cleanup(p.stop)
	<-p.Elected()
	eventually(t, "the leader has written its namespaces", func() bool {
		var lease coordinationv1.Lease
		require.NoError(t, k8s.Get(t.Context(), p.operator.Lease, &lease))
		written, found := lease.Annotations[peers.NamespacesAnnotation] // another leader may have written others before
		return found && written == strings.Join(p.operator.Namespaces, ",")
	})
}

func (p *peer) halt(t *testing.T) {
	t.Helper()
	p.stop()
	require.NoError(t, <-p.ended)
}

// TestPeers checks that only one of several operators runs the tests of a namespace, and that the others report which one.
func TestPeers(t *testing.T) {
	a, b := operatorNamespace(t), operatorNamespace(t)
	first := newPeer(t, a)
	require.NoError(t, first.operator.Check(t.Context()))
	first.start(t)
	require.NoError(t, first.operator.Check(t.Context()), "its other pod starts")

	second := newPeer(t, b, "shop", "search")
	err := second.operator.Check(t.Context())
	require.ErrorContains(t, err, "another operator already runs the LocustTests of namespace shop, search")
	require.ErrorContains(t, err, a+"/operator")
	require.ErrorContains(t, err, "--watch-namespace")
	first.halt(t)
	require.Error(t, second.operator.Check(t.Context()), "its next leader may follow")
	second.operator.Clock = clocktesting.NewFakePassiveClock(time.Now().Add(time.Minute))
	require.NoError(t, second.operator.Check(t.Context()), "it has ended")
	second.operator.Clock = clock.RealClock{}

	// Both pass the first check before one of them leads.
	first = newPeer(t, a, "shop")
	first.start(t)
	second.start(t)
	require.ErrorContains(t, <-second.ended, "another operator already runs the LocustTests of namespace shop: its leader is")
	select {
	case err := <-first.ended:
		t.Errorf("the first leader ended: %v", err)
	default:
	}

	third := newPeer(t, b, "search")
	require.NoError(t, third.operator.Check(t.Context()), "they divide the namespaces")
	third.start(t)

	// A new version of the first operator with wrong settings does not start, and changes nothing for the others.
	wrong := newPeer(t, a, "shop", "search")
	require.NoError(t, wrong.operator.Check(t.Context()), "the leader of the same operator is older than that of the third")
	require.NoError(t, third.operator.Check(t.Context()))
	require.ErrorContains(t, newPeer(t, operatorNamespace(t)).operator.Check(t.Context()), "another operator")
	third.halt(t)
	first.halt(t)
}

// TestPeers_Forged checks that a user who may write Leases in a namespace cannot stop an operator.
func TestPeers_Forged(t *testing.T) {
	name := namespace(t)
	now := metav1.NewMicroTime(time.Now())
	require.NoError(t, k8s.Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "forged", Labels: map[string]string{peers.LeaseLabel: "true"},
			Annotations: map[string]string{peers.AccountAnnotation: "default"}},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: new("no-pod"), LeaseDurationSeconds: new(int32(3600)),
			AcquireTime: new(metav1.NewMicroTime(time.Unix(0, 0))), RenewTime: &now},
	}))
	operator := newPeer(t, operatorNamespace(t), name).operator
	require.NoError(t, operator.Check(t.Context()))
}

// TestPeers_Forbidden checks that an operator that must not list the Leases of all namespaces starts.
func TestPeers_Forbidden(t *testing.T) {
	operator := newPeer(t, namespace(t)).operator
	require.NoError(t, operator.Check(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	assert.NoError(t, operator.Start(ctx))
}
