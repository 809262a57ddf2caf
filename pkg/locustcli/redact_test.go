package locustcli

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestRedact(t *testing.T) {
	for name, row := range map[string]struct {
		args, want []string
	}{
		"option":                     {[]string{"--api-token", "x9", "--users", "10"}, []string{"--api-token", "***", "--users", "10"}},
		"option with =":              {[]string{"--api-token=x9=", "-u", "1"}, []string{"--api-token=***", "-u", "1"}},
		"option with an empty value": {[]string{"--password=", "x9"}, []string{"--password=", "***"}},
		"password":                   {[]string{"--password", "x9"}, []string{"--password", "***"}},
		"value with white space":     {[]string{"--password", "x 9"}, []string{"--password", "***"}},
		"flag before an option":      {[]string{"--require-auth", "--users", "1"}, []string{"--require-auth", "--users", "1"}},
		"last argument":              {[]string{"--password"}, []string{"--password"}},
		"upper case":                 {[]string{"--API_KEY", "x9"}, []string{"--API_KEY", "***"}},
		"basic credentials":          {[]string{"--basic-auth", "me:x9"}, []string{"--basic-auth", "***"}},
		"private key":                {[]string{"--tls-private-key=x9"}, []string{"--tls-private-key=***"}},
		"header":                     {[]string{"-H", "Authorization: Bearer x9"}, []string{"-H", "Authorization: ***"}},
		"header with =":              {[]string{"--header=authorization: Basic x9="}, []string{"--header=***"}},
		"header without a space":     {[]string{"-H", "Proxy-Authorization:x9"}, []string{"-H", "Proxy-Authorization: ***"}},
		"header of a vendor":         {[]string{"-H", "X-Api-Key: x9", "-H", "X-Auth-Token: x9"}, []string{"-H", "X-Api-Key: ***", "-H", "X-Auth-Token: ***"}},
		"cookies":                    {[]string{"-H", "Cookie: a=x9; b=x9"}, []string{"-H", "Cookie: ***"}},
		"set-cookie":                 {[]string{"-HSet-Cookie: a=x9"}, []string{"-HSet-Cookie: ***"}},
		"token without its header":   {[]string{"--auth-scheme", "bearer x9", "--with", "Bearer x9"}, []string{"--auth-scheme", "***", "--with", "***"}},
		"URL with a user":            {[]string{"--host", "https://me:x9@shop:8080/a"}, []string{"--host", "https://***@shop:8080/a"}},
		"URL with a user, with =":    {[]string{"--host=https://me:x9@shop"}, []string{"--host=https://***@shop"}},
		"URL with @ in its password": {[]string{"--host", "https://me:x9@x9@shop"}, []string{"--host", "https://***@shop"}},
		"URL with a parameter":       {[]string{"--host", "https://shop/?token=x9&a=1"}, []string{"--host", "https://shop/?token=***&a=1"}},
		"URL with another parameter": {[]string{"--host=https://shop/?a=1&access_token=x9"}, []string{"--host=https://shop/?a=1&access_token=***"}},
		"variables in one argument":  {[]string{"--env", "USER=me,PASSWORD=x9"}, []string{"--env", "***"}},
		"any option of a locustfile": {[]string{"--secret-key", "x9", "--jwt=x9", "--user", "me:x9", "--note", "x9", "x9"}, []string{"--secret-key", "***", "--jwt=***", "--user", "***", "--note", "***", "***"}},
		"JSON":                       {[]string{"--settings", `{"password":"x9"}`}, []string{"--settings", "***"}},
		"abbreviation":               {[]string{"--pass", "x9", "-Xx9", "-X", "x9"}, []string{"--pass", "***", "-X***", "-X", "***"}},
		"login of the web UI":        {[]string{"--web-auth", "me:x9"}, []string{"--web-auth", "***"}},
		"signed URL":                 {[]string{"--host", "https://shop/?sig=x9&jwt=x9"}, []string{"--host", "https://shop/?sig=***&jwt=***"}},
		"a word with =":              {[]string{"DB_PASSWORD=x9"}, []string{"DB_PASSWORD=***"}},
	} {
		t.Run(name, func(t *testing.T) {
			before := slices.Clone(row.args)
			got := Redact(row.args)
			assert.Equal(t, row.want, got)
			assert.NotContains(t, strings.Join(got, " "), "x9")
			assert.Equal(t, before, row.args, "the arguments are not modified")
			assert.Equal(t, got, Redact(got), "a second time changes nothing")
		})
	}
}

// TestRedact_Ordinary: what is no secret stays readable.
func TestRedact_Ordinary(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--host", "http://shop:8080/a?b=c"},
		{"--host=http://shop:8080/a?b=c&d=e#f"},
		{"--host", "http://shop/@me", "--host", "http://shop/?mail=me@example.com"},
		{"--users", "10", "--spawn-rate", "2.5", "--run-time", "1h30m"},
		{"-u", "10", "-r", "1", "-t", "10m", "-f", "a.py"},
		{"--tags", "api"}, {"--tags", "api", "auth", "login"}, {"-T", "token-refresh"},
		{"--web-login", "ShopUser"},
		{"--locustfile", "/lotest/src/basic_auth.py", "--locustfile=/lotest/src/token/a.py"},
		{"--tls-key", "/etc/tls/tls.key", "--tls-cert", "/etc/tls/tls.crt"},
		{"$(VAR)", "--host", "$(TARGET)", "--host=$(TARGET)"},
		{"--csv", "out/basic", "--csv=out"},
		{"--exclude-tags", "session", "--class-picker", "AuthenticatedUser"},
		{"--", "-1", "", "a b", "größe"},
	} {
		assert.Equal(t, args, Redact(args))
	}
	assert.Equal(t, []string{"--api-token", "$(TOKEN)", "--password=$(PASSWORD)"}, Redact([]string{"--api-token", "$(TOKEN)", "--password=$(PASSWORD)"}),
		"a reference to a variable is no secret")
}

func TestRedactURL(t *testing.T) {
	for url, want := range map[string]string{
		"":                                "",
		"http://shop:8080/a?b=c":          "http://shop:8080/a?b=c",
		"https://me:x9@shop/a":            "https://shop/a",
		"https://me@shop":                 "https://shop",
		"https://shop/?token=x9&a=1":      "https://shop/?token=***&a=1",
		"https://shop/?a=1#session=x9":    "https://shop/?a=1#session=***",
		"https://shop/?mail=me@x.example": "https://shop/?mail=me@x.example",
		"$(TARGET)":                       "$(TARGET)",
	} {
		assert.Equal(t, want, RedactURL(url))
	}
}

func FuzzRedact(f *testing.F) {
	f.Add("--api-token", "x")
	f.Add("-H", "Authorization: Bearer a\nb")
	f.Add("https://a@b", "?token=1")
	f.Fuzz(func(t *testing.T, a, b string) {
		args := []string{a, b}
		got := Redact(args)
		assert.Len(t, got, 2)
		assert.Equal(t, got, Redact(got))
	})
}
