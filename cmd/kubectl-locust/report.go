package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/output"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// reportOptions are the flags of `report`.
type reportOptions struct {
	format   string
	file     string
	wait     bool
	timeout  time.Duration
	exitCode bool
	// every is the time between two reads while waiting, and patience how long a report may follow the end of its test.
	every, patience time.Duration
}

func (a *app) reportCommand() *cobra.Command {
	options := reportOptions{every: pollInterval, patience: 5 * time.Second}
	command := &cobra.Command{
		Use:   "report NAME",
		Short: "Print the result of a finished test",
		Long: `Print the result of a finished test: that of the test NAME; or, if it has been deleted, of its newest report that was kept
(spec.report.retain); or the report NAME.

The formats are for people (table), other programs (json, yaml: the LocustReport itself), spreadsheets and programs that read Locust's own CSV
(csv), pages such as the summary of a workflow run (markdown), and pipelines that show test results (junit).

Exit codes: 0 the report was printed, whether the test passed or failed; 1 with --exit-code, the test failed; 2 there is no report; 130 interrupted.`,
		Example: `  kubectl locust report shop
  kubectl locust report shop -o junit --output-file report.xml
  kubectl locust report shop -o markdown >>"$GITHUB_STEP_SUMMARY"
  kubectl locust report shop --wait -o json | jq .summary`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeReports,
		RunE: func(command *cobra.Command, args []string) error {
			if err := output.CheckFormat(options.format); err != nil {
				return err
			}
			r, err := a.reader()
			if err != nil {
				return err
			}
			namespace, err := a.namespace()
			if err != nil {
				return err
			}
			return a.printReport(command.Context(), r, client.ObjectKey{Namespace: namespace, Name: args[0]}, options)
		},
	}
	command.Flags().StringVarP(&options.format, "output", "o", output.Table, "format: table, json, yaml, csv, markdown or junit")
	command.Flags().StringVar(&options.file, "output-file", "", "file to write to, instead of the standard output")
	command.Flags().BoolVar(&options.wait, "wait", false, "wait until the test has ended")
	command.Flags().DurationVar(&options.timeout, "timeout", 0, "how long to wait at most; 0 is without limit")
	command.Flags().BoolVar(&options.exitCode, "exit-code", false, "exit with code 1 if the test failed")
	// It fails only for a flag that does not exist, which a test would notice.
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(output.Formats(), cobra.ShellCompDirectiveNoFileComp))
	return command
}

// printReport prints the report of a test, or writes it to the file of the options.
func (a *app) printReport(ctx context.Context, r *reader, key client.ObjectKey, options reportOptions) error {
	found, err := a.findReport(ctx, r, key, options)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := output.Write(&text, options.format, found); err != nil {
		return err
	}
	if options.file == "" {
		_, err = text.WriteTo(a.Out)
	} else {
		err = os.WriteFile(options.file, text.Bytes(), 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if options.exitCode && found.Outcome.Phase == v2.PhaseFailed {
		return errTestFailed
	}
	return nil
}

// findReport returns the report of the test with a name, or the report with this name.
func (a *app) findReport(ctx context.Context, r *reader, key client.ObjectKey, options reportOptions) (*v1alpha1.LocustReport, error) {
	test, err := getTest(ctx, r, key)
	if apierrors.IsNotFound(err) {
		return a.keptReport(ctx, r, key)
	}
	if err != nil {
		return nil, err
	}
	if test, err = a.finished(ctx, r, test, options); err != nil {
		return nil, err
	}
	return a.reportOf(ctx, r, test, options)
}

// finished returns a test when it has ended, for which it waits with --wait.
func (a *app) finished(ctx context.Context, r *reader, test *v2.LocustTest, options reportOptions) (*v2.LocustTest, error) {
	key := client.ObjectKeyFromObject(test)
	switch {
	case test.Status.IsTerminal():
		return test, nil
	case !options.wait:
		return nil, fmt.Errorf("the test %s has not ended: its phase is %s\nAdd --wait to wait for its report; follow it with: %s; earlier runs: %s",
			key, cmp.Or(test.Status.Phase, "not known yet"), a.suggest("watch", test), a.suggest("list", test))
	}
	if options.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, options.timeout)
		defer cancel()
	}
	ended, err := pollTest(ctx, r, key, test.UID, options.every, func(t *v2.LocustTest) bool { return t.Status.IsTerminal() })
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, fmt.Errorf("the test %s has not ended within %s; it continues\nFollow it with: %s", key, options.timeout, a.suggest("watch", test))
	case errors.As(err, &deletedError{}):
		return nil, fmt.Errorf("%w before it ended\nReports that were kept: %s", err, a.suggest("list", test))
	}
	return ended, err
}

