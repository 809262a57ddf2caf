package main

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// errNoReports is the error if the API server does not serve LocustReports.
var errNoReports = errors.New("this cluster does not serve LocustReports")

// How many objects a request lists: a report has up to 512 KiB.
const (
	testsPerRequest   = 500
	reportsPerRequest = 100
)

// reader reads tests and reports.
type reader struct {
	client.Client
	// served reports whether the API server serves LocustReports. All authenticated users may ask for this.
	served func(context.Context) (bool, error)
}

func (a *app) reader() (*reader, error) {
	c, err := a.client()
	if err != nil {
		return nil, err
	}
	config, err := a.restConfig()
	if err != nil {
		return nil, err
	}
	raw, err := rawClient(config)
	if err != nil {
		return nil, err
	}
	return &reader{Client: c, served: func(ctx context.Context) (bool, error) {
		var resources struct {
			Resources []struct {
				Name string `json:"name"`
			} `json:"resources"`
		}
		err := getJSON(ctx, raw, "/apis/"+v1alpha1.GroupVersion.String(), nil, &resources)
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		for _, resource := range resources.Resources {
			if resource.Name == "locustreports" {
				return true, nil
			}
		}
		return false, err
	}}, nil
}

// connectionFlags returns the flags that select a namespace of the reader's cluster.
func (r *reader) connectionFlags(namespace string) string { return flagsFor(r.Client, namespace) }

// explainReports returns errNoReports if an error of a request is due to an operator without reports, and otherwise adds the remedy.
// The roles of such an operator do not permit to read reports, so that the API server may refuse the request before it knows that there is
// no such kind.
func (r *reader) explainReports(ctx context.Context, action string, err error) error {
	if err == nil {
		return nil
	}
	if isNotServed(err) {
		return errNoReports
	}
	if apierrors.IsForbidden(err) {
		if served, failed := r.served(ctx); failed == nil && !served {
			return errNoReports
		}
	}
	return explain(action, viewerRole, err)
}

// getReport returns a report by its name.
func (r *reader) getReport(ctx context.Context, key client.ObjectKey) (*v1alpha1.LocustReport, error) {
	report := &v1alpha1.LocustReport{}
	if err := r.Get(ctx, key, report); err != nil {
		return nil, r.explainReports(ctx, "read the report "+key.String(), err)
	}
	return report, nil
}

// newestReport returns the newest report of the tests with a name, and how many there are; nil without one.
func (r *reader) newestReport(ctx context.Context, key client.ObjectKey) (newest *v1alpha1.LocustReport, count int, err error) {
	if len(validation.IsValidLabelValue(key.Name)) > 0 {
		return nil, 0, nil // no report has such a label
	}
	err = eachChunk(ctx, r, &v1alpha1.LocustReportList{}, reportsPerRequest, func(list *v1alpha1.LocustReportList) {
		for i := range list.Items {
			report := &list.Items[i]
			count++
			if newest == nil || endedLater(report, newest) {
				newest = report.DeepCopy()
			}
		}
	}, client.InNamespace(key.Namespace), client.MatchingLabels{resources.LabelTestName: key.Name})
	return newest, count, r.explainReports(ctx, "list the reports of namespace "+key.Namespace, err)
}

// endedLater compares the ends of two runs. Reports that were restored from a backup have been created at the same time.
func endedLater(a, b *v1alpha1.LocustReport) bool {
	if order := a.Run.EndTime.Compare(b.Run.EndTime.Time); order != 0 {
		return order > 0
	}
	return a.CreationTimestamp.After(b.CreationTimestamp.Time)
}

// eachChunk lists objects, some at a time, into the same list.
func eachChunk[L client.ObjectList](ctx context.Context, c client.Client, list L, limit int64, each func(L), options ...client.ListOption) error {
	token := ""
	for {
		if err := c.List(ctx, list, append(options, client.Limit(limit), client.Continue(token))...); err != nil {
			return err
		}
		each(list)
		if token = list.GetContinue(); token == "" {
			return nil
		}
	}
}
