// Command gendocs prints docs/status.md from the table of conditions in pkg/status.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/template"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

//go:embed status.md.tmpl
var page string

func main() {
	functions := template.FuncMap{
		"permanent": func(row status.Row) bool { return slices.Contains(status.PermanentTypes, row.Type) },
		"cell":      func(text string) string { return strings.ReplaceAll(text, "|", `\|`) },
	}
	parsed := template.Must(template.New("status.md").Funcs(functions).Parse(page))
	if err := parsed.Execute(os.Stdout, status.Table); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}