// reportOf returns the report of a test that has ended. Without the kind LocustReport it makes one from the status of the test.
func (a *app) reportOf(ctx context.Context, r *reader, test *v2.LocustTest, options reportOptions) (*v1alpha1.LocustReport, error) {
	key := client.ObjectKeyFromObject(test)
	if test.Status.Report == "" {
		served, err := r.served(ctx)
		if err != nil {
			return nil, explain("discover whether the cluster serves LocustReports", viewerRole, err)
		}
		if served {
			return nil, fmt.Errorf("the test %s has no report: it ended under an operator that was older than reports, and has been upgraded since\n"+
				"Its result: kubectl get locusttest%s %s -o yaml; run it again for a report: %s",
				key, a.connectionFlags(key.Namespace), key.Name, a.suggest("rerun", test))
		}
		a.note("the operator in this cluster is older than LocustReports: this is what the status of the test has, at most five endpoints and errors. " +
			"Upgrade it for whole reports, see docs/upgrade.md")
		return statusReport(test), nil
	}
	found, err := r.awaitReport(ctx, client.ObjectKey{Namespace: key.Namespace, Name: test.Status.Report}, options)
	switch {
	case errors.Is(err, errNoReports):
		a.note(fmt.Sprintf("this cluster does not serve LocustReports any more, although the test had the report %s: this is what the status of "+
			"the test has. Install the CRD locustreports.locust.io, see docs/install.md", test.Status.Report))
		return statusReport(test), nil
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("the report %s of the test %s does not exist: it was deleted, or the operator could not create it yet\n"+
			"If it is refused, an Event ReportNotCreated has the cause: kubectl describe locusttest%s %s; see docs/reports.md",
			test.Status.Report, key, a.connectionFlags(key.Namespace), key.Name)
	}
	return found, err
}

// awaitReport returns a report. The operator creates it right after the last status, so that it may not exist for a moment.
func (r *reader) awaitReport(ctx context.Context, key client.ObjectKey, options reportOptions) (*v1alpha1.LocustReport, error) {
	patience := time.After(options.patience)
	for {
		found, err := r.getReport(ctx, key)
		if !apierrors.IsNotFound(err) {
			return found, err
		}
		select {
		case <-time.After(options.every / 5):
		case <-patience:
			return nil, err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// keptReport returns the newest report of a test that does not exist any more, or else the report with this name.
func (a *app) keptReport(ctx context.Context, r *reader, key client.ObjectKey) (*v1alpha1.LocustReport, error) {
	newest, count, err := r.newestReport(ctx, key)
	if err == nil && newest != nil {
		a.note(fmt.Sprintf("the test %s has been deleted; this is the newest of its reports (%d)", key, count))
		return newest, nil
	}
	if err == nil {
		var found *v1alpha1.LocustReport
		if found, err = r.getReport(ctx, key); err == nil {
			return found, nil
		}
	}
	switch {
	case errors.Is(err, errNoReports):
		return nil, fmt.Errorf("the test %s does not exist, and %w, which outlive their tests: the operator is older than them\n"+
			"The tests: kubectl locust list%s", key, err, a.connectionFlags(key.Namespace))
	case apierrors.IsNotFound(err):
		return nil, fmt.Errorf("there is neither a test nor a report with the name %s\n"+
			"Both: kubectl locust list%s; reports are kept with spec.report.retain", key, a.connectionFlags(key.Namespace))
	}
	return nil, err
}

// statusReport makes a report from the status of a test.
func statusReport(test *v2.LocustTest) *v1alpha1.LocustReport {
	made := report.Build(&status.Observation{Test: test})
	made.Name, made.Labels, made.OwnerReferences = "", nil, nil // there is no such object
	return made
}
