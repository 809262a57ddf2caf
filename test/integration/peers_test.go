//go:build integration

package integration

import (
	"context"
	"testing"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/peers"
)

// peer is a manager with leader election that runs no controller.
type peer struct {
	ctrl.Manager
	operator *peers.Operator
	stop     context.CancelFunc
	ended    chan error
}

func newPeer(t *testing.T, namespace string, namespaces ...string) *peer {
	t.Helper()
	mgr, err := ctrl.NewManager(apiServer, ctrl.Options{
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

// start runs the manager until the end of the test or halt.
func (p *peer) start(t *testing.T) {
	t.Helper()
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go func() { p.ended <- p.Manager.Start(ctx) }()
	t.Cleanup(p.stop)
	<-p.Elected()
}

func (p *peer) halt(t *testing.T) {
	t.Helper()
	p.stop()
	require.NoError(t, <-p.ended)
}

// TestPeers checks that only one of several operators runs the tests of a namespace, and that the others say which one does.
func TestPeers(t *testing.T) {
	a, b := namespace(t), namespace(t)
	first := newPeer(t, a)
	require.NoError(t, first.operator.Register(t.Context()))
	first.start(t)
	require.NoError(t, first.operator.Register(t.Context()), "its other pod starts")

	second := newPeer(t, b, "shop", "search")
	err := second.operator.Register(t.Context())
	require.ErrorContains(t, err, "another operator already runs the LocustTests of namespace shop, search")
	require.ErrorContains(t, err, a+"/operator")
	require.ErrorContains(t, err, "--watch-namespace")
	var lease coordinationv1.Lease
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: b, Name: "operator"}, &lease))
	assert.Empty(t, lease.Spec.HolderIdentity, "it never leads")
	first.halt(t)
	require.NoError(t, second.operator.Register(t.Context()), "the first one has ended")

	// Both pass the first check before one of them leads.
	first = newPeer(t, a, "shop")
	require.NoError(t, first.operator.Register(t.Context()))
	first.start(t)
	second.start(t)
	require.ErrorContains(t, <-second.ended, "another operator already runs the LocustTests of namespace shop: its leader is")
	select {
	case err := <-first.ended:
		t.Errorf("the first leader ended: %v", err)
	default:
	}

	third := newPeer(t, b, "search")
	require.NoError(t, third.operator.Register(t.Context()), "they divide the namespaces")
	third.start(t)
	require.NoError(t, third.operator.Register(t.Context()), "its annotation outlives the updates of the election")
	err = newPeer(t, namespace(t)).operator.Register(t.Context())
	require.Error(t, err)
	assert.Regexp(t, "the LocustTests of namespace (shop|search):", err.Error())
	third.halt(t)
	first.halt(t)
}

// TestPeers_Forbidden checks that an operator that must not list the Leases of all namespaces starts.
func TestPeers_Forbidden(t *testing.T) {
	config := rest.CopyConfig(apiServer)
	config.Impersonate.UserName = "nobody"
	nobody, err := client.New(config, client.Options{Scheme: scheme})
	require.NoError(t, err)
	operator := &peers.Operator{Client: nobody, APIReader: nobody, Clock: clock.RealClock{}, Log: logr.Discard()}
	require.NoError(t, operator.Register(t.Context()))
	operator.Lease = client.ObjectKey{Namespace: "default", Name: "operator"}
	require.ErrorContains(t, operator.Register(t.Context()), "write the watched namespaces to the Lease default/operator")
}
