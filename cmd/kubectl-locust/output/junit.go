package output

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// The elements of JUnit's XML, in the order of its schemas: that of Ant (JUnit.xsd) and that of Jenkins (junit-10.xsd).
type (
	junitSuites struct {
		XMLName xml.Name `xml:"testsuites"`
		junitTotals
		Suites []junitSuite `xml:"testsuite"`
	}
	junitTotals struct {
		Name     string `xml:"name,attr"`
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Skipped  int    `xml:"skipped,attr"`
		Time     string `xml:"time,attr"`
	}
	junitSuite struct {
		junitTotals
		Timestamp  string          `xml:"timestamp,attr"`
		Hostname   string          `xml:"hostname,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
		SystemOut  string          `xml:"system-out"`
		SystemErr  string          `xml:"system-err"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class     string        `xml:"classname,attr"`
		Name      string        `xml:"name,attr"`
		Time      string        `xml:"time,attr"`
		Skipped   *junitProblem `xml:"skipped"`
		Error     *junitProblem `xml:"error"`
		Failure   *junitProblem `xml:"failure"`
		SystemOut string        `xml:"system-out,omitempty"`
	}
	junitProblem struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",chardata"`
	}
)

// writeJUnit writes a suite with a case for the outcome, one for the delivery of the load, and one for each endpoint. A case fails only
// if the test failed: successCriteria and loadGuarantee of the test decide what fails it, not the format of its report.
func writeJUnit(out *bytes.Buffer, report *v1alpha1.LocustReport) error {
	suite := junitSuite{
		Timestamp: junitTimestamp(report),
		// The host name of the master.
		Hostname:   terminal.Safe(strings.ReplaceAll(report.Test.Name, ".", "-") + "-master." + report.Namespace),
		Properties: junitProperties(report),
		Cases:      append([]junitCase{outcomeCase(report), deliveryCase(report)}, endpointCases(report)...),
		SystemOut:  remarks(report),
		SystemErr:  exceptionText(report),
	}
	suite.Name, suite.Time = testName(report), seconds(took(report))
	suite.Tests = len(suite.Cases)
	for i := range suite.Cases {
		switch c := &suite.Cases[i]; {
		case c.Failure != nil:
			suite.Failures++
		case c.Error != nil:
			suite.Errors++
		case c.Skipped != nil:
			suite.Skipped++
		}
	}
	all := junitSuites{junitTotals: suite.junitTotals, Suites: []junitSuite{suite}}
	out.WriteString(xml.Header)
	encoder := xml.NewEncoder(out)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return err
	}
	out.WriteByte('\n')
	return encoder.Close()
}

// outcomeCase is an error instead of a failure if no load was started: then the test has found nothing out about its target.
func outcomeCase(r *v1alpha1.LocustReport) junitCase {
	c := newCase(r, "outcome", took(r))
	if r.Outcome.Phase != v2.PhaseFailed {
		c.SystemOut = terminal.SafeLines(r.Outcome.Message)
		return c
	}
	first, _ := cause(r)
	problem := &junitProblem{Message: first, Type: orUnknown(r.Outcome.Reason), Text: terminal.SafeLines(r.Outcome.Message)}
	if loadStarted(r) {
		c.Failure = problem
	} else {
		c.Error = problem
	}
	return c
}

// loadStarted reports whether Locust has started users, as the exit codes of run and watch do.
func loadStarted(r *v1alpha1.LocustReport) bool {
	return r.Run.LoadStartTime != nil || r.Summary != nil && r.Summary.TotalRequests > 0
}

// deliveryCase is skipped if nothing is known, if there was no load, and if the test tolerates that the load was not delivered.
func deliveryCase(r *v1alpha1.LocustReport) junitCase {
	c := newCase(r, "load delivered", 0)
	d := r.Outcome.LoadDelivered
	if d == nil {
		c.Skipped = &junitProblem{Message: "the operator did not report whether the load was delivered"}
		return c
	}
	text, message := terminal.SafeLines(d.Message), terminal.Safe(d.Reason+": "+d.Message)
	switch {
	case d.Status == metav1.ConditionTrue:
		c.SystemOut = text
	case !loadStarted(r):
		c.Skipped = &junitProblem{Message: message, Text: text} // the outcome is the error
	case d.Status == metav1.ConditionFalse && r.Outcome.Phase == v2.PhaseFailed:
		c.Failure = &junitProblem{Message: message, Type: orUnknown(d.Reason), Text: text}
	case d.Status == metav1.ConditionFalse:
		c.Skipped = &junitProblem{Message: "not delivered, which spec.loadGuarantee of the test permits: " + message, Text: text}
	default:
		c.Skipped = &junitProblem{Message: message, Text: text}
	}
	return c
}

// endpointCases returns one case for each endpoint, with its average response time as its time. Readers identify a case by its name,
// so that the second of equal names gets a number.
func endpointCases(r *v1alpha1.LocustReport) []junitCase {
	used := map[string]bool{"outcome": true, "load delivered": true}
	var cases []junitCase
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		name := orUnknown(endpointName(e.Method, e.Name))
		for n, first := 2, name; used[name]; n++ {
			name = fmt.Sprintf("%s (%d)", first, n)
		}
		used[name] = true
		average := 0.0
		if e.AverageResponseTime != nil {
			average = e.AverageResponseTime.Seconds()
		}
		c := newCase(r, name, average)
		c.SystemOut = endpointText(r, e)
		cases = append(cases, c)
	}
	return cases
}

// endpointText returns the figures of an endpoint and its errors.
func endpointText(r *v1alpha1.LocustReport, e *v1alpha1.Endpoint) string {
	lines := []string{
		fmt.Sprintf("%d requests, %d failed (%s), %s per second", e.TotalRequests, e.FailedRequests, percent(e.FailedRequests, e.TotalRequests),
			orUnknown(e.RequestsPerSecond)),
		"response times: " + responses(&e.Statistics),
	}
	for i := range r.Errors {
		if failure := &r.Errors[i]; failure.Method == e.Method && failure.Name == e.Name {
			lines = append(lines, fmt.Sprintf("%d times: %s", failure.Occurrences, terminal.Safe(failure.Error)))
		}
	}
	return strings.Join(lines, "\n")
}

// remarks returns what is worth knowing about the figures.
func remarks(r *v1alpha1.LocustReport) string {
	var lines []string
	if r.Summary != nil {
		lines = append(lines, "result: "+precision(r.Summary))
	}
	for i := range r.Truncated {
		kept, why := missing(&r.Truncated[i])
		lines = append(lines, fmt.Sprintf("incomplete: %s, %s: %s", terminal.Safe(r.Truncated[i].Field), kept, why))
	}
	return strings.Join(lines, "\n")
}

// exceptionText returns the exceptions of the locustfile.
func exceptionText(r *v1alpha1.LocustReport) string {
	var lines []string
	for _, e := range r.Exceptions {
		lines = append(lines, fmt.Sprintf("%d times: %s", e.Occurrences, terminal.Safe(e.Message)))
	}
	return strings.Join(lines, "\n")
}

// junitProperties returns what ran and the figures of the summary.
func junitProperties(r *v1alpha1.LocustReport) []junitProperty {
	var properties []junitProperty
	add := func(name, value string) {
		if value = terminal.Safe(value); value != "" {
			properties = append(properties, junitProperty{Name: name, Value: value})
		}
	}
	add("namespace", r.Namespace)
	add("test", r.Test.Name)
	add("uid", r.Test.UID)
	add("report", r.Name)
	add("phase", r.Outcome.Phase)
	add("reason", r.Outcome.Reason)
	if d := r.Outcome.LoadDelivered; d != nil {
		add("loadDelivered", string(d.Status)+" "+d.Reason)
	}
	add("locustVersion", r.Run.LocustVersion)
	add("image", r.Run.Image)
	add("host", r.Run.Host)
	if r.Run.Users != nil {
		add("users", strconv.Itoa(int(*r.Run.Users)))
	}
	add("expectedWorkers", strconv.Itoa(int(r.Run.ExpectedWorkers)))
	add("connectedWorkers", strconv.Itoa(int(r.Run.ConnectedWorkers)))
	if s := r.Summary; s != nil {
		add("final", strconv.FormatBool(s.Final))
		add("totalRequests", strconv.FormatInt(s.TotalRequests, 10))
		add("failedRequests", strconv.FormatInt(s.FailedRequests, 10))
		add("failureRatio", s.FailureRatio)
		add("requestsPerSecond", s.RequestsPerSecond)
		for _, t := range responseTimes(&s.Statistics) {
			if t.value != nil {
				add(t.property, t.value.Duration.String())
			}
		}
	}
	return properties
}

func newCase(r *v1alpha1.LocustReport, name string, took float64) junitCase {
	return junitCase{Class: terminal.Safe(cmp.Or(r.Namespace, "default") + "." + r.Test.Name), Name: name, Time: seconds(took)}
}

// junitTimestamp returns the start of the run, or its end if it did not start, without a zone, as the schemas require.
func junitTimestamp(r *v1alpha1.LocustReport) string {
	at := r.Run.EndTime
	if r.Run.StartTime != nil {
		at = *r.Run.StartTime
	}
	return at.UTC().Format(time.DateOnly + "T" + time.TimeOnly)
}

// seconds returns a time with the precision that the schemas permit.
func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }
