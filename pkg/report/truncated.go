package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// checkComplete records that a list lacks elements.
func (b *builder) checkComplete(field string, kept int, total int32, limit int) {
	switch {
	case kept >= int(total):
	case kept == limit:
		b.truncated(field, kept, int(total), atMost(limit))
	default:
		b.truncated(field, kept, int(total), b.because(report.ProblemNoRoom))
	}
}

// because returns why the reporter's message lacks something; otherwise if nothing is known to be wrong with it.
func (b *builder) because(otherwise string) string {
	switch {
	case b.problem != "":
		return b.problem
	case b.details() != nil && b.details().Problem != "":
		return b.details().Problem
	}
	return otherwise
}

// oldReporterLimit is how many endpoints and errors a final report of version 1 has at most.
const oldReporterLimit = 5

// checkOldReporter records that a list may lack elements if its only source is a final report of version 1, which has no counts.
func (b *builder) checkOldReporter(field string, kept int) {
	if len(b.sources) == 1 && b.sources[0] == b.finalSource() && b.sources[0].Details == nil && kept >= oldReporterLimit {
		b.truncated(field, kept, 0, fmt.Sprintf("the reporter of an earlier release lists at most %d", oldReporterLimit))
	}
}

func atMost(limit int) string { return fmt.Sprintf("a report has at most %d", limit) }

// truncated records that a field lacks elements; a total of zero is unknown.
func (b *builder) truncated(field string, kept, total int, why string) {
	entry := v1alpha1.Truncation{Field: field, Kept: int32(kept), Message: status.Clip(why, maxWhy)}
	if total > 0 {
		entry.Total = new(int32(total))
	}
	// One entry for each field, with the first total: later ones count what is left.
	if i := slices.IndexFunc(b.out.Truncated, func(t v1alpha1.Truncation) bool { return t.Field == field }); i >= 0 {
		entry.Total = b.out.Truncated[i].Total
		b.out.Truncated[i] = entry
		return
	}
	b.out.Truncated = append(b.out.Truncated, entry)
}

// maxWhy bounds the message of a truncation in bytes.
const maxWhy = 256

// limitSize shortens the largest lists until the report is small enough: texts of unusual characters are longer as JSON.
func (b *builder) limitSize() {
	lists := []shrinkable{
		newShrinkable(v1alpha1.FieldEndpoints, &b.out.Endpoints),
		newShrinkable(v1alpha1.FieldErrors, &b.out.Errors),
		newShrinkable(v1alpha1.FieldExceptions, &b.out.Exceptions),
		newShrinkable(v1alpha1.FieldWorkers, &b.out.Workers),
		newShrinkable(v1alpha1.FieldArguments, &b.out.Run.Arguments),
	}
	for jsonSize(b.out) > v1alpha1.MaxReportBytes {
		largest := slices.MaxFunc(lists, func(a, b shrinkable) int { return cmp.Compare(a.size(), b.size()) })
		before, kept := largest.shrink()
		if before == kept {
			return
		}
		b.truncated(largest.field, kept, before, fmt.Sprintf("a report has at most %d KiB", v1alpha1.MaxReportBytes>>10))
	}
}

// shrinkable is a list of a report whose last elements are the least important.
type shrinkable struct {
	field string
	// size is that of the list as JSON, in bytes.
	size func() int
	// shrink removes the last quarter of the list, and returns its length before and after.
	shrink func() (before, kept int)
}

func newShrinkable[T any](field string, list *[]T) shrinkable {
	return shrinkable{
		field: field,
		size:  func() int { return jsonSize(*list) },
		shrink: func() (before, kept int) {
			before = len(*list)
			kept = before * 3 / 4
			*list = (*list)[:kept]
			return before, kept
		},
	}
}

// jsonSize returns the size of a part of a report as JSON, in bytes.
func jsonSize(part any) int {
	data, err := json.Marshal(part)
	if err != nil {
		return 0
	}
	return len(data)
}
