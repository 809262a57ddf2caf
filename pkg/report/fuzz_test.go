package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzBuild builds a report from any termination message: it never panics, and the API server accepts the report.
func FuzzBuild(f *testing.F) {
	all := lists{4, 2, 2, 6, 2}
	complete := message(f, requests, all, lists{9, 2, 2, 6, 2})
	f.Add(complete)
	f.Add(complete[:len(complete)-30])
	f.Add(complete[:200])
	f.Add(message(f, requests-1, all, all))
	f.Add(strings.Replace(summaryOf(requests), `report":2`, `report":1`, 1) + oldLists + "}")
	f.Add(strings.NewReplacer("50,", "1e-300,", "https://shop", `http://a\u0000:b@\u2028`, "2.47.0", "<<<<").Replace(complete))
	f.Add("Traceback")
	f.Fuzz(func(t *testing.T, message string) {
		for _, build := range []func() string{
			func() string {
				r := Build(finished(withMessage(message)))
				requireValid(t, r)
				requireCleanTexts(t, toObject(t, r))
				return toJSON(t, r)
			},
			func() string {
				r := Build(finished(withMessage(message), withWebAPI(webReport(all))))
				requireValid(t, r)
				return toJSON(t, r)
			},
		} {
			first := build()
			require.Equal(t, first, build())
		}
	})
}
