// Package framework has what the test suites share: a client, a watcher of LocustTests that checks every written status
// against the status contract, waits, and locustfiles. Package builder makes LocustTests.
//
// The scorecard's image contains it, so it imports neither testify nor envtest.
package framework

import (
	"context"
	"fmt"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// The operator as `make deploy` installs it.
const (
	OperatorNamespace  = "locust-k8s-operator-system"
	OperatorDeployment = "locust-k8s-operator-controller-manager"
	OperatorUser       = "system:serviceaccount:" + OperatorNamespace + ":" + OperatorDeployment
	OperatorLease      = "locust-k8s-operator.locust.io"
	OperatorReplicas   = 2
)

var (
	// OperatorKey is that of the operator's Deployment.
	OperatorKey = client.ObjectKey{Namespace: OperatorNamespace, Name: OperatorDeployment}
	// OperatorPods are the labels of the operator's pods.
	OperatorPods = client.MatchingLabels{"control-plane": "controller-manager"}
)

// Leader returns the name of the operator's pod that holds a Lease, or "" if none does.
func Leader(ctx context.Context, c client.Client, namespace, lease string) (string, error) {
	object := &coordinationv1.Lease{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: lease}, object); err != nil {
		return "", client.IgnoreNotFound(err)
	}
	// controller-runtime appends a UUID to the host name.
	pod, _, _ := strings.Cut(ptr.Deref(object.Spec.HolderIdentity, ""), "_")
	return pod, nil
}

// NewScheme returns a scheme with the types of Kubernetes, LocustTest, LocustReport, and more.
func NewScheme(more ...func(*runtime.Scheme) error) *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range append(more, clientgoscheme.AddToScheme, v1alpha1.AddToScheme, v2.AddToScheme) {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

// Connect returns a client of the cluster of KUBECONFIG, after change of its configuration.
func Connect(scheme *runtime.Scheme, change func(*rest.Config)) (client.WithWatch, *rest.Config, error) {
	config, err := ctrl.GetConfig()
	if err != nil {
		return nil, nil, fmt.Errorf("no cluster; set KUBECONFIG, for example as `make cluster-env` prints it: %w", err)
	}
	change(config)
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", config.Host, err)
	}
	return c, config, nil
}
