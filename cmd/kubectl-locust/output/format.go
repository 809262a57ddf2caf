package output

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
)

// Formats of a report.
const (
	// Table is text for people, with aligned columns.
	Table = "table"
	// JSON and YAML are the object as the API has it.
	JSON = "json"
	YAML = "yaml"
	// CSV has the columns of Locust's own CSV of endpoints.
	CSV = "csv"
	// Markdown is a page, for example for the summary of a workflow run.
	Markdown = "markdown"
	// JUnit is XML that GitLab, Jenkins and others show as the results of tests.
	JUnit = "junit"
)

// Formats returns the names of all formats.
func Formats() []string { return []string{Table, JSON, YAML, CSV, Markdown, JUnit} }

// Write writes a report in a format. It writes nothing if the report cannot be formatted.
func Write(w io.Writer, format string, report *v1alpha1.LocustReport) error {
	write, err := writer(format)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := write(&out, report); err != nil {
		return fmt.Errorf("format the report %s as %s: %w", report.Name, format, err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

// CheckFormat returns an error for an unknown format.
func CheckFormat(format string) error {
	_, err := writer(format)
	return err
}

func writer(format string) (func(*bytes.Buffer, *v1alpha1.LocustReport) error, error) {
	switch format {
	case Table:
		return writeTable, nil
	case JSON:
		return writeJSON, nil
	case YAML:
		return writeYAML, nil
	case CSV:
		return writeCSV, nil
	case Markdown:
		return writeMarkdown, nil
	case JUnit:
		return writeJUnit, nil
	}
	return nil, fmt.Errorf("unknown format %q: use one of %s", format, strings.Join(Formats(), ", "))
}
