package locustcli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestOptions_Value(t *testing.T) {
	for name, row := range map[string]struct {
		args string
		vars []Variable
		want string
	}{
		"not given":                        {args: "-u 1"},
		"long":                             {args: "--locustfile a.py", want: "a.py"},
		"long with equals sign":            {args: "--locustfile=a=b.py", want: "a=b.py"},
		"short":                            {args: "-f a.py", want: "a.py"},
		"short, attached":                  {args: "-fa.py", want: "a.py"},
		"short, attached, with equals":     {args: "-fa=b.py", want: "a=b.py"},
		"short with equals sign":           {args: "-f=a.py", want: "a.py"},
		"abbreviated":                      {args: "--locustf a.py", want: "a.py"},
		"abbreviated with equals sign":     {args: "--loc=a.py", want: "a.py"},
		"abbreviation of several":          {args: "--lo a.py"},
		"longer than the name":             {args: "--locustfiles a.py"},
		"capital letters":                  {args: "-F a.py --LOCUSTFILE b.py"},
		"the last one counts":              {args: "-f a.py --locustfile=b.py -fc.py -u 1", want: "c.py"},
		"empty":                            {args: "-f a.py --locustfile="},
		"no value":                         {args: "-u 1 -f"},
		"an option instead of a value":     {args: "-f --master"},
		"value of another":                 {args: "--host -f -f a.py", want: "a.py"},
		"a dash":                           {args: "-f -", want: "-"},
		"only user classes follow":         {args: "-f a.py -- -f b.py", want: "a.py"},
		"argument over variable":           {args: "-f a.py", vars: []Variable{{Name: "LOCUST_LOCUSTFILE", Value: "b.py"}}, want: "a.py"},
		"variable":                         {vars: []Variable{{Name: "LOCUST_LOCUSTFILE", Value: "b.py"}}, want: "b.py"},
		"variable in the variable":         {vars: []Variable{{Name: "DIR", Value: "/a"}, {Name: "LOCUST_LOCUSTFILE", Value: "$(DIR)/b.py"}}, want: "/a/b.py"},
		"variable in the argument":         {args: "-f $(DIR)/a.py", vars: []Variable{{Name: "DIR", Value: "/a"}}, want: "/a/a.py"},
		"unknown variable in the argument": {args: "-f $(DIR)/a.py", want: "$(DIR)/a.py"},
		"option in a variable":             {args: "$(OPTION)", vars: []Variable{{Name: "OPTION", Value: "-fa.py"}}, want: "a.py"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := Parse(strings.Fields(row.args), row.vars)
			assert.Equal(t, row.want, opts.Value(OptLocustfile))
		})
	}
}

func TestOptions_IsHeadless(t *testing.T) {
	for name, row := range map[string]struct {
		args, variable string
		want           bool
	}{
		"not given":               {args: "-f a.py"},
		"argument":                {args: "--headless", want: true},
		"abbreviated":             {args: "--headl", want: true},
		"abbreviation of several": {args: "--head"},
		"variable":                {variable: "Yes", want: true},
		"false variable":          {variable: "false"},
		"reverted":                {args: "--headless --headful"},
		"does not take a value":   {args: "--headless --headful=x"},
	} {
		t.Run(name, func(t *testing.T) {
			variables := []Variable{{Name: "LOCUST_HEADLESS", Value: row.variable}}
			assert.Equal(t, row.want, Parse(strings.Fields(row.args), variables).IsHeadless())
		})
	}
}

// FuzzParse: escaped arguments reach Locust unchanged, and an option's value is at the position that the argument holds.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"-f\na.py", "--locustfile=$(A).py", "-f=a\n--", "--loc\n-", "-P80\n--web-port\n-1", "$$(A)", "--=\n-\n--web"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		opts := Parse(strings.Split(strings.ReplaceAll(text, "$", "$$"), "\n"), nil)
		assert.Equal(t, strings.Split(text, "\n"), opts.words)
		for _, arg := range opts.arguments {
			if arg.Prefix+arg.Value != "" {
				assert.Equal(t, opts.words[arg.Word], arg.Prefix+arg.Value)
			}
		}
	})
}
