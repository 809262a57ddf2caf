package output

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// maxTableWorkers bounds the workers in the table, which has the busiest ones.
const maxTableWorkers = 10

func writeTable(out *bytes.Buffer, report *v1alpha1.LocustReport) error {
	if err := WriteColumns(out, overview(report)); err != nil {
		return err
	}
	if _, details := cause(report); details != "" {
		fmt.Fprintf(out, "\nDETAILS\n  %s\n", strings.ReplaceAll(details, "\n", "\n  "))
	}
	for _, section := range [][][]string{
		endpointRows(report), errorRows(report), exceptionRows(report), workerRows(report), truncatedRows(report),
	} {
		if len(section) < 2 { // only the header
			continue
		}
		out.WriteByte('\n')
		if err := WriteColumns(out, section); err != nil {
			return err
		}
	}
	return nil
}

// WriteColumns writes rows with aligned columns.
func WriteColumns(out io.Writer, rows [][]string) error {
	columns := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	return columns.Flush()
}

// overview returns all but the lists, as names and values.
func overview(r *v1alpha1.LocustReport) [][]string {
	outcome := terminal.Safe(r.Outcome.Phase)
	if first, _ := cause(r); first != "" {
		outcome += ": " + first
	}
	rows := [][]string{
		{"Test", testName(r)}, {"Report", orUnknown(r.Name)}, {"Outcome", outcome}, {"Load", delivery(r)}, {"Run", period(r)},
		{"Target", host(r)}, {"Size", size(r)}, {"Software", software(r)}, {"Requests", counts(r.Summary)},
	}
	if r.Summary != nil {
		rows = append(rows, []string{"Responses", responses(&r.Summary.Statistics)}, []string{"Result", precision(r.Summary)})
	}
	return rows
}

func endpointRows(r *v1alpha1.LocustReport) [][]string {
	rows := [][]string{{"ENDPOINT", "REQUESTS", "FAILED", "PER SECOND", "AVERAGE", "MIN", "P50", "P90", "P95", "P99", "P99.9", "MAX"}}
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		rows = append(rows, append([]string{orUnknown(endpointName(e.Method, e.Name))}, figures(&e.Statistics)...))
	}
	return rows
}

// figures returns the columns of an endpoint after its name.
func figures(s *v1alpha1.Statistics) []string {
	row := []string{strconv.FormatInt(s.TotalRequests, 10), strconv.FormatInt(s.FailedRequests, 10), orUnknown(s.RequestsPerSecond)}
	for _, t := range responseTimes(s) {
		row = append(row, short(t.value))
	}
	return row
}

func errorRows(r *v1alpha1.LocustReport) [][]string {
	rows := [][]string{{"FAILURES", "ENDPOINT", "ERROR"}}
	for _, e := range r.Errors {
		rows = append(rows, []string{strconv.FormatInt(e.Occurrences, 10), orUnknown(endpointName(e.Method, e.Name)), orUnknown(e.Error)})
	}
	return rows
}

func exceptionRows(r *v1alpha1.LocustReport) [][]string {
	rows := [][]string{{"TIMES", "EXCEPTION IN THE LOCUSTFILE"}}
	for _, e := range r.Exceptions {
		rows = append(rows, []string{strconv.FormatInt(e.Occurrences, 10), orUnknown(e.Message)})
	}
	return rows
}

func workerRows(r *v1alpha1.LocustReport) [][]string {
	rows := [][]string{{"WORKER", "PEAK PROCESSOR", "PEAK MEMORY"}}
	for _, w := range r.Workers[:min(len(r.Workers), maxTableWorkers)] {
		rows = append(rows, []string{orUnknown(w.Name), fmt.Sprintf("%d %%", w.PeakProcessorPercent), memory(w.PeakMemoryBytes)})
	}
	if more := len(r.Workers) - maxTableWorkers; more > 0 {
		rows = append(rows, []string{fmt.Sprintf("and %d more", more)})
	}
	return rows
}

func truncatedRows(r *v1alpha1.LocustReport) [][]string {
	rows := [][]string{{"INCOMPLETE", "KEPT", "REASON"}}
	for i := range r.Truncated {
		kept, why := missing(&r.Truncated[i])
		rows = append(rows, []string{orUnknown(r.Truncated[i].Field), kept, why})
	}
	return rows
}
