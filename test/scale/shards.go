package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// shards runs two operators with one namespace each, and fails if the audit log has a request of one operator in the namespace
// of the other.
func shards(ctx context.Context, c *cluster, o *options) error {
	if err := c.startKwok(ctx, o.kwok, 2*o.tests*(o.workers+1)); err != nil {
		return err
	}
	if err := c.restoreOperatorAtEnd(ctx); err != nil {
		return err
	}
	namespaces := []string{"scale-a", "scale-b"}
	for _, namespace := range namespaces {
		if err := c.makeNamespace(ctx, namespace); err != nil {
			return err
		}
	}
	settings := func(namespace string) map[string]string {
		s := o.settings()
		s["WATCH_NAMESPACE"], s["LOCUST_OPERATOR_LEADER_ELECTION_ID"] = namespace, "shard-"+namespace
		return s
	}
	// Open the log before the operators start, so that it has the initial lists of their caches.
	log, err := openAuditLog()
	if err != nil {
		return err
	}
	defer log.close()

	// requests are the counts by pod of the operator and namespace.
	requests := map[string]map[string]*counts{}
	ended, logged := make(chan struct{}), make(chan error, 1)
	go func() {
		logged <- log.follow(ended, byUser(framework.OperatorUser), func(r *request) {
			if r.ObjectRef.Namespace == framework.OperatorNamespace {
				return // Leases and the webhook certificate
			}
			pod := r.pod()
			if requests[pod] == nil {
				requests[pod] = map[string]*counts{}
			}
			if requests[pod][r.ObjectRef.Namespace] == nil {
				requests[pod][r.ObjectRef.Namespace] = newCounts()
			}
			requests[pod][r.ObjectRef.Namespace].add(r)
		})
	}()
	first, err := c.operator(ctx, settings(namespaces[0]))
	if err != nil {
		return err
	}
	second, err := c.secondOperator(ctx, settings(namespaces[1]))
	if err != nil {
		return err
	}
	results, errs := make([]*result, 2), make([]error, 2)
	done := make(chan struct{})
	for i, s := range []*target{first, second} {
		go func() {
			results[i], errs[i] = c.run(ctx, s, o.load(namespaces[i], o.tests, o.workers))
			done <- struct{}{}
		}()
	}
	<-done
	<-done
	close(ended)
	if err := errors.Join(append(errs, <-logged)...); err != nil {
		return err
	}
	var wrong []string
	owners := map[string]string{}
	for _, pod := range slices.Sorted(maps.Keys(requests)) {
		if pod != first.pod && pod != second.pod {
			continue // the previous operator
		}
		for _, namespace := range slices.Sorted(maps.Keys(requests[pod])) {
			n := requests[pod][namespace]
			fmt.Fprintf(os.Stdout, "%s in %s: %d requests, %d status writes, %d creates of Jobs, %d refused, %d stale\n", pod, namespace, n.Total, n.StatusWrites, n.Requests["create jobs 201"], n.RefusedCreates, n.Conflicts)
			if other, taken := owners[namespace]; taken {
				wrong = append(wrong, fmt.Sprintf("both %s and %s sent requests for %s", other, pod, namespace))
			}
			owners[namespace] = pod
			if n.Requests["create jobs 201"] != 2*o.tests || n.RefusedCreates > 0 {
				wrong = append(wrong, fmt.Sprintf("%s: %d Jobs were created, not %d, and %d creates were refused", namespace, n.Requests["create jobs 201"], 2*o.tests, n.RefusedCreates))
			}
		}
	}
	if len(owners) != 2 || owners[namespaces[0]] == owners[namespaces[1]] {
		wrong = append(wrong, fmt.Sprintf("the operators did not work in separate namespaces: %v", owners))
	}
	for i, r := range results {
		fmt.Fprintf(os.Stdout, "%s: %v, max resident memory %.1f MiB\n", namespaces[i], r.Phases, float64(r.PeakMemory)/mebibyte)
		if r.good() != o.tests {
			wrong = append(wrong, fmt.Sprintf("%s: not all tests had exactly the three phases: %v", namespaces[i], r.Phases))
		}
		if err := c.clear(ctx, namespaces[i]); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	fmt.Fprintln(os.Stdout, "both operators worked only in their own namespace")
	return save(o.work+"/shards.json", map[string]any{"results": results, "owners": owners})
}

// secondOperator starts a copy of the operator with other settings.
func (c *cluster) secondOperator(ctx context.Context, settings map[string]string) (*target, error) {
	d := &appsv1.Deployment{}
	if err := c.Get(ctx, framework.OperatorKey, d); err != nil {
		return nil, err
	}
	// The label separates the pods of both Deployments; the webhook Service selects both.
	const shard = "locust.io/shard"
	copied := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: d.Namespace, Name: d.Name + "-b"}, Spec: *d.Spec.DeepCopy()}
	copied.Spec.Selector.MatchLabels[shard] = "b"
	copied.Spec.Template.Labels[shard] = "b"
	set(&copied.Spec.Template.Spec.Containers[0], settings)
	if err := c.Create(ctx, copied); err != nil {
		return nil, fmt.Errorf("create a second operator: %w", err)
	}
	c.cleanup = append(c.cleanup, func() { _ = c.Delete(context.Background(), copied) })
	pod, err := c.leader(ctx, map[string]string{shard: "b"}, settings)
	if err != nil {
		return nil, err
	}
	return c.targetOf(ctx, "second operator", pod)
}
