package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/output"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// Formats of `list`; json and yaml are those of reports.
const (
	listTable = "table"
	listWide  = "wide"
	listName  = "name"
)

// listFormats returns the names of the formats.
func listFormats() []string { return []string{listTable, listWide, listName, output.JSON, output.YAML} }

// listOptions are the flags of `list`, and what they select.
type listOptions struct {
	all      bool
	format   string
	selector string
	// namespace is empty for all.
	namespace string
	// test is the name of a test; empty for all.
	test string
}

func (a *app) listCommand() *cobra.Command {
	options := listOptions{}
	command := &cobra.Command{
		Use:     "list [NAME]",
		Aliases: []string{"ls", "history"},
		Short:   "List tests, and reports of tests that have been deleted",
		Long: `List tests and, of tests that have been deleted, the reports that were kept (spec.report.retain), the newest first. With NAME, only the runs
of the test NAME.

AGE is the time since the start of a run, and DURATION how long it took, or has been running.`,
		Example: `  kubectl locust list
  kubectl locust list shop -o wide
  kubectl locust list -A -o json`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeTests,
		RunE: func(command *cobra.Command, args []string) error {
			if !slices.Contains(listFormats(), options.format) {
				return fmt.Errorf("unknown format %q: use one of %s", options.format, strings.Join(listFormats(), ", "))
			}
			if len(args) > 0 {
				options.test = args[0]
			}
			r, err := a.reader()
			if err != nil {
				return err
			}
			if !options.all {
				if options.namespace, err = a.namespace(); err != nil {
					return err
				}
			}
			return a.list(command.Context(), r, options)
		},
	}
	command.Flags().BoolVarP(&options.all, "all-namespaces", "A", false, "list those of all namespaces")
	command.Flags().StringVarP(&options.format, "output", "o", listTable, "format: table, wide, name, json or yaml")
	command.Flags().StringVarP(&options.selector, "selector", "l", "", "label selector of the tests and the reports, for example team=shop")
	// It fails only for a flag that does not exist, which a test would notice.
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(listFormats(), cobra.ShellCompDirectiveNoFileComp))
	return command
}

// list prints the runs.
func (a *app) list(ctx context.Context, r *reader, options listOptions) error {
	selector, err := labels.Parse(options.selector)
	if err != nil {
		return fmt.Errorf("the label selector is invalid: %w", err)
	}
	l := &listing{options: options, selector: selector, tests: map[string]bool{}}
	if err := l.addTests(ctx, r); err != nil {
		return err
	}
	switch err := l.addReports(ctx, r); {
	case errors.Is(err, errNoReports):
		a.note("this cluster does not serve LocustReports: only tests are listed. Its operator is older than reports; see docs/upgrade.md")
	case apierrors.IsForbidden(err):
		a.note("only tests are listed: " + strings.ReplaceAll(err.Error(), "\n", ". "))
	case err != nil:
		return err
	}
	slices.SortStableFunc(l.runs, func(a, b *run) int {
		return cmp.Or(b.started.Compare(a.started), cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.test, b.test))
	})
	if len(l.runs) == 0 && options.format != output.JSON && options.format != output.YAML {
		a.note(l.nothing())
		return nil
	}
	return a.writeList(l)
}

// listing is what is listed.
type listing struct {
	options  listOptions
	selector labels.Selector
	runs     []*run
	// tests has the UIDs of the tests: their reports are in their lines.
	tests map[string]bool
}

func (l *listing) addTests(ctx context.Context, r *reader) error {
	options := []client.ListOption{client.InNamespace(l.options.namespace), client.MatchingLabelsSelector{Selector: l.selector}}
	if l.options.test != "" {
		options = append(options, client.MatchingFields{"metadata.name": l.options.test})
	}
	err := eachChunk(ctx, r, &v2.LocustTestList{}, testsPerRequest, func(list *v2.LocustTestList) {
		for i := range list.Items {
			l.tests[string(list.Items[i].UID)] = true
			l.runs = append(l.runs, l.kept(testRun(&list.Items[i]), &list.Items[i]))
		}
	}, options...)
	if err = explain("list the tests of "+l.scope(), viewerRole, err); apierrors.IsForbidden(err) && l.options.namespace == "" {
		return fmt.Errorf("%w\nOr list those of one namespace: -n NAMESPACE instead of -A", err)
	}
	return err
}

// addReports adds the reports of tests that do not exist any more, or have been created again since.
func (l *listing) addReports(ctx context.Context, r *reader) error {
	selector := l.selector
	// A name that is too long for a label is not in it.
	if name := l.options.test; name != "" && len(validation.IsValidLabelValue(name)) == 0 {
		isOf, err := labels.NewRequirement(resources.LabelTestName, selection.Equals, []string{name})
		if err != nil {
			return err
		}
		selector = selector.Add(*isOf)
	}
	err := eachChunk(ctx, r, &v1alpha1.LocustReportList{}, reportsPerRequest, func(list *v1alpha1.LocustReportList) {
		for i := range list.Items {
			report := &list.Items[i]
			if l.tests[report.Test.UID] || l.options.test != "" && report.Test.Name != l.options.test {
				continue
			}
			l.runs = append(l.runs, l.kept(reportRun(report), report))
		}
	}, client.InNamespace(l.options.namespace), client.MatchingLabelsSelector{Selector: selector})
	return r.explainReports(ctx, "list the reports of "+l.scope(), err)
}

// kept adds the object itself to a run if the format needs it.
func (l *listing) kept(r *run, object client.Object) *run {
	if l.options.format == output.JSON || l.options.format == output.YAML {
		r.object = object.DeepCopyObject().(client.Object)
	}
	return r
}

func (l *listing) scope() string {
	if l.options.namespace == "" {
		return "all namespaces"
	}
	return "namespace " + l.options.namespace
}

// nothing describes an empty list.
func (l *listing) nothing() string {
	what := "no tests and no reports in " + l.scope()
	if l.options.test != "" {
		what = fmt.Sprintf("no test and no report of a test %s in %s", l.options.test, l.scope())
	}
	if l.options.selector != "" {
		what += " with the labels " + l.options.selector
	}
	if l.options.namespace != "" {
		what += "; -A lists all namespaces"
	}
	return what
}

// writeList writes the runs in the format of the options.
func (a *app) writeList(l *listing) error {
	marshal := output.MarshalYAML
	switch l.options.format {
	case listName:
		for _, r := range l.runs {
			fmt.Fprintln(a.Out, terminal.Safe(r.kind+".locust.io/"+r.name))
		}
		return nil
	case output.JSON:
		marshal = output.MarshalJSON
	case output.YAML:
	default:
		return output.WriteColumns(a.Out, l.rows(a.now()))
	}
	items := make([]client.Object, len(l.runs))
	for i, r := range l.runs {
		items[i] = r.object
		items[i].SetManagedFields(nil)
		items[i].GetObjectKind().SetGroupVersionKind(r.groupVersionKind())
	}
	data, err := marshal(map[string]any{"apiVersion": "v1", "kind": "List", "items": items})
	if err != nil {
		return err
	}
	_, err = a.Out.Write(data)
	return err
}
