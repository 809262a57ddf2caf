package output

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestMarkdown(t *testing.T) {
	assert.Equal(t, strings.TrimLeft(strings.ReplaceAll(`
## Load test 'shop.eu': Failed

> 'Success criteria not met: maxFailureRatio is 0.0001, measured 0.0003'\
> 'Traceback:'\
> '  File "/lotest/src/locustfile.py"'

| | |
| --- | --- |
| Test | 'load/shop.eu' |
| Report | 'shop.eu-1f0c9a3e' |
| Load | 'delivered, LoadAsPlanned' |
| Run | '2026-01-02T03:04:05Z, took 3m0s' |
| Target | 'https://shop.example.com' |
| Size | '100 users, 5 of 5 workers connected' |
| Software | 'Locust 2.47.0, image locustio/locust:2.47.0' |
| Requests | '36012, 12 failed (0.03 %), 200.07/s' |
| Responses | 'average 45.05ms, min 540µs, p50 2ms, p90 240ms, p95 300ms, p99 340ms, p99.9 350ms, max 1.35s' |
| Result | 'final, from the reporter' |

### Endpoints

| Endpoint | Requests | Failed | Per second | Average | Min | p50 | p90 | p95 | p99 | p99.9 | Max |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
| 'POST /orders' | 12 | 12 | 0.07 | 45.05ms | 540µs | 2ms | 240ms | 300ms | 340ms | 350ms | 1.35s |
| 'GET /items?q="a,b"' | 36000 | 0 | 200 | 45.05ms | 540µs | 2ms | 240ms | 300ms | 340ms | 350ms | 1.35s |

### Failed requests

| Failures | Endpoint | Error |
| --- | --- | --- |
| 12 | 'POST /orders' | 'HTTPError(~500 Server Error~)' |

### Exceptions in the locustfile

| Times | Exception |
| --- | --- |
| 2 | 'KeyError: ~basket~' |

### Workers

| Worker | Peak processor | Peak memory |
| --- | --- | --- |
| 'shop-eu-worker-a' | '61 %' | '70 MiB' |

### Incomplete

| List | Kept | Reason |
| --- | --- | --- |
| endpoints | '2 of 131' | 'no room for more' |
`, "'", "`"), "\n"), strings.NewReplacer("'500 Server Error'", "~500 Server Error~", "'basket'", "~basket~").Replace(write(t, Markdown, failed())))
}

func TestLiteral(t *testing.T) {
	for text, want := range map[string]string{
		"Succeeded": "Succeeded", "36000": "36000", "1.35s": "1.35s", "0.03%": "0.03%", "": "",
		"a b": "`a b`", "1.": "`1.`", "-": "`-`", "www.example.com": "`www.example.com`", "@team": "`@team`", "#1": "`#1`", ":tada:": "`:tada:`",
		"<img src=x onerror=y>": "&#60;`img src=x onerror=y>`",
		"a|b":                   "`a`&#124;`b`", `a\|b`: "`a\\`&#124;`b`", "`x`": "&#96;`x`&#96;", "||": "&#124;&#124;",
		"a\n| b": "`a `&#124;` b`", "[l](http://x)": "`[l](http://x)`", "&lt;": "`&lt;`", "\x1b[1m": "`\ufffd[1m`",
	} {
		assert.Equal(t, want, literal(text), "%q", text)
	}
}
